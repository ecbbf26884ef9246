package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/client"
)

// Several channels come over one connection. They may come and go meanwhile.
func ExampleMultiSubscriber() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer()
	defer stop()
	publisher := client.Admin{URL: admin}
	for _, room := range []string{"kitchen", "garden"} {
		if err := publisher.Push(ctx, room, "hello"); err != nil {
			fmt.Println(err)
		}
	}

	rooms := client.MultiSubscriber{URL: front, Transport: client.WebSocket}
	rooms.OnEnd = func(last client.Start, err error) { fmt.Println(last.Channel, "is over:", err) }
	if err := rooms.Add(client.Start{Channel: "kitchen", Seq: 1}); err != nil {
		fmt.Println(err)
	}
	for msg, err := range rooms.Messages(ctx) {
		switch {
		case errors.Is(err, client.ErrEnded): // of the last one
			return
		case err != nil:
			fmt.Println(err)
			return
		}
		fmt.Println(msg.Channel, msg.Content)
		switch msg.Channel {
		case "kitchen":
			err = rooms.Add(client.Start{Channel: "garden", Seq: 1})
			rooms.Remove("kitchen")
		case "garden":
			_, err = publisher.End(ctx, "garden")
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// kitchen hello
	// garden hello
	// garden is over: the channel has ended
}

// Each channel has its own token and its own position. A program that ends and comes back
// stores Channels, and goes on with each channel where it was.
func ExampleMultiSubscriber_resume() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer("ICOMET_FRONT_AUTH=token")
	defer stop()
	backend := client.Admin{URL: admin}
	publish := func(channel string, texts ...string) {
		for _, text := range texts {
			if err := backend.Push(ctx, channel, text); err != nil {
				fmt.Println(err)
			}
		}
	}
	// As the program's backend would, it gives tokens for some channels only.
	fetchToken := func(ctx context.Context, channel string) (string, error) {
		if channel == "secret" {
			return "", client.ErrUnauthorized
		}
		signed, err := backend.Sign(ctx, channel, time.Minute)
		return signed.Token, err
	}

	starts := []client.Start{{Channel: "news", Seq: 1}, {Channel: "sports", Seq: 1}, {Channel: "secret"}}
	follow := func(until string) (saved []byte) {
		subscriber := client.MultiSubscriber{
			URL: front,
			Token: func(ctx context.Context, channel string, denied int) (string, error) {
				return fetchToken(ctx, channel) // again for each token that was refused
			},
			OnEnd: func(last client.Start, err error) {
				fmt.Printf("%s is not followed any more: %v\n", last.Channel, err)
			},
		}
		if err := subscriber.Add(starts...); err != nil {
			fmt.Println(err)
		}
		for msg, err := range subscriber.Messages(ctx) {
			if err != nil {
				fmt.Println(err)
				break
			}
			if msg.Lost != 0 { // -1: nobody can know how many
				fmt.Printf("%d messages of %s are missing: %s\n", msg.Lost, msg.Channel, msg.Reason)
			}
			fmt.Println(msg.Channel, msg.Seq, msg.Content)
			if msg.Content == until {
				break
			}
		}
		saved, err := json.Marshal(subscriber.Channels())
		if err != nil {
			fmt.Println(err)
		}
		return saved
	}

	publish("news", "hello")
	saved := follow("hello")
	publish("sports", "0:0", "1:0")
	if err := json.Unmarshal(saved, &starts); err != nil {
		fmt.Println(err)
	}
	follow("1:0")
	// Output:
	// secret is not followed any more: the token is not valid for the channel
	// news 1 hello
	// sports 1 0:0
	// sports 2 1:0
}

// TestReadme: the program of README.md is one that is tested here.
func TestReadme(t *testing.T) {
	t.Parallel()
	words := func(name string) []string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	examples := strings.Join(words("example_multi_test.go"), " ")
	for readme := words("README.md"); ; {
		begin := slices.Index(readme, "```go")
		if begin < 0 {
			return
		}
		readme = readme[begin+1:]
		program := strings.Join(readme[:slices.Index(readme, "```")], " ")
		if !strings.Contains(examples, program) {
			t.Errorf("no example has %s", program)
		}
	}
}
