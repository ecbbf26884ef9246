package client_test

import (
	"testing"

	"icomet/server/servertest"
)

// exampleTB is what servertest needs of a test, for examples, which have none.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (*exampleTB) Helper()                      {}
func (*exampleTB) Fatal(args ...any)            { panic(args) }
func (*exampleTB) Fatalf(_ string, args ...any) { panic(args) }
func (*exampleTB) Errorf(_ string, args ...any) { panic(args) }
func (tb *exampleTB) Cleanup(f func())          { tb.cleanups = append(tb.cleanups, f) }

// runServer runs a server with its defaults, but for its ports and environ.
func runServer(environ ...string) (front, admin string, stop func()) {
	tb := &exampleTB{}
	s := servertest.Start(tb, environ...)
	return s.Front, s.Admin, func() {
		for _, f := range tb.cleanups {
			f()
		}
	}
}
