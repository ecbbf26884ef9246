// Package client talks to an iComet server from Go: Subscriber receives a channel's
// messages without loss, Admin signs, publishes and controls.
//
//	sub := client.Subscriber{URL: "http://127.0.0.1:8100", Channel: "news"}
//	for msg, err := range sub.Messages(ctx) {
//		if err != nil {
//			return err // the context has ended, or a new attempt would fail too
//		}
//		fmt.Println(msg.Content)
//	}
//
// It needs the standard library only and must not know the server's packages. One
// goroutine runs a Subscriber; any goroutine may call an Admin.
package client
