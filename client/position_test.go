package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"icomet/client"
)

func TestPositionText(t *testing.T) {
	t.Parallel()
	for _, want := range []client.Position{{Epoch: "9f86d081", Seq: 57}, {Epoch: "00000000"}, {Epoch: "ffffffff", Seq: 1<<63 - 2}} {
		if got, err := client.ParsePosition(want.String()); got != want || err != nil {
			t.Errorf("%v: got %v, %v", want, got, err)
		}
		text, err := json.Marshal(map[string]client.Position{"p": want})
		if err != nil || string(text) != `{"p":"`+want.String()+`"}` {
			t.Errorf("%v in JSON: %s, %v", want, text, err)
		}
		var back struct{ P client.Position }
		if err := json.Unmarshal(text, &back); err != nil || back.P != want {
			t.Errorf("%s: got %v, %v", text, back.P, err)
		}
	}
	var none struct{ P client.Position }
	if err := json.Unmarshal([]byte(`{"p":""}`), &none); err != nil || none.P.String() != "" {
		t.Errorf("an empty one: %v, %v", none.P, err)
	}
	for _, text := range []string{
		"", "5", "9f86d081", "9f86d081-", "-5", "9F86D081-5", "9f86d08-5", "9f86d0811-5", "9f86d08g-5", "9f86d081-x", "9f86d081--5",
		"9f86d081-+5", "9f86d081-05", "9f86d081-5 ", " 9f86d081-5", "9f86d081_5", "9f86d081-9223372036854775807", "9f86d081-99999999999999999999",
	} {
		got, err := client.ParsePosition(text)
		if err == nil || !strings.Contains(err.Error(), "EPOCH-SEQ") || got != (client.Position{}) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

const epoch, another = "9f86d081", "0a1b2c3d"

// position is a position message as the server writes it; with a reason it is not
// recovered.
func position(epoch string, seq, lost int, reason client.Reason) string {
	text := fmt.Sprintf(`{"type":"position","cname":"a","seq":%d,"content":"","epoch":%q,"recovered":%t,"lost":%d`, seq, epoch, reason == "", lost)
	if reason != "" {
		text += fmt.Sprintf(`,"reason":%q`, reason)
	}
	return text + "}"
}

func control(kind string, seq int) string {
	return fmt.Sprintf(`{"type":%q,"cname":"a","seq":%d,"content":""}`, kind, seq)
}

// framed is a transport's answer with the messages; then the connection breaks.
func framed(transport client.Transport, messages ...string) answer {
	body := ""
	switch transport {
	case client.SSE:
		body = "retry: 1\n"
		for _, m := range messages {
			body += "data: " + m + "\nid: e-1\n\n"
		}
	case client.Iframe:
		for _, m := range messages {
			body += "<script>parent.icomet_cb(" + m + ");</script>\n"
		}
	case client.Poll:
		body = "[" + strings.Join(messages, ",") + "]\n"
	default:
		body = strings.Join(messages, "\n") + "\n"
	}
	return answer{body: body}
}

// told runs a subscriber against the answers until it has the contents, and returns what
// it was told, what it got, and the queries of its requests.
func told(t *testing.T, sub *client.Subscriber, answers [][]string, contents ...string) ([]client.Recovery, []client.Message, []string) {
	t.Helper()
	script := []answer{}
	for _, messages := range answers {
		script = append(script, framed(sub.Transport, messages...))
	}
	s := startScript(t, script...)
	recoveries := []client.Recovery{}
	sub.URL, sub.Channel, sub.MinBackoff, sub.MaxBackoff = s.URL, "a", time.Millisecond, time.Millisecond
	sub.OnPosition = func(r client.Recovery) { recoveries = append(recoveries, r) }
	b := receive(t, sub)
	got := b.want(contents...)
	queries := []string{}
	for range len(answers) + 1 { // to the last one nothing comes
		q := wait(t, s.requests).URL.Query()
		queries = append(queries, fmt.Sprintf("epoch=%s seq=%s last=%s", q["epoch"], q.Get("seq"), q.Get("last")))
	}
	b.stop()
	wait(t, b.end)
	return recoveries, got, queries
}

// positionCase is what a subscriber is answered, and what it must make of it.
type positionCase struct {
	name     string
	sub      client.Subscriber
	answers  [][]string
	told     []client.Recovery
	got      string // of the last message: position, lost, reason, restarted
	queries  string
	contents []string
	streams  bool // a poll judges by the epoch and the number
}

func at(epoch string, seq int64) client.Position { return client.Position{Epoch: epoch, Seq: seq} }

func fine(epoch string, seq int64) client.Recovery {
	return client.Recovery{Position: at(epoch, seq), Recovered: true}
}

func lost(epoch string, seq, count int64, why client.Reason) client.Recovery {
	return client.Recovery{Position: at(epoch, seq), Lost: count, Reason: why}
}

var positionCases = []positionCase{
	{name: "from now, and recovered",
		answers:  [][]string{{position(epoch, 5, 0, ""), message(5)}, {position(epoch, 6, 0, ""), message(6)}},
		told:     []client.Recovery{fine(epoch, 4), fine(epoch, 5)},
		queries:  "epoch=[] seq=0 last=, epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=7 last=",
		contents: numbered(5, 6), got: "9f86d081-6 0  false"},
	{name: "all, of which the first have gone", sub: client.Subscriber{Seq: 1},
		answers:  [][]string{{position(epoch, 8, 0, ""), message(8)}},
		told:     []client.Recovery{fine(epoch, 7)},
		queries:  "epoch=[] seq=1 last=, epoch=[9f86d081] seq=9 last=",
		contents: numbered(8, 8), got: "9f86d081-8 0  false"},
	{name: "trimmed", sub: client.Subscriber{From: at(epoch, 5), Seq: 3, Last: 2},
		answers:  [][]string{{position(epoch, 9, 3, "trimmed"), message(9)}},
		told:     []client.Recovery{lost(epoch, 8, 3, "trimmed")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=10 last=",
		contents: numbered(9, 9), got: "9f86d081-9 3 trimmed false"},
	{name: "trimmed from the beginning", sub: client.Subscriber{From: at(epoch, 0)},
		answers:  [][]string{{position(epoch, 9, 8, "trimmed"), message(9)}},
		told:     []client.Recovery{lost(epoch, 8, 8, "trimmed")},
		queries:  "epoch=[9f86d081] seq=1 last=, epoch=[9f86d081] seq=10 last=",
		contents: numbered(9, 9), got: "9f86d081-9 8 trimmed false"},
	{name: "another life, whose numbers are higher", sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position(another, 1, -1, "epoch"), message(1), message(2)}},
		told:     []client.Recovery{lost(another, 0, -1, "epoch")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[0a1b2c3d] seq=3 last=",
		contents: numbered(1, 2), got: "0a1b2c3d-2 0  false"},
	{name: "ahead", sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position(epoch, 3, -1, "ahead"), message(3)}},
		told:     []client.Recovery{lost(epoch, 2, -1, "ahead")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=4 last=",
		contents: numbered(3, 3), got: "9f86d081-3 -1 ahead true"},
	{name: "a number only", sub: client.Subscriber{Seq: 7},
		answers:  [][]string{{position(epoch, 7, -1, "epoch"), message(7)}},
		told:     []client.Recovery{lost(epoch, 6, -1, "epoch")},
		queries:  "epoch=[] seq=7 last=, epoch=[9f86d081] seq=8 last=",
		contents: numbered(7, 7), got: "9f86d081-7 -1 epoch false"},
	{name: "the last ones", sub: client.Subscriber{Last: 2, Seq: 7},
		answers:  [][]string{{position(epoch, 4, 0, ""), message(4)}},
		told:     []client.Recovery{fine(epoch, 3)},
		queries:  "epoch=[] seq=0 last=2, epoch=[9f86d081] seq=5 last=",
		contents: numbered(4, 4), got: "9f86d081-4 0  false"},
	{name: "the numbering changes under it", sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position(epoch, 6, 0, ""), message(6), position(another, 2, -1, "epoch"), message(2)}},
		told:     []client.Recovery{fine(epoch, 5), lost(another, 1, -1, "epoch")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[0a1b2c3d] seq=3 last=",
		contents: []string{"m6", "m2"}, got: "0a1b2c3d-2 -1 epoch true"},
	{name: "several losses before a message", sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position(epoch, 8, 2, "trimmed")}, {position(another, 1, -1, "epoch")}, {position(another, 4, 3, "trimmed"), message(4)}},
		told:     []client.Recovery{lost(epoch, 7, 2, "trimmed"), lost(another, 0, -1, "epoch"), lost(another, 3, 3, "trimmed")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=8 last=, epoch=[0a1b2c3d] seq=1 last=, epoch=[0a1b2c3d] seq=5 last=",
		contents: numbered(4, 4), got: "0a1b2c3d-4 -1 epoch true"},
	{name: "recovered, but the numbers say otherwise", streams: true, sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position(epoch, 8, 0, ""), message(8)}},
		told:     []client.Recovery{fine(epoch, 5), lost(epoch, 7, 2, "trimmed")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=9 last=",
		contents: numbered(8, 8), got: "9f86d081-8 2 trimmed false"},
	{name: "recovered, but of another life", streams: true, sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position(another, 6, 0, ""), message(6)}},
		told:     []client.Recovery{lost(another, 5, -1, "epoch")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[0a1b2c3d] seq=7 last=",
		contents: numbered(6, 6), got: "0a1b2c3d-6 -1 epoch true"},
	{name: "a position that is none", sub: client.Subscriber{From: at(epoch, 5)},
		answers:  [][]string{{position("x", 6, 0, ""), message(6)}, {position(epoch, 0, 0, "")}, {position(epoch, 7, 1, "trimmed"), message(7)}},
		told:     []client.Recovery{lost(epoch, 6, 1, "trimmed")},
		queries:  "epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=6 last=, epoch=[9f86d081] seq=8 last=",
		contents: numbered(7, 7), got: "9f86d081-7 1 trimmed false"},
}

