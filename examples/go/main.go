// Command go follows a channel with package client.
//
//	go run ./examples/go CHANNEL [POSITION or SEQ] [http://host:port of the front port]
//
// POSITION, EPOCH-SEQ, is that of the last message you had: Ctrl-C tells it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"time"

	"icomet/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 || len(os.Args) > 4 {
		log.Fatal("usage: go run ./examples/go CHANNEL [POSITION or SEQ] [URL]")
	}
	sub := client.Subscriber{
		URL:        "http://127.0.0.1:8100",
		Channel:    os.Args[1],
		OnError:    func(err error, wait time.Duration) { log.Printf("%v; again in %v", err, wait) },
		OnPosition: tell,
	}
	if len(os.Args) > 2 {
		if err := begin(&sub, os.Args[2]); err != nil {
			log.Fatal(err)
		}
	}
	if len(os.Args) > 3 {
		sub.URL = os.Args[3]
	}
	for msg, err := range sub.Messages(ctx) {
		switch {
		case errors.Is(err, client.ErrEnded), errors.Is(err, client.ErrClosed):
			return
		case ctx.Err() != nil && sub.From != client.Position{}:
			log.Printf("to go on after the last message: %v", sub.From)
			return
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Fatal(err)
		}
		fmt.Println(msg.Content)
	}
}

// begin sets the first message wanted.
func begin(sub *client.Subscriber, text string) (err error) {
	if sub.From, err = client.ParsePosition(text); err == nil {
		return nil
	}
	if sub.Seq, err = strconv.ParseInt(text, 10, 64); err != nil {
		return fmt.Errorf("%s: want a position, EPOCH-SEQ, or a whole number", text)
	}
	return nil
}

// tell says what is missing.
func tell(r client.Recovery) {
	why := cmp.Or(string(r.Reason), "so the numbers say; the server tells no position")
	switch {
	case r.Lost > 0:
		log.Printf("%d messages are missing: %s", r.Lost, why)
	case r.Lost < 0:
		log.Printf("messages may be missing, and nobody can know how many: %s", why)
	}
}
