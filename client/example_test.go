package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"icomet/client"
)

// Subscribe to a channel, and publish to it.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer() // http://127.0.0.1:8100 and http://127.0.0.1:8000 by default
	defer stop()

	publisher := client.Admin{URL: admin}
	for _, text := range []string{"hello", "bye"} {
		if err := publisher.Push(ctx, "news", text); err != nil {
			fmt.Println(err)
		}
	}

	subscriber := client.Subscriber{URL: front, Channel: "news", Seq: 1} // 1: all that is stored
	for msg, err := range subscriber.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(msg.Seq, msg.Content)
		if msg.Content == "bye" {
			break
		}
	}
	// Output:
	// 1 hello
	// 2 bye
}

// When Push returns nil, the message is stored and queued to every subscriber.
func ExampleAdmin_Push() {
	ctx := context.Background()
	_, admin, stop := runServer()
	defer stop()

	publisher := client.Admin{URL: admin}
	fmt.Println(publisher.Push(ctx, "news", `any text: "quotes", a < b, 😀`))
	err := publisher.Push(ctx, "", "for no channel")
	if status, refused := errors.AsType[*client.StatusError](err); refused {
		fmt.Println("refused:", status.Status) // status.Text says why
	}
	// Output:
	// <nil>
	// refused: 400
}

// A program that ends and comes back continues after the last message that it had: it
// remembers the number of the next one. Lost and Restarted say whether anything is
// missing.
func ExampleSubscriber_resume() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer() // it keeps the last 10 messages of a channel
	defer stop()
	publisher := client.Admin{URL: admin}
	publish := func(from, to int) {
		for n := from; n <= to; n++ {
			if err := publisher.Push(ctx, "news", fmt.Sprint("message ", n)); err != nil {
				fmt.Println(err)
			}
		}
	}
	var next int64 = 1 // in a file or a database
	read := func(count int) {
		subscriber := client.Subscriber{URL: front, Channel: "news", Seq: next}
		for msg, err := range subscriber.Messages(ctx) {
			if err != nil {
				fmt.Println(err)
				return
			}
			if msg.Restarted {
				fmt.Println("the channel is a new one")
			}
			if msg.Lost > 0 {
				fmt.Println(msg.Lost, "messages are not stored any more")
			}
			fmt.Println(msg.Content)
			next = msg.Seq + 1
			if count--; count == 0 {
				return
			}
		}
	}

	publish(1, 2)
	read(2)
	publish(3, 3) // meanwhile
	read(1)
	publish(4, 15)
	read(1)
	// Output:
	// message 1
	// message 2
	// message 3
	// 2 messages are not stored any more
	// message 6
}

// Messages ends with an error that a new attempt would not change; of all others OnError
// is told.
func ExampleSubscriber_errors() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer()
	defer stop()
	control := client.Admin{URL: admin}
	if err := control.Push(ctx, "news", "the last one"); err != nil {
		fmt.Println(err)
	}

	for _, subscriber := range []client.Subscriber{
		{URL: front, Channel: "news", Seq: 1},
		{URL: front}, // without a channel
		{URL: "127.0.0.1:8100", Channel: "news"},
	} {
		subscriber.OnError = func(err error, wait time.Duration) { fmt.Println(err, "- again in", wait) }
		for msg, err := range subscriber.Messages(ctx) {
			status, refused := errors.AsType[*client.StatusError](err)
			switch {
			case errors.Is(err, client.ErrClosed):
				fmt.Println("the channel was closed")
			case errors.Is(err, client.ErrUnauthorized):
				fmt.Println("a token is needed")
			case refused:
				fmt.Println("refused:", status.Status) // status.Text says why
			case err != nil:
				fmt.Println(err)
			default:
				fmt.Println(msg.Content)
				if _, err := control.Close(ctx, "news"); err != nil {
					fmt.Println(err)
				}
			}
		}
	}
	// Output:
	// the last one
	// the channel was closed
	// refused: 400
	// URL: has no scheme http or https, want http://host:port or https://host:port
}

// With front.auth = "token" a subscriber needs a token. A backend gets it from Sign and
// hands it to the client; here both are one program.
func ExampleSubscriber_token() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer("ICOMET_FRONT_AUTH=token")
	defer stop()
	backend := client.Admin{URL: admin}

	subscriber := client.Subscriber{
		URL: front, Channel: "news", Seq: 1,
		// It is called again when the server refuses the token.
		Token: func(ctx context.Context, denied int) (string, error) {
			signed, err := backend.Sign(ctx, "news", time.Minute)
			if err == nil && denied == 0 {
				err = backend.Push(ctx, "news", "for those with a token")
			}
			return signed.Token, err
		},
	}
	for msg, err := range subscriber.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(msg.Content)
		break
	}
	// Output: for those with a token
}