// TestPositions: on every transport the subscriber asks with its position, and says what
// the server says about it.
func TestPositions(t *testing.T) {
	t.Parallel()
	for _, c := range positionCases {
		for _, transport := range client.Transports {
			t.Run(fmt.Sprint(c.name, " ", transport), func(t *testing.T) {
				t.Parallel()
				asked := c.queries
				if transport == client.Poll { // it asks for a position until it has one
					if c.streams {
						return
					}
					asked = strings.ReplaceAll(asked, "epoch=["+epoch+"] seq="+fmt.Sprint(c.sub.From.Seq+1)+" ", "epoch=[] seq="+fmt.Sprint(c.sub.From.Seq+1)+" ")
				}
				sub := c.sub
				sub.Transport = transport
				recoveries, got, queries := told(t, &sub, c.answers, c.contents...)
				if fmt.Sprint(recoveries) != fmt.Sprint(c.told) {
					t.Errorf("told %v, want %v", recoveries, c.told)
				}
				last := got[len(got)-1]
				if text := fmt.Sprint(last.Position(), " ", last.Lost, " ", last.Reason, " ", last.Restarted); text != c.got {
					t.Errorf("the last message has %q, want %q", text, c.got)
				}
				if text := strings.Join(queries, ", "); text != asked {
					t.Errorf("asked with %s,\nwant       %s", text, asked)
				}
				if sub.From != last.Position() || sub.Last != 0 {
					t.Errorf("goes on after %v with Last %d, want %v", sub.From, sub.Last, last.Position())
				}
			})
		}
	}
}

