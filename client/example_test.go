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

// A program that ends and comes back goes on after the last message that it had: it stores
// that message's position. Lost says whether anything is missing.
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
	var position client.Position // as text, in a file or a database
	read := func(count int) {
		subscriber := client.Subscriber{URL: front, Channel: "news", From: position, Seq: 1} // Seq counts while there is no From
		for msg, err := range subscriber.Messages(ctx) {
			if err != nil {
				fmt.Println(err)
				return
			}
			switch {
			case msg.Lost > 0:
				fmt.Println(msg.Lost, "messages are missing:", msg.Reason)
			case msg.Lost < 0:
				fmt.Println("nobody can know what is missing:", msg.Reason)
			}
			fmt.Println(msg.Content)
			position = msg.Position()
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
	if _, err := publisher.Close(ctx, "news"); err != nil { // as if the server had been restarted
		fmt.Println(err)
	}
	publish(16, 25) // the numbers begin with 1 again
	read(1)
	// Output:
	// message 1
	// message 2
	// message 3
	// 2 messages are missing: trimmed
	// message 6
	// nobody can know what is missing: epoch
	// message 16
}

// OnPosition is told at once what a new connection misses, without waiting for a message.
func ExampleSubscriber_onPosition() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer()
	defer stop()
	publisher := client.Admin{URL: admin}
	first, err := publisher.Publish(ctx, client.Publication{Channel: "news", Content: "hello"})
	if err == nil {
		err = publisher.Push(ctx, "news", "bye")
	}
	if err == nil {
		_, err = publisher.Clear(ctx, "news")
	}
	if err != nil {
		fmt.Println(err)
	}

	subscriber := client.Subscriber{URL: front, Channel: "news", From: first.Position}
	subscriber.OnPosition = func(r client.Recovery) {
		switch {
		case r.Recovered:
			fmt.Println("nothing is missing")
		case r.Lost >= 0:
			fmt.Println(r.Lost, "missing:", r.Reason)
		default:
			fmt.Println("nobody can know what is missing:", r.Reason)
		}
		cancel() // enough for an example
	}
	for _, err := range subscriber.Messages(ctx) {
		fmt.Println(err)
	}
	// Output:
	// 1 missing: trimmed
	// context canceled
}

// With an ID, Publish returns only when it is certain that the message is stored, and
// stores it once, whatever happens to the connection.
func ExampleAdmin_Publish() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // how long it may try
	defer cancel()
	_, admin, stop := runServer()
	defer stop()

	publisher := client.Admin{
		URL:     admin,
		OnError: func(err error, wait time.Duration) { fmt.Println(err, "- again in", wait) },
	}
	// client.NewID makes an ID where there is no natural one. As a program would that was
	// restarted in between, it publishes twice.
	order := client.Publication{Channel: "orders", Content: "17 pieces", ID: "order-4711"}
	for range 2 {
		done, err := publisher.Publish(ctx, order)
		fmt.Println(done.Position.Seq, done.Duplicate, err)
	}
	// Output:
	// 1 false <nil>
	// 1 true <nil>
}

// Several writers agree who is next: one gets the number, the others learn where the
// channel is.
func ExamplePublication_ifSeq() {
	ctx := context.Background()
	_, admin, stop := runServer()
	defer stop()

	publisher := client.Admin{URL: admin}
	for _, move := range []string{"e4", "d4"} {
		_, err := publisher.Publish(ctx, client.Publication{Channel: "game", Content: move, IfSeq: 1})
		if conflict, ok := errors.AsType[*client.ConflictError](err); ok {
			fmt.Println(move, "comes too late: the channel is at", conflict.Position.Seq)
			continue
		}
		fmt.Println(move, err)
	}
	// Output:
	// e4 <nil>
	// d4 comes too late: the channel is at 1
}

// A batch publishes many messages with few requests, each once, and those of one channel
// in order.
func ExampleAdmin_Batch() {
	ctx := context.Background()
	_, admin, stop := runServer()
	defer stop()

	publisher := client.Admin{URL: admin}
	results, err := publisher.Batch(ctx, []client.Publication{
		{Channel: "news", Content: "one"}, {Channel: "sports", Content: "1:0"}, {Channel: "", Content: "nowhere"}, {Channel: "news", Content: "two"},
	})
	if err != nil {
		fmt.Println(err) // not all of it is known
	}
	for _, r := range results {
		if status, refused := errors.AsType[*client.StatusError](r.Err); refused {
			fmt.Println("refused:", status.Status)
			continue
		}
		fmt.Println(r.Seq, r.Err)
	}
	// Output:
	// 1 <nil>
	// 1 <nil>
	// refused: 400
	// 2 <nil>
}

// A channel that ends tells its subscribers, who come back no more. Who comes later gets
// what is stored, and then the end.
func ExampleAdmin_PublishEnd() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	front, admin, stop := runServer()
	defer stop()

	publisher := client.Admin{URL: admin}
	if err := publisher.Push(ctx, "answer", "The answer is"); err != nil {
		fmt.Println(err)
	}
	if _, err := publisher.PublishEnd(ctx, client.Publication{Channel: "answer", Content: "42.", ID: client.NewID()}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(errors.Is(publisher.Push(ctx, "answer", "Or is it?"), client.ErrEnded))

	subscriber := client.Subscriber{URL: front, Channel: "answer", Seq: 1}
	for msg, err := range subscriber.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(msg.Content)
	}
	// Output:
	// true
	// The answer is
	// 42.
	// the channel has ended
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
			case errors.Is(err, client.ErrClosed), errors.Is(err, client.ErrEnded):
				fmt.Println(err)
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
