package examples_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// crash is what a program prints that did not expect what has happened.
var crash = regexp.MustCompile(`Traceback|Exception in thread|at java\.|panic:|goroutine |PHP (Warning|Notice|Deprecated|Fatal)|parameter not set|syntax error|unbound`)

const everything = "m1\nm2\nm3\n"

// TestCutAnywhere: the answer of a real server is cut, at every byte with make torture;
// each message comes once.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600") // the messages are needed until the last example
	s.Push("a", "m1")
	s.Push("a", "m2")
	for _, e := range subscribers(t) {
		t.Run(e.name, func(t *testing.T) {
			path, step := "/stream", 11
			if e.name == "curl" {
				path = "/sub"
			}
			if e.name == "Java" {
				step = 43 // its start takes long
			}
			if servertest.Punctual {
				step = 1
			}
			text := record(t, s, path)
			var cuts []int
			for cut := 0; cut < len(text); cut += step {
				cuts = append(cuts, cut)
			}
			crowd(append(cuts, len(text)), func(cut int) {
				f := startFake(t, &fake{first: func(c net.Conn, _ *http.Request) { fmt.Fprint(c, text[:cut]) }})
				stdout, stderr, status := outcome(e.command(&f.Server, "a", "1"))
				if stdout != everything || status != 0 || crash.MatchString(stderr) {
					t.Errorf("cut at %d of %d: status %d, printed %q and %s", cut, len(text), status, stdout, stderr)
				}
			})
		})
	}
}

// TestGarbage: what is no HTTP, or no answer of iComet's, passes.
func TestGarbage(t *testing.T) {
	t.Parallel()
	ok := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	garbage := []string{
		"garbage", "garbage\r\n\r\n", "\x00\xff\x16\x03\x01\r\n", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 abc\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		ok + "\r\n", ok + "\r\nnonsense\n", ok + "\r\n[1,2]\n", ok + "\r\n1\n", ok + "\r\nnull\n", ok + "\r\n\"x\"\n", ok + "\r\n[]\n",
		ok + "\r\n{}\n", ok + "\r\n{\"type\":1,\"seq\":\"x\",\"content\":{}}\n", ok + "\r\n\xff\xfe\n",
		ok + "\r\n{\"type\":\"data\",\"cname\":\"a\",\"seq\":\"x\",\"content\":\"x\"}\n",
		ok + "\r\n{\"type\":\"position\",\"cname\":\"a\",\"seq\":9,\"content\":\"\"}\n",
		ok + "\r\n{\"type\":\"position\",\"cname\":\"a\",\"seq\":9,\"content\":\"\",\"epoch\":7,\"recovered\":true,\"lost\":0}\n",
		ok + "\r\n{\"type\":\"position\",\"cname\":\"a\",\"seq\":9,\"content\":\"\",\"epoch\":\"x\",\"recovered\":true,\"lost\":0}\n",
		ok + "\r\n" + strings.Repeat("[", 100000) + "\n", ok + "\r\n<html>\n",
		"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 502 x\r\nContent-Length: 100\r\n\r\nx", "HTTP/1.1 503 x\r\nRetry-After: 1\r\n\r\n",
	}
	for _, e := range subscribers(t) {
		t.Run(e.name, func(t *testing.T) {
			crowd(garbage, func(text string) {
				f := startFake(t, &fake{first: func(c net.Conn, _ *http.Request) { fmt.Fprint(c, text) }})
				stdout, stderr, status := outcome(e.command(&f.Server, "a", "1"))
				if stdout != everything || status != 0 || crash.MatchString(stderr) {
					t.Errorf("after %.60q: status %d, printed %q and %.1000s", text, status, stdout, stderr)
				}
				if f.requests() != 2 {
					t.Errorf("after %.60q: %d requests", text, f.requests())
				}
			})
		})
	}
}