// TestOldServer: of a server that does not know positions nothing is claimed, also when it
// comes after one that knows them.
func TestOldServer(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		sub := &client.Subscriber{Transport: transport, Last: 3}
		recoveries, got, queries := told(t, sub, [][]string{{control("next_seq", 5)}, {message(5)}, {message(8)}, {control("next_seq", 3)}, {message(1)}}, "m5", "m8", "m1")
		if want := "[{ false 2 } { false -1 }]"; fmt.Sprint(recoveries) != want {
			t.Errorf("%s: told %v, want %s", transport, recoveries, want)
		}
		for i, want := range []string{" 0  false", " 2  false", " -1  true"} {
			m := got[i]
			if text := fmt.Sprint(m.Position(), " ", m.Lost, " ", m.Reason, " ", m.Restarted); text != want {
				t.Errorf("%s: message %d has %q, want %q", transport, i, text, want)
			}
		}
		want := "epoch=[] seq=0 last=3, epoch=[] seq=5 last=, epoch=[] seq=6 last=, epoch=[] seq=9 last=, epoch=[] seq=1 last=, epoch=[] seq=2 last="
		if text := strings.Join(queries, ", "); text != want {
			t.Errorf("%s: asked with %s,\nwant %s", transport, text, want)
		}
		if sub.From != (client.Position{}) || sub.Seq != 2 {
			t.Errorf("%s: goes on after %v with %d", transport, sub.From, sub.Seq)
		}
		if transport == client.Poll { // that it is another server shows when a poll has failed
			continue
		}
		_, got, queries = told(t, &client.Subscriber{Transport: transport}, [][]string{{position(epoch, 5, 0, ""), message(5)}, {message(6)}}, "m5", "m6")
		if got[0].Epoch != epoch || got[1].Epoch != "" || queries[2] != "epoch=[] seq=7 last=" {
			t.Errorf("%s: got %+v with %s", transport, got, queries)
		}
	}
}

