package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/wire"
)

// A transcript is a conversation with a server, byte for byte, in blocks that an
// empty line ends:
//
//	# a comment; the first says what the file is about
//	set front.polling_timeout=1     the server's configuration, before anything else
//	call /push?cname=a&content=x    a GET on the admin port, answered 200
//	connect front                   a new connection, from now on the one talked to
//	connect admin NAME              the same with a name to come back to
//	use NAME                        talk to that one again
//	end                             the server closes here, and sends nothing more
//	leave                           this side closes: the answer would not end
//
// Any other block is what goes over the connection: the bytes sent, the line
// ----------, the bytes that must come back, all of them and no others. Either part
// may be missing. Each line stands for its bytes alone: line ends are written \r\n,
// other bytes as \xNN, a backslash as \\. {version} is the server's version, {date} the
// present time, {token} the token that the first answer with {token} in it has brought.
// {epoch} in an answer is any epoch, in a request the last one that has come.
//
// At the end every connection that has not ended is asked for an unknown path: its
// 404 must be the next that comes, so that the answers before had no byte too many.
type transcript struct {
	name   string
	set    []string
	blocks []transcriptBlock
}

type transcriptBlock struct {
	line       int
	verb       string // "" for bytes
	args       []string
	send, want string
}

func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d transcripts found, %v", len(files), err)
	}
	shared := startServer(t, nil)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := parseTranscript(filepath.Base(file), string(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(tr.name, ".txt"), func(t *testing.T) {
			s := shared
			if len(tr.set) > 0 {
				s = startServer(t, withSettings(t, tr.set...))
			}
			play := player{t: t, s: s, tr: tr, named: map[string]*client{}}
			play.run()
		})
	}
}

// withSettings edits a configuration as environment variables would: "front.auth=token".
func withSettings(t testing.TB, pairs ...string) func(*config.Config) {
	t.Helper()
	variable := func(key, value string) string {
		return "ICOMET_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) + "=" + value
	}
	return func(cfg *config.Config) {
		environ := []string{
			variable("front.listen", cfg.Front.Listen), variable("admin.listen", cfg.Admin.Listen),
			variable("runtime.event_loops", strconv.Itoa(cfg.Runtime.EventLoops)),
			variable("limits.drain_timeout", cfg.Limits.DrainTimeout.String()),
		}
		for _, pair := range pairs {
			key, value, _ := strings.Cut(pair, "=")
			environ = append(environ, variable(key, value))
		}
		edited, warnings, err := config.Load("", environ)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%v: %v %v", pairs, err, warnings)
		}
		edited.Front.TLS, edited.Admin.TLS = cfg.Front.TLS, cfg.Admin.TLS
		*cfg = edited
	}
}

func parseTranscript(name, text string) (*transcript, error) {
	tr := &transcript{name: name}
	var raw []string
	start := 0
	finish := func() error {
		if len(raw) == 0 {
			return nil
		}
		b, err := bytesBlock(raw)
		b.line = start
		tr.blocks = append(tr.blocks, b)
		raw = nil
		return err
	}
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		var err error
		switch {
		case line == "":
			err = finish()
		case len(raw) > 0:
			raw = append(raw, line)
		case line[0] == '#':
		case words[0] == "set":
			if len(tr.blocks) > 0 {
				err = fmt.Errorf("set comes first")
			}
			tr.set = append(tr.set, words[1:]...)
		case words[0] == "call", words[0] == "connect", words[0] == "use", words[0] == "end", words[0] == "leave":
			tr.blocks = append(tr.blocks, transcriptBlock{line: i + 1, verb: words[0], args: words[1:]})
		default:
			raw, start = []string{line}, i+1
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	return tr, finish()
}

const transcriptLine = "----------"

func bytesBlock(lines []string) (b transcriptBlock, err error) {
	part := &b.send
	for _, line := range lines {
		if line == transcriptLine {
			if part == &b.want {
				return b, fmt.Errorf("two lines %s in one block", transcriptLine)
			}
			part = &b.want
			continue
		}
		raw, err := unescapeTranscript(line)
		if err != nil {
			return b, err
		}
		*part += raw
	}
	return b, nil
}

func unescapeTranscript(line string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			b.WriteByte(line[i])
			continue
		}
		if i++; i == len(line) {
			return "", fmt.Errorf("%q ends within an escape", line)
		}
		switch line[i] {
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		case '\\':
			b.WriteByte('\\')
		case 'x':
			v, err := strconv.ParseUint(line[i+1:min(i+3, len(line))], 16, 8)
			if err != nil {
				return "", fmt.Errorf("%q: %w", line, err)
			}
			b.WriteByte(byte(v))
			i += 2
		default:
			return "", fmt.Errorf("%q has an unknown escape", line)
		}
	}
	return b.String(), nil
}

// player plays one transcript.
type player struct {
	t     *testing.T
	s     *testServer
	tr    *transcript
	cur   *client
	named map[string]*client
	open  []*client // not ended, in order
	token string
	epoch string
}