// TestSilence: a connection that brings nothing is given up, a slow one is not; a large
// message arrives.
func TestSilence(t *testing.T) {
	t.Parallel()
	slowly := func(c net.Conn, text string) {
		tick := time.NewTicker(60 * time.Millisecond)
		defer tick.Stop()
		for i := range len(text) {
			<-tick.C
			if _, err := c.Write([]byte(text[i : i+1])); err != nil {
				return
			}
		}
	}
	silent := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) } // until the client has left
	large := strings.Repeat(`x\n\"`, 300_000)
	cases := []struct {
		name     string
		first    func(c net.Conn, req *http.Request)
		requests int
		stdout   string
	}{
		{"no head", func(c net.Conn, _ *http.Request) { silent(c) }, 2, everything},
		{"no message", func(c net.Conn, _ *http.Request) {
			fmt.Fprint(c, stream())
			silent(c)
		}, 2, everything},
		{"half a message", func(c net.Conn, req *http.Request) {
			text := answer(req, message(1, "m1"))
			fmt.Fprint(c, text[:len(text)-12])
			silent(c)
		}, 2, everything},
		{"slow", func(c net.Conn, req *http.Request) {
			text := answer(req, message(1, "m1"), `{"type":"close","cname":"a","seq":2,"content":""}`)
			head, body, _ := strings.Cut(text, "\r\n\r\n")
			fmt.Fprint(c, head+"\r\n\r\n")
			slowly(c, body)
		}, 1, "m1\n"},
		{"large", func(c net.Conn, req *http.Request) { fmt.Fprint(c, answer(req, message(3, large))) }, 2,
			strings.Repeat("x\n\"", 300_000) + "\n"},
	}
	for _, e := range subscribers(t) {
		t.Run(e.name, func(t *testing.T) {
			crowd(cases, func(c struct {
				name     string
				first    func(c net.Conn, req *http.Request)
				requests int
				stdout   string
			}) {
				f := startFake(t, &fake{first: c.first, period: 3})
				stdout, stderr, status := outcome(e.command(&f.Server, "a", "1"))
				if stdout != c.stdout || status != 0 || f.requests() != c.requests {
					t.Errorf("%s: status %d, %d requests, printed %.100q and %.1000s", c.name, status, f.requests(), stdout, stderr)
				}
			})
		})
	}
}

// TestAnyText: no text ends a program, whatever the terminal's encoding is.
func TestAnyText(t *testing.T) {
	t.Parallel()
	for _, e := range subscribers(t) {
		f := startFake(t, &fake{first: func(c net.Conn, req *http.Request) {
			fmt.Fprint(c, answer(req, message(1, `ü 😀 \ud83d\u0000\u2028\u001b`)))
		}})
		cmd := e.command(&f.Server, "a", "1")
		cmd.Env = append(cmd.Environ(), "LC_ALL=C", "PYTHONIOENCODING=ascii", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")
		stdout, stderr, status := outcome(cmd)
		if !strings.HasSuffix(stdout, "\nm2\nm3\n") || status != 0 || crash.MatchString(stderr) {
			t.Errorf("%s: status %d, printed %q and %s", e.name, status, stdout, stderr)
		}
	}
}

// TestRefused: a program ends, with what the server says, when the same request would be
// refused again; it waits when it would not.
func TestRefused(t *testing.T) {
	t.Parallel()
	inBand := func(kind, text string) func(net.Conn, *http.Request) {
		return func(c net.Conn, req *http.Request) {
			fmt.Fprint(c, answer(req, `{"type":"`+kind+`","cname":"a","seq":0,"content":"`+text+`"}`))
		}
	}
	status := func(status int, text string) func(net.Conn, *http.Request) {
		return func(c net.Conn, _ *http.Request) {
			fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(text), text)
		}
	}
	for _, e := range subscribers(t) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				first  func(net.Conn, *http.Request)
				status int
				text   string
			}{
				{inBand("401", "Token error"), 1, "(?i)token"},
				{status(400, "cname is too long"), 1, "400.*cname is too long"},
				{status(404, "no such path"), 1, "404.*no such path"},
				{status(204, ""), 0, ""},
			} {
				f := startFake(t, &fake{first: c.first})
				stdout, stderr, status := outcome(e.command(&f.Server, "a", "1"))
				if stdout != "" || status != c.status || !regexp.MustCompile(c.text).MatchString(stderr) || crash.MatchString(stderr) || f.requests() != 1 {
					t.Errorf("status %d, want %d; %d requests; printed %q and %q, want %q", status, c.status, f.requests(), stdout, stderr, c.text)
				}
			}
			f := startFake(t, &fake{first: inBand("429", "Too many channels")})
			stdout, stderr, status := outcome(e.command(&f.Server, "a", "1"))
			if stdout != everything || status != 0 || !regexp.MustCompile(`(?i)too many.*again in 1[5-9]`).MatchString(stderr) {
				t.Errorf("429: status %d, printed %q and %q", status, stdout, stderr)
			}
		})
	}
}

