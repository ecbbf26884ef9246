package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"icomet/internal/selfsigned"
	"icomet/server/servertest"
)

// openSSL is a run of openssl s_client with the front port of a server.
type openSSL struct {
	t     *testing.T
	in    io.WriteCloser
	out   *servertest.Output
	ended chan error
}

func startOpenSSL(t *testing.T, s *servertest.Server, args ...string) *openSSL {
	t.Helper()
	cmd := exec.Command("openssl", append([]string{"s_client", "-connect", servertest.HostPort(s.Front), "-verify_return_error", "-msg"}, args...)...)
	o := &openSSL{t: t, out: new(servertest.Output), ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = o.out, o.out
	var err error
	if o.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test-needs installs it", err)
	}
	t.Cleanup(func() {
		o.in.Close()
		_ = cmd.Process.Kill() // it may have ended already
	})
	go func() { o.ended <- cmd.Wait() }()
	return o
}

// write sends what a person would type.
func (o *openSSL) write(text string) {
	o.t.Helper()
	if _, err := io.WriteString(o.in, text); err != nil {
		o.t.Fatalf("%v\n%s", err, o.out)
	}
}

func (o *openSSL) want(expression string) {
	o.t.Helper()
	checkFor(o.t, startLimit, func() error {
		if !regexp.MustCompile(expression).MatchString(o.out.String()) {
			return fmt.Errorf("openssl s_client has not printed %q:\n%s", expression, o.out)
		}
		return nil
	})
}

func (o *openSSL) wantEnd() {
	o.t.Helper()
	if err := <-o.ended; err != nil {
		o.t.Errorf("%v\n%s", err, o.out)
	}
}

// closeNotify is what -msg prints of one that has come.
const closeNotify = `<<< TLS 1\.[23], Alert \[length 0002\], warning close_notify`

func streamRequest(cname string) string {
	return "GET /stream?cname=" + cname + "&seq=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
}

// withCertificates starts a server that has an ECDSA certificate for ecdsa.test and an RSA
// one for rsa.test, and returns the file of who has signed them.
func withCertificates(t *testing.T) (s *servertest.Server, ca string) {
	t.Helper()
	dir := t.TempDir()
	authority, err := selfsigned.New("another")
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = authority.Write(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, kind := range []string{"ecdsa", "rsa"} {
		issued, err := authority.Issue(selfsigned.Options{Names: []string{kind + ".test"}, RSA: kind == "rsa"})
		if err != nil {
			t.Fatal(err)
		}
		certificate, key, err := issued.Write(dir, kind)
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, certificate+":"+key)
	}
	return servertest.StartTLS(t, "ICOMET_FRONT_TLS_CERTIFICATES="+strings.Join(pairs, ",")), ca
}

// TestOpenSSL: each suite with each kind of certificate. A subscriber gets what is stored and
// what comes, through updates of the keys that either side asks for, and close_notify.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	s, ca := withCertificates(t)
	for _, kind := range []string{"ecdsa", "rsa"} {
		for _, suite := range []string{
			"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
			"AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305",
		} {
			version, option := "1.3", "-ciphersuites"
			if !strings.HasPrefix(suite, "TLS_") {
				version, option, suite = "1.2", "-cipher", "ECDHE-"+strings.ToUpper(kind)+"-"+suite
			}
			t.Run(kind+" "+suite, func(t *testing.T) {
				t.Parallel()
				cname := kind + "-" + suite
				s.Push(cname, "stored")
				o := startOpenSSL(t, s, "-CAfile", ca, "-verify_hostname", kind+".test", "-servername", kind+".test", "-tls"+strings.Replace(version, ".", "_", 1), option, suite)
				o.want("Cipher is " + suite)
				o.write(streamRequest(cname))
				o.want(`"content":"stored"`)
				if version == "1.3" {
					o.write("K\n") // the client's keys, and it asks for the server's
					o.want(`KEYUPDATE`)
					s.Push(cname, "after K")
					o.want(`"content":"after K"`)
					o.write("k\n") // the client's keys alone
					o.want(`(?s)KEYUPDATE.*KEYUPDATE`)
				}
				s.Push(cname, "live")
				o.want(`"content":"live"`)
				s.Call("/close", "cname", cname)
				o.want(closeNotify)
				o.wantEnd()
			})
		}
	}
}

