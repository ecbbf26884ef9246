// Package client talks to an iComet server from Go: Subscriber receives a channel's
// messages, MultiSubscriber those of several channels over one connection, Admin signs,
// publishes and controls.
//
//	sub := client.Subscriber{URL: "http://127.0.0.1:8100", Channel: "news"}
//	for msg, err := range sub.Messages(ctx) {
//		if err != nil {
//			return err // the context has ended, or a new attempt would fail too
//		}
//		fmt.Println(msg.Content)
//	}
//
// A Subscriber reconnects by itself, and gets what was published meanwhile as long as the
// server has it: the channel's last channel_buffer_size messages, and of a channel that is
// without subscribers and publishes for channel_timeout (30 s by default) nothing.
//
// It knows its position, an epoch and a number, so that it can say whether anything is
// missing: nothing, how many messages, or that nobody can know. See Message.Lost,
// OnPosition, and From, by which a program that was restarted goes on where it was.
//
// Admin.Publish with an ID, and Batch, are certain: they repeat a call whose answer was
// lost, and the message is stored once.
//
// With a server before 0.2, which knows neither positions nor ids, nothing is claimed:
// Message.Epoch is "", and what would have to be repeated fails with ErrTooOld.
//
// The transports are plain HTTP, unless WebSocket is asked for: a Go program has nothing of
// it with one channel, and http.Client, proxies and test servers handle plain HTTP alike.
//
// A URL with https:// or wss:// is reached by TLS, and the server's certificate is checked
// against the system's authorities. For an authority of your own, or to show a certificate
// (mutual TLS), set HTTP:
//
//	roots := x509.NewCertPool()
//	roots.AppendCertsFromPEM(pem)
//	own := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
//		RootCAs: roots, Certificates: []tls.Certificate{certificate},
//	}}}
//	sub := client.Subscriber{URL: "https://push.internal", Channel: "news", HTTP: own}
//
// It must not know the server's packages. One goroutine runs a Subscriber; any goroutine
// may call an Admin, and the methods of a MultiSubscriber.
package client
