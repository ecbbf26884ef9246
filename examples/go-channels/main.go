// Command go-channels follows several channels over one connection with package client.
//
//	go run ./examples/go-channels FILE [http://host:port of the front port]
//
// Each line of standard input is a command: +CHANNEL adds a channel, -CHANNEL removes one.
// Ctrl-C stores in FILE where each channel is, and the next run goes on there.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"time"

	"icomet/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 || len(os.Args) > 3 {
		log.Fatal("usage: go run ./examples/go-channels FILE [URL]")
	}
	sub := client.MultiSubscriber{
		URL:        "http://127.0.0.1:8100",
		Transport:  client.WebSocket, // channels come and go without a new connection
		OnError:    func(err error, wait time.Duration) { log.Printf("%v; again in %v", err, wait) },
		OnPosition: tell,
		OnEnd:      func(last client.Start, err error) { log.Printf("%s: %v", last.Channel, err) },
	}
	if len(os.Args) > 2 {
		sub.URL = os.Args[2]
	}
	if err := load(&sub, os.Args[1]); err != nil {
		log.Fatal(err)
	}
	go obey(&sub)
	err := follow(ctx, &sub)
	if err := save(&sub, os.Args[1]); err != nil {
		log.Fatal(err)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// follow prints messages, until Ctrl-C, or until the last channel has ended.
func follow(ctx context.Context, sub *client.MultiSubscriber) error {
	for msg, err := range sub.Messages(ctx) {
		switch {
		case errors.Is(err, client.ErrEnded), errors.Is(err, client.ErrClosed), ctx.Err() != nil && err != nil:
			return nil
		case err != nil:
			return err
		}
		fmt.Printf("%s: %s\n", msg.Channel, msg.Content)
	}
	return nil
}

// obey adds and removes channels, as standard input says.
func obey(sub *client.MultiSubscriber) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		line := lines.Text()
		switch {
		case len(line) > 1 && line[0] == '+':
			if err := sub.Add(client.Start{Channel: line[1:], Seq: 1}); err != nil { // 1: all that is stored
				log.Print(err)
			}
		case len(line) > 1 && line[0] == '-':
			if last, there := sub.Remove(line[1:]); there {
				log.Printf("%s: removed after %v", last.Channel, last.From)
			}
		default:
			log.Printf("%s: want +CHANNEL or -CHANNEL", line)
		}
	}
}

// load adds the channels of an earlier run, if there was one.
func load(sub *client.MultiSubscriber, file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	starts := []client.Start{}
	if err == nil {
		err = json.Unmarshal(text, &starts)
	}
	if err == nil {
		err = sub.Add(starts...)
	}
	return err
}

func save(sub *client.MultiSubscriber, file string) error {
	text, err := json.Marshal(sub.Channels())
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// tell says what is missing.
func tell(channel string, r client.Recovery) {
	why := cmp.Or(string(r.Reason), "so the numbers say")
	switch {
	case r.Lost > 0:
		log.Printf("%s: %d messages are missing: %s", channel, r.Lost, why)
	case r.Lost < 0:
		log.Printf("%s: messages may be missing, and nobody can know how many: %s", channel, why)
	}
}