// TestOpenSSLLeaves: close_notify of a client ends its subscription.
func TestOpenSSLLeaves(t *testing.T) {
	t.Parallel()
	s := servertest.StartTLS(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		o := startOpenSSL(t, s, "-CAfile", servertest.AuthorityFile(), version)
		o.write(streamRequest("a"))
		s.WaitSubscribers("a", 1)
		o.write("Q\n")
		o.wantEnd()
		s.WaitSubscribers("a", 0)
	}
}

// TestOpenSSLResumes: a session that was kept in a file is resumed, also after a reload.
func TestOpenSSLResumes(t *testing.T) {
	t.Parallel()
	s := servertest.StartTLS(t)
	file := filepath.Join(t.TempDir(), "session")
	run := func(args ...string) *openSSL {
		t.Helper()
		o := startOpenSSL(t, s, append(args, "-CAfile", servertest.AuthorityFile(), "-tls1_3", "-ign_eof")...)
		o.write("GET /ping?cb= HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		o.want(`"type":"ping"`)
		o.wantEnd()
		return o
	}
	run("-sess_out", file).want("New, TLSv1.3")
	run("-sess_in", file).want("Reused, TLSv1.3")
	var stats struct {
		TLS map[string]struct {
			Resumed int `json:"resumed_total"`
		}
	}
	if err := json.Unmarshal([]byte(s.Call("/stats")), &stats); err != nil || stats.TLS["front"].Resumed != 1 {
		t.Errorf("%v: %+v, want 1 resumed at the front port", err, stats)
	}
}

// TestCurlTLS: curl publishes and subscribes with each version; it also says in words what
// it does not trust, and what the server does not speak.
func TestCurlTLS(t *testing.T) {
	t.Parallel()
	s := servertest.StartTLS(t)
	curl := func(args ...string) (string, error) {
		cmd := exec.Command("curl", append([]string{"-sS", "--max-time", "20", "--noproxy", "*"}, args...)...)
		cmd.Env = servertest.Trusting()
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for name, version := range map[string][]string{
		"1.2": {"--tlsv1.2", "--tls-max", "1.2"}, "1.3": {"--tlsv1.3"}, "HTTP/1.0": {"--http1.0"}, "HTTP/2": {"--http2"},
	} {
		t.Run(name, func(t *testing.T) {
			content := strings.Repeat(name, 5000)
			got, err := curl(append(version, s.Admin+"/push", "--data-urlencode", "cname="+name, "--data-urlencode", "content="+content)...)
			if err != nil || got != "{\"type\":\"ok\"}\n" {
				t.Errorf("publishing: %q, %v", got, err)
			}
			s.Call("/end", "cname", name, "content", "bye")
			got, err = curl(append(version, "-N", "-G", s.Front+"/stream", "--data-urlencode", "cname="+name, "-d", "seq=1")...)
			if err != nil || !strings.Contains(got, `"content":"`+content+`"}`) || !strings.Contains(got, `"type":"end"`) {
				t.Errorf("subscribing: %.200q, %v", got, err)
			}
		})
	}
	if got, err := curl("--cacert", "/dev/null", s.Front+"/ping"); err == nil || !strings.Contains(got, "certificate") {
		t.Errorf("without the authority: %q, %v", got, err)
	}
	newer := servertest.StartTLS(t, "ICOMET_FRONT_TLS_MIN_VERSION=1.3")
	if got, err := curl("--tls-max", "1.2", newer.Front+"/ping"); err == nil || !strings.Contains(got, "alert protocol version") {
		t.Errorf("1.2 where 1.3 is the oldest: %q, %v", got, err)
	}
	plain := strings.Replace(s.Front, "https://", "http://", 1)
	if got, err := curl(plain + "/ping"); err != nil || !strings.Contains(got, "https") {
		t.Errorf("in plain: %q, %v", got, err)
	}
}
