package torture

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// marker is what an attacker wants to be taken for a request of its own.
const marker = "GET /push?cname=smuggled&content=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

// refuse means that the status is a refusal and the connection ends; served, that the
// request is harmless.
const refuse, served = "400 413 414 431 501 505", "200 403 404 405"

const (
	post = "POST /info HTTP/1.1\r\nHost: localhost\r\n"
	te   = post + "Transfer-Encoding: chunked\r\n\r\n"
)

// hostile is made after RFC 9110 and 9112 and after public write-ups of attacks:
// CL.TE and TE.CL, hidden transfer codings, chunk tricks of 2024 and 2025 (extensions,
// line ends), request and response splitting, other protocols on our ports. The
// cases of server/e2e/smuggling_test.go are not repeated here.
var hostile = []struct{ name, bytes, want string }{
	{"CL.TE", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", refuse},
	{"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", refuse},
	{"TE.TE, second unknown", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", refuse},
	{"TE.TE, first unknown", post + "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE with vertical tab", post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE with form feed", post + "Transfer-Encoding:\fchunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE ends in NUL", post + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", refuse},
	{"TE quoted", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", refuse},
	{"TE chunked twice in one", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE chunked not last", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", refuse},
	{"TE empty element", post + "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE with parameter", post + "Transfer-Encoding: chunked;q=0\r\n\r\n0\r\n\r\n", refuse},
	{"TE empty", post + "Transfer-Encoding:\r\n\r\n", refuse},
	{"TE name with space", post + "Transfer Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", refuse},
	{"TE name with tab before colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE behind bare CR", post + "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE behind bare LF", post + "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE folded", post + "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", refuse},
	{"TE with non-ASCII", post + "Transfer-Encoding: \xc3\xa7hunked\r\n\r\n0\r\n\r\n", refuse},
	{"underscores are another name", post + "Transfer_Encoding: chunked\r\nContent-Length: 0\r\n\r\n", served},
	{"CL twice, one with zeros", post + "Content-Length: 3\r\nContent-Length: 03\r\n\r\nabc", "200 400"},
	{"CL comma list", post + "Content-Length: 3,3\r\n\r\nabc", refuse},
	{"CL underscore digits", post + "Content-Length: 1_0\r\n\r\nabc", refuse},
	{"CL float", post + "Content-Length: 3.0\r\n\r\nabc", refuse},
	{"CL exponent", post + "Content-Length: 3e0\r\n\r\nabc", refuse},
	{"CL Arabic digits", post + "Content-Length: \xd9\xa3\r\n\r\nabc", refuse},
	{"CL over uint64", post + "Content-Length: 18446744073709551619\r\n\r\nabc", refuse},
	{"CL at int64", post + "Content-Length: 9223372036854775807\r\n\r\nabc", refuse},
	{"CL with vertical tab", post + "Content-Length: 3\v\r\n\r\nabc", refuse},
	{"CL quoted", post + "Content-Length: \"3\"\r\n\r\nabc", refuse},
	{"chunk size over uint64", te + "FFFFFFFFFFFFFFFF1\r\nabc", refuse},
	{"chunk size wraps to 0", te + "10000000000000000\r\nabc", refuse},
	{"chunk size at int64", te + "7fffffffffffffff\r\nabc", refuse},
	{"chunk size underscore", te + "1_0\r\nabc", refuse},
	{"chunk size then space", te + "3 \r\nabc\r\n0\r\n\r\n", refuse},
	{"chunk size then tab", te + "3\t\r\nabc\r\n0\r\n\r\n", refuse},
	{"chunk size then bare CR", te + "3\rabc\r\n0\r\n\r\n", refuse},
	{"chunk extension ends with LF", te + "3;x\nabc\r\n0\r\n\r\n", refuse},
	{"chunk extension with bare CR", te + "3;a\rb\r\nabc\r\n0\r\n\r\n", refuse},
	{"chunk extension, quoted line end", te + "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n", refuse},
	{"chunk data then LF", te + "3\r\nabc\n0\r\n\r\n", refuse},
	{"chunk data two bytes more", te + "3\r\nabcXX0\r\n\r\n", refuse},
	{"last chunk ends with LF", te + "0\n\r\n", refuse},
	{"last chunk, LF LF", te + "0\n\n", refuse},
	{"trailer ends with LF", te + "0\r\nX: y\n\r\n", refuse},
	{"trailer folded", te + "0\r\nX: y\r\n z\r\n\r\n", refuse},
	{"trailer without colon", te + "0\r\nGET /x HTTP/1.1\r\n\r\n", refuse},
	{"trailer changes nothing", te + "0\r\nContent-Length: 100\r\nTransfer-Encoding: x\r\n\r\n", served},
	{"many trailers", te + "0\r\n" + strings.Repeat("X: y\r\n", 20000) + "\r\n", refuse},
	{"long extension", te + "1;" + strings.Repeat("x", 100000) + "\r\na\r\n0\r\n\r\n", refuse},
	{"line end inside the target", "GET /info\r\nX: HTTP/1.1\r\nHost: localhost\r\n\r\n", refuse},
	{"CR in the method", "GE\rT /info HTTP/1.1\r\nHost: localhost\r\n\r\n", refuse},
	{"NUL in the target", "GET /in\x00fo HTTP/1.1\r\nHost: localhost\r\n\r\n", refuse},
	{"fragment in the target", "GET /info#x HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 400 404"},
	{"target with credentials", "GET http://a@b/info HTTP/1.1\r\nHost: localhost\r\n\r\n", refuse},
	{"target of another scheme", "GET ftp://localhost/info HTTP/1.1\r\nHost: localhost\r\n\r\n", "400 404"},
	{"dots", "GET /../info/../info HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"},
	{"encoded slash", "GET /%2finfo HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"},
	{"broken escape in the path", "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", "400 404"},
	{"Host twice in other case", "GET /info HTTP/1.1\r\nHost: localhost\r\nhOST: localhost\r\n\r\n", refuse},
	{"Host list", "GET /info HTTP/1.1\r\nHost: localhost, evil\r\n\r\n", refuse},
	{"Host with path", "GET /info HTTP/1.1\r\nHost: localhost/x\r\n\r\n", refuse},
	{"version with more digits", "GET /info HTTP/1.10\r\nHost: localhost\r\n\r\n", refuse},
	{"version 1.01", "GET /info HTTP/1.01\r\nHost: localhost\r\n\r\n", refuse},
	{"version in lower case", "GET /info HTTp/1.1\r\nHost: localhost\r\n\r\n", refuse},
	{"header before the request", "Host: localhost\r\nGET /info HTTP/1.1\r\n\r\n", refuse},
	{"first field indented", "GET /info HTTP/1.1\r\n\tX: y\r\nHost: localhost\r\n\r\n", refuse},
	{"empty name", "GET /info HTTP/1.1\r\nHost: localhost\r\n:\r\n\r\n", refuse},
	{"DEL in a value", "GET /info HTTP/1.1\r\nHost: localhost\r\nX: \x7f\r\n\r\n", refuse},
	{"escape sequence in a value", "GET /info HTTP/1.1\r\nHost: localhost\r\nX: \x1b[2J\r\n\r\n", refuse},
	{"unknown expectation", post + "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", "200 400 417"},
	{"h2c upgrade is ignored", "GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", served},
	{"websocket upgrade is ignored", "GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", served},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refuse},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x7a", 400), refuse},
	{"SSLv2 hello", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", refuse},
	{"PROXY header nobody asked for", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /info HTTP/1.1\r\nHost: localhost\r\n\r\n", refuse},
	{"PROXY v2 header", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02", refuse},
	{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", refuse},
	{"Redis", "*1\r\n$4\r\nPING\r\n", refuse},
	{"SMTP", "EHLO evil\r\n", refuse},
	{"RDP", "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", refuse},
	{"CONNECT", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", "404 405 501"},
	{"TRACE", "TRACE /info HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 405 501"},
	{"splitting by cname", "GET /stream?cname=a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200 404"},
	{"splitting by cb", "GET /ping?cb=a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: localhost\r\n\r\n", "400 404"},
	{"splitting by Origin", "GET /ping HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\x0bX-Evil: 1\r\n\r\n", refuse},
	{"garbage", strings.Repeat("\xff\xfe\x00", 1000), refuse},
	{"only line ends", strings.Repeat("\r\n", 100), refuse},
}

// TestHostile sends each case whole and byte by byte to both ports, with a hidden
// request behind it. It gets the status it should, in one answer when it is a refusal,
// nothing of it comes back as a header, and the server is as before.
func TestHostile(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.Binary, "", "LIMITS_REQUEST_TIMEOUT=5s", "LIMITS_IDLE_TIMEOUT=20s")
	p := d.newProbe()
	if err := inTurns(16, 4*len(hostile), func(i int) error {
		h := &hostile[i/4]
		addr := []string{d.front, d.admin}[i%2]
		if err := attack(addr, h.bytes, h.want, i/2%2 == 1); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, body, err := d.get("/check?cname=smuggled"); err != nil || body != "{}\n" {
		t.Errorf("a hidden request was served: %q, %v", body, err)
	}
	if _, err := p.run(func(n int) bool { return n > 5 }); err != nil {
		t.Errorf("the healthy channel: %v", err)
	}
	d.waitStats(patience, func(s stats) error {
		if s.Panics > 0 || s.Connections.Front != 1 {
			return fmt.Errorf("%d panics, %d front connections", s.Panics, s.Connections.Front)
		}
		return nil
	})
}

// attack wants one of the statuses. Behind a refusal there is nothing: what is hidden
// behind it has no answer.
func attack(addr, request, want string, slow bool) error {
	nc, err := dial(addr, 0)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	hidden := ""
	if want == refuse {
		hidden = marker
	}
	go send(nc, request+hidden, slow)
	var b strings.Builder
	buf := make([]byte, 4096)
	for !complete(b.String()) {
		n, err := nc.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	answer := b.String()
	if len(answer) < 12 || !strings.HasPrefix(answer, "HTTP/1.1 ") || !strings.Contains(want, answer[9:12]) {
		return fmt.Errorf("slow %v: got %.200q, want %s", slow, answer, want)
	}
	if head, _, _ := strings.Cut(answer, "\r\n\r\n"); strings.Contains(head, "\nX-Evil") {
		return fmt.Errorf("a header of the attacker's: %q", head)
	}
	if want != refuse {
		return nil
	}
	rest, _ := io.ReadAll(nc)
	if all := answer + string(rest); strings.Count(all, "HTTP/1.1 ") != 1 || !strings.Contains(all, "\r\nConnection: close\r\n") {
		return fmt.Errorf("slow %v: want one answer that ends the connection, got %.400q", slow, all)
	}
	return nil
}

func complete(answer string) bool { return strings.Contains(answer, "\r\n\r\n") }

// send writes at once or in pieces of few bytes. Errors show in the answer.
func send(nc net.Conn, b string, slow bool) {
	step := len(b)
	if slow {
		step = max(1, len(b)/500)
	}
	for ; len(b) > 0; b = b[min(step, len(b)):] {
		if _, err := io.WriteString(nc, b[:min(step, len(b))]); err != nil {
			return
		}
	}
}

// TestHostileAgainstNetHTTP: of none of the cases we see other requests than
// net/http does.
func TestHostileAgainstNetHTTP(t *testing.T) {
	t.Parallel()
	for _, h := range hostile {
		if err := compareRequests([]byte(h.bytes + marker)); err != nil {
			t.Errorf("%s: %v", h.name, err)
		}
	}
}

// TestTruncated ends the connection behind each byte of a request, gently and with a
// reset: the server keeps nothing of it.
func TestTruncated(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.Binary, "", "FRONT_CHANNEL_TIMEOUT=1")
	for _, request := range []string{
		"POST /push HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\na=b&c\r\n0\r\nT: v\r\n\r",
		"POST /push?cname=smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ncontent=",
	} {
		if err := inTurns(16, 2*len(request), func(i int) error {
			nc, err := dial(d.admin, 0)
			if err != nil {
				return err
			}
			_, _ = io.WriteString(nc, request[:i/2])
			if i%2 == 0 {
				reset(nc)
				return nil
			}
			return nc.Close()
		}); err != nil {
			t.Error(err)
		}
	}
	d.waitStats(patience, func(s stats) error {
		if s.Connections.Admin > 4 || s.Channels > 0 || s.Panics > 0 {
			return fmt.Errorf("%d admin connections, %d channels, %d panics", s.Connections.Admin, s.Channels, s.Panics)
		}
		return nil
	})
}