// TestPollPosition: a position alone is a whole answer of a poll, which asks on at once.
func TestPollPosition(t *testing.T) {
	t.Parallel()
	sub := &client.Subscriber{Transport: client.Poll, MinBackoff: time.Hour}
	s := startScript(t, answer{body: position(epoch, 5, 0, "")}, framed(client.Poll, message(5)), answer{body: position(another, 1, -1, "epoch")}, answer{body: message(1)})
	sub.URL, sub.Channel = s.URL, "a"
	if m := receive(t, sub).want("m5", "m1")[1]; m.Epoch != another || m.Lost != -1 {
		t.Errorf("got %+v", m)
	}
}

// TestPollJudges: after a failure a poll asks without the epoch, so that each server that
// knows positions tells one, and judges it.
func TestPollJudges(t *testing.T) {
	t.Parallel()
	const number = client.ReasonEpoch // what the server says of a number alone
	for _, c := range []struct {
		answers              []string
		told, query, content string
	}{
		{[]string{position(epoch, 6, -1, number)}, "[9f86d081-5 true 0 ]", "epoch=[9f86d081] seq=6", "m6 9f86d081 0 false"},
		{[]string{position(epoch, 6, -1, number), message(6)}, "[9f86d081-5 true 0 ]", "epoch=[9f86d081] seq=7", "m6 9f86d081 0 false"},
		{[]string{position(epoch, 9, -1, number), message(9)}, "[9f86d081-8 false 3 trimmed]", "epoch=[9f86d081] seq=10", "m9 9f86d081 3 false"},
		{[]string{position(epoch, 4, 0, "")}, "[9f86d081-3 false -1 ahead]", "epoch=[9f86d081] seq=4", "m4 9f86d081 -1 true"},
		{[]string{position(another, 6, -1, number), message(6)}, "[0a1b2c3d-0 false -1 epoch]", "epoch=[0a1b2c3d] seq=1", "m1 0a1b2c3d -1 true"},
		{[]string{position(another, 1, -1, number), message(1)}, "[0a1b2c3d-0 false -1 epoch]", "epoch=[0a1b2c3d] seq=2", "m1 0a1b2c3d -1 true"},
		{[]string{message(6)}, "[]", "epoch=[] seq=7", "m6  0 false"}, // a server before 0.2
	} {
		seq := 0
		fmt.Sscanf(c.content, "m%d", &seq)
		s := startScript(t, answer{status: http.StatusServiceUnavailable}, framed(client.Poll, c.answers...), framed(client.Poll, message(seq)))
		told := []string{}
		sub := client.Subscriber{URL: s.URL, Channel: "a", From: client.Position{Epoch: epoch, Seq: 5}, Transport: client.Poll}
		sub.OnPosition = func(r client.Recovery) {
			told = append(told, fmt.Sprint(r.Position, " ", r.Recovered, " ", r.Lost, " ", r.Reason))
		}
		m := receive(t, &sub).want(fmt.Sprint("m", seq))[0]
		if got := fmt.Sprint(m.Content, " ", m.Epoch, " ", m.Lost, " ", m.Restarted); got != c.content || fmt.Sprint(told) != c.told {
			t.Errorf("%q: got %s, want %s; told %q, want %s", c.answers, got, c.content, told, c.told)
		}
		for _, want := range []string{"epoch=[] seq=6", "epoch=[] seq=6", c.query} {
			if q := wait(t, s.requests).URL.Query(); fmt.Sprintf("epoch=%s seq=%s", q["epoch"], q.Get("seq")) != want {
				t.Errorf("%q: asked with %s, want %s", c.answers, q, want)
			}
		}
	}
}

