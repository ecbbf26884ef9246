// Command centrifuge is a server made of Centrifugo's library, for bench/compare/compare. Front:
// the library's WebSocket handler at /ws; clients subscribe to any channel. Admin: POST
// /pub?c=NAME publishes the body as a JSON string. It keeps as many messages as the iComet
// server does by default, and its subscriptions can be recovered. It reads its addresses from the environment and logs them as the
// harness wants it, and ends at SIGTERM.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/centrifugal/centrifuge"
)

// What the iComet server keeps by default: 10 messages, 30 seconds.
const (
	kept    = 10
	keptFor = 30 * time.Second
)

func main() {
	log.SetFlags(0)
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true}}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	heartbeat, err := strconv.Atoi(os.Getenv("ICOMET_FRONT_POLLING_TIMEOUT"))
	if err != nil {
		log.Fatal("ICOMET_FRONT_POLLING_TIMEOUT: ", err)
	}
	front := http.NewServeMux()
	// Buffers as small as the library allows, as for nchan: each subscriber has them.
	front.Handle("/ws", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize: 256, UseWriteBufferPool: true, ProcessCommandsOffReadLoop: true,
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: time.Duration(heartbeat) * time.Second, PongTimeout: -1},
	}))
	admin := http.NewServeMux()
	admin.HandleFunc("POST /pub", func(w http.ResponseWriter, r *http.Request) { publish(node, w, r) })
	go serve("front", front)
	serve("admin", admin)
}

// publish publishes contents that need no escapes in JSON, as the harness's do not.
func publish(node *centrifuge.Node, w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	data := append(append(append(make([]byte, 0, len(content)+2), '"'), content...), '"')
	if _, err := node.Publish(r.URL.Query().Get("c"), data, centrifuge.WithHistory(kept, keptFor)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, "ok\n") // a client that has gone does not read it
}

// serve listens at the address of a role, logs it, and serves until the process ends.
func serve(role string, h http.Handler) {
	name := map[string]string{"front": "ICOMET_FRONT_LISTEN", "admin": "ICOMET_ADMIN_LISTEN"}[role]
	l, err := net.Listen("tcp4", os.Getenv(name))
	if err != nil {
		log.Fatal(fmt.Errorf("%s: %w", name, err))
	}
	log.Printf("msg=listening role=%s address=%s dialect=centrifuge", role, l.Addr())
	log.Fatal(http.Serve(l, h))
}