func (p *player) run() {
	for i := range p.tr.blocks {
		p.block(&p.tr.blocks[i])
	}
	for _, c := range p.open {
		c.get("/no-such-path")
		if got := c.readSome(len("HTTP/1.1 404 ")); got != "HTTP/1.1 404 " {
			p.t.Errorf("%s: a connection goes on with %q where the answer to the last request was expected", p.tr.name, got)
		}
	}
}

func (p *player) block(b *transcriptBlock) {
	at := fmt.Sprintf("%s:%d", p.tr.name, b.line)
	switch b.verb {
	case "call":
		if status, body := p.s.request("GET", p.s.admin, p.fill(b.args[0])); status != 200 {
			p.t.Fatalf("%s: %s: %d %s", at, b.args[0], status, body)
		}
	case "connect":
		addr := p.s.front
		if b.args[0] == "admin" {
			addr = p.s.admin
		}
		p.cur = dial(p.t, addr)
		p.open = append(p.open, p.cur)
		if len(b.args) > 1 {
			p.named[b.args[1]] = p.cur
		}
	case "use":
		if p.cur = p.named[b.args[0]]; p.cur == nil {
			p.t.Fatalf("%s: no connection has the name %s", at, b.args[0])
		}
	case "end", "leave":
		if b.verb == "end" {
			p.cur.expectEnd()
		}
		p.cur.Close()
		for i, c := range p.open {
			if c == p.cur {
				p.open = append(p.open[:i], p.open[i+1:]...)
				break
			}
		}
	default:
		if b.want == "" { // a poll that is to wait before the next block
			p.s.deliver(p.cur, p.fill(b.send))
			return
		}
		p.cur.sendf("%s", p.fill(b.send))
		p.expect(at, b.want)
	}
}

func (p *player) fill(s string) string {
	s = strings.ReplaceAll(s, "{version}", wire.Version)
	if p.token != "" {
		s = strings.ReplaceAll(s, "{token}", p.token)
	}
	return strings.ReplaceAll(s, "{epoch}", p.epoch)
}

var tokenForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// expect reads as many bytes as are wanted and compares them.
func (p *player) expect(at, want string) {
	want = p.fill(strings.ReplaceAll(want, "{epoch}", anyEpoch))
	blank := strings.Repeat("?", 32)
	want = strings.ReplaceAll(want, "{token}", blank)
	want = strings.ReplaceAll(want, "{date}", http.TimeFormat)
	got := p.cur.readSome(len(want))
	want = p.dates(at, got, want)
	if i := strings.LastIndex(want, anyEpoch); i >= 0 && i+len(anyEpoch) <= len(got) {
		p.epoch = got[i : i+len(anyEpoch)]
	}
	want = takeEpochs(got, want)
	if i := strings.Index(want, blank); i >= 0 && len(got) == len(want) {
		if p.token = got[i : i+32]; !tokenForm.MatchString(p.token) {
			p.t.Errorf("%s: the token is %q", at, p.token)
		}
		want = strings.ReplaceAll(want, blank, p.token)
	}
	if got != want {
		p.t.Fatalf("%s: got\n%s\nwant\n%s", at, showBytes(got), showBytes(want))
	}
}

// anyEpoch stands in a text that is wanted for 8 hex digits, whichever they are.
const anyEpoch = "~~~~~~~~"

var epochForm = regexp.MustCompile(`^[0-9a-f]{8}$`)

// takeEpochs takes over into want the epochs that stand in got where want has anyEpoch.
func takeEpochs(got, want string) string {
	for {
		i := strings.Index(want, anyEpoch)
		end := i + len(anyEpoch)
		if i < 0 || end > len(got) || !epochForm.MatchString(got[i:end]) {
			return want
		}
		want = want[:i] + got[i:end] + want[end:]
	}
}

// dates takes over into want the times that stand in got where want has http.TimeFormat.
func (p *player) dates(at, got, want string) string {
	for {
		i := strings.Index(want, http.TimeFormat)
		end := i + len(http.TimeFormat)
		if i < 0 || end > len(got) {
			return want
		}
		if err := checkDate(got[i:end]); err != nil {
			p.t.Fatalf("%s: %v in\n%s", at, err, showBytes(got))
		}
		want = want[:i] + got[i:end] + want[end:]
	}
}

// readSome reads n bytes, fewer when no more come.
func (c *client) readSome(n int) string {
	b := make([]byte, n)
	k, _ := io.ReadFull(c.R, b)
	return string(b[:k])
}

// showBytes writes bytes as a transcript does.
func showBytes(s string) string {
	s = strconv.Quote(s)
	s = strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
	return strings.ReplaceAll(s, `\n`, "\\n\n")
}

// TestTranscriptFormat: a file is read as the format says, and a mistake in it is one.
func TestTranscriptFormat(t *testing.T) {
	tr, err := parseTranscript("x", "# about\nset a=b c=d\n\ncall /x\nconnect front n\nA\\r\\n\n\\x00\\\\\n----------\nB\n\nend\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "[{4 call [/x]  } {5 connect [front n]  } {6  [] A\r\n\x00\\ B} {11 end []  }]"
	if got := fmt.Sprint(tr.blocks); got != want || fmt.Sprint(tr.set) != "[a=b c=d]" {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"A\\", "A\\q", "\\xzz", "A\n----------\nB\n----------\n"} {
		if _, err := parseTranscript("x", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
