package tlsrecord

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// openssl starts s_client and returns its session, its commands and its output.
func openssl(t *testing.T, args ...string) (*session, io.Writer, *bufio.Reader) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", l.Addr().String()}, args...)...)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return accept(t, conn, &tls.Config{}), in, bufio.NewReader(out)
}

// shows reads lines until one has text.
func shows(t *testing.T, out *bufio.Reader, text string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := out.ReadString('\n')
		seen.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("waiting for %q: %v, after %s", text, err, seen.String())
		}
	}
}

func TestOpenSSL(t *testing.T) {
	for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} {
		t.Run(suite, func(t *testing.T) {
			s, in, out := openssl(t, "-tls1_3", "-ciphersuites", suite)
			if s.state.out.seq == 0 {
				t.Error("no ticket was sent to a client that takes them")
			}
			s.write([]byte("pushed\n"))
			shows(t, out, "pushed")
			for _, command := range []string{"k", "K"} { // without and with update_requested
				secret := s.state.in.secret
				io.WriteString(in, command+"\n")
				if p, err := s.record(); len(p) > 0 || err != nil || s.state.in.secret == secret {
					t.Fatalf("%s gives %q, %v", command, p, err)
				}
				if want := command == "K"; s.state.owed != want {
					t.Errorf("%s: KeyUpdate owed: %v", command, s.state.owed)
				}
				io.WriteString(in, "hello\n")
				s.expect([]byte("hello\n"))
				s.write([]byte("behind " + command + "\n"))
				shows(t, out, "behind "+command)
			}
			s.send(s.state.AppendKeyUpdate(s.seal, nil))
			s.write([]byte("last\n"))
			shows(t, out, "last")
			s.send(s.state.AppendAlert(s.seal, nil, CloseNotify))
			shows(t, out, "closed")
		})
	}
}

func TestOpenSSLTLS12(t *testing.T) {
	for _, suite := range []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"} {
		t.Run(suite, func(t *testing.T) {
			s, in, out := openssl(t, "-tls1_2", "-cipher", suite)
			s.write([]byte("pushed\n"))
			shows(t, out, "pushed")
			io.WriteString(in, "hello\n")
			s.expect([]byte("hello\n"))
			io.WriteString(in, "R\n") // renegotiate
			if p, err := s.record(); err != NoRenegotiation {
				t.Fatalf("a ClientHello gives %q, %v", p, err)
			}
			s.send(s.state.AppendAlert(s.seal, nil, NoRenegotiation))
		})
	}
}
