// Command go follows a channel with package client.
//
//	go run ./examples/go CHANNEL [SEQ] [http://host:port of the front port]
package main

import (
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
		log.Fatal("usage: go run ./examples/go CHANNEL [SEQ] [URL]")
	}
	sub := client.Subscriber{
		URL:     "http://127.0.0.1:8100",
		Channel: os.Args[1],
		OnError: func(err error, wait time.Duration) { log.Printf("%v; again in %v", err, wait) },
	}
	if len(os.Args) > 2 {
		seq, err := strconv.ParseInt(os.Args[2], 10, 64)
		if err != nil {
			log.Fatalf("SEQ %q: want a whole number", os.Args[2])
		}
		sub.Seq = seq
	}
	if len(os.Args) > 3 {
		sub.URL = os.Args[3]
	}
	for msg, err := range sub.Messages(ctx) {
		switch {
		case errors.Is(err, client.ErrClosed), ctx.Err() != nil:
			return
		case err != nil:
			log.Fatal(err)
		}
		if msg.Lost > 0 {
			log.Printf("%d messages could not be had any more", msg.Lost)
		}
		fmt.Println(msg.Content)
	}
}