// TestMistakes: a wrong command line is answered with a sentence, at once.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const nowhere = "127.0.0.1:1"
	for _, e := range subscribers(t) {
		bare := e.command(&servertest.Server{})
		bare.Args = bare.Args[:len(bare.Args)-1] // without the address
		if e.name == "curl" {
			bare = exec.Command("sh", "curl/subscribe.sh")
		}
		wantSentence(t, e.name+" without arguments", bare, "usage: ")
		for _, beginning := range []string{"x", "9f86d081-x", "9f86d081-", "9F86D081-5", "9f86d08-5", "-"} {
			wantSentence(t, e.name+" from "+beginning, e.command(&servertest.Server{Front: "http://" + nowhere}, "a", beginning),
				beginning+": want a position, EPOCH-SEQ, or a whole number")
		}
		if e.name != "curl" { // it takes an address without a scheme
			for _, address := range []string{nowhere, "localhost:1", "http://", "ftp://" + nowhere} {
				wantSentence(t, e.name+" with "+address, e.command(&servertest.Server{Front: address}, "a", "1"), "http://")
			}
		}
	}
	for _, e := range publishers(t) {
		bare := e.command(&servertest.Server{})
		bare.Args = bare.Args[:len(bare.Args)-1]
		if e.name == "curl" {
			bare = exec.Command("sh", "curl/publish.sh")
		}
		wantSentence(t, e.name+" without arguments", bare, "usage: ")
		for _, address := range []string{"http://" + nowhere, nowhere, "http://"} {
			wantSentence(t, e.name+" with "+address, e.command(&servertest.Server{Admin: address}, "a", "x"), ".")
		}
	}
}

func wantSentence(t *testing.T, what string, cmd *exec.Cmd, want string) {
	t.Helper()
	stdout, stderr, status := outcome(cmd)
	if status < 1 || stdout != "" || !regexp.MustCompile(want).MatchString(stderr) || crash.MatchString(stderr) {
		t.Errorf("%s: status %d, printed %q and %q, want %q", what, status, stdout, stderr, want)
	}
}

// TestPublishersCut: a publisher says ok only when the answer has said so, and ends with
// a sentence otherwise.
func TestPublishersCut(t *testing.T) {
	t.Parallel()
	const body = `{"type":"ok"}` + "\n"
	text := whole(body)
	list := []string{"garbage", "garbage\r\n\r\n", "\x00\xff\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", whole("[1]"), whole("nonsense"), whole(`{"type":"x"}`), whole("1"),
		"HTTP/1.1 400 x\r\nContent-Length: 100\r\n\r\nwhy", "HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nlater"}
	step := 5
	if servertest.Punctual {
		step = 1
	}
	for cut := 0; cut <= len(text)-len("}\n"); cut += step {
		list = append(list, text[:cut])
	}
	for _, e := range publishers(t) {
		t.Run(e.name, func(t *testing.T) {
			crowd(list, func(text string) {
				f := startFake(t, &fake{first: func(c net.Conn, req *http.Request) {
					_, _ = req.Body.Read(make([]byte, 100))
					fmt.Fprint(c, text)
				}})
				stdout, stderr, status := outcome(e.command(&f.Server, "a", "x"))
				if status < 1 || stdout != "" || stderr == "" || crash.MatchString(stderr) || f.requests() != 1 {
					t.Errorf("after %q: status %d, %d requests, printed %q and %q", text, status, f.requests(), stdout, stderr)
				}
			})
		})
	}
}

// TestOutputGone: a program whose output nobody reads any more ends.
func TestOutputGone(t *testing.T) {
	t.Parallel()
	for _, e := range subscribers(t) {
		f := startFake(t, &fake{first: func(c net.Conn, req *http.Request) { fmt.Fprint(c, answer(req, message(1, "m1"))) }})
		f2 := e.command(&f.Server, "a", "1")
		cmd := exec.Command("sh", append([]string{"-c", `"$@" | head -n 1`, "sh"}, f2.Args...)...)
		cmd.Env = f2.Env
		stdout, stderr, _ := outcome(cmd)
		if stdout != "m1\n" || crash.MatchString(stderr) {
			t.Errorf("%s: printed %q and %s", e.name, stdout, stderr)
		}
	}
}