// TestLossIsNotForgotten: a loss that no message could say any more is said by the next
// Messages.
func TestLossIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		lost := []string{position(another, 1, -1, "epoch")}
		s := startScript(t, framed(transport, lost...), answer{open: true}, framed(transport, append(lost, message(1))...))
		sub := client.Subscriber{URL: s.URL, Channel: "a", From: at(epoch, 5), Transport: transport}
		b := witnessed(t, &sub)
		if r := wait(t, b.told); r.Lost != -1 {
			t.Errorf("%s: told %+v", transport, r)
		}
		wait(t, s.requests)
		wait(t, s.requests)
		b.stop()
		if err := wait(t, b.end); !errors.Is(err, context.Canceled) || sub.From != at(epoch, 5) {
			t.Errorf("%s: ended with %v at %v", transport, err, sub.From)
		}
		if m := receive(t, &sub).want("m1")[0]; m.Lost != -1 || !m.Restarted {
			t.Errorf("%s: got %+v", transport, m)
		}
	}
}

// TestEnd: the end of a channel comes after its last message, and ends a subscription for
// good.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		for _, messages := range [][]string{
			{position(epoch, 1, 0, ""), message(1), control("end", 2)}, {position(epoch, 1, 0, ""), control("end", 1)}, {control("end", 1)},
		} {
			s := startScript(t, framed(transport, messages...))
			b := receive(t, &client.Subscriber{URL: s.URL, Channel: "a", Seq: 1, Transport: transport})
			err := wait(t, b.end)
			if !errors.Is(err, client.ErrEnded) || client.Temporary(err) || len(s.requests) != 1 || len(b.messages) != strings.Count(strings.Join(messages, ""), "data") {
				t.Errorf("%s: %d messages, %d requests, ended with %v", transport, len(b.messages), len(s.requests), err)
			}
		}
	}
}

// TestWrongBeginning: what cannot be a position is refused without a request.
func TestWrongBeginning(t *testing.T) {
	t.Parallel()
	for _, sub := range []client.Subscriber{
		{From: client.Position{Seq: 5}}, {From: client.Position{Epoch: "9F86D081", Seq: 5}}, {From: client.Position{Epoch: epoch, Seq: -1}},
		{From: client.Position{Epoch: epoch, Seq: 1<<63 - 1}}, {Last: -1},
	} {
		s := startScript(t)
		sub.URL, sub.Channel = s.URL, "a"
		err := wait(t, receive(t, &sub).end)
		if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status != http.StatusBadRequest || len(s.requests) > 0 {
			t.Errorf("%+v: ended with %v after %d requests", sub, err, len(s.requests))
		}
	}
}
