package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

const (
	batchPath  = "/batch"
	batchMedia = "application/x-ndjson"

	batchLines = 10000     // the server takes so many in one request
	batchBytes = 512 << 10 // the server takes 1 MiB by default; a larger message goes alone
	// batchSafe is how many messages of one channel are in one request: the server
	// remembers at least so many ids, so that all of a request can be repeated.
	batchSafe = 64
)

// BatchResult says what has become of one message of a batch.
type BatchResult struct {
	Seq       int64 // its number
	Duplicate bool  // as in Published
	Err       error // why it is not published, or why that is not known
}

// Batch publishes many messages with few requests, of any channels; those of one channel
// in order. One that is refused does not stop the others; that a server refuses for a time
// comes after them. IfSeq and Epoch must not be set.
//
// It repeats what was not answered, as Publish does, so messages without an ID get one.
// When err is nil, all results are known for certain. Otherwise no further message is
// tried, and err is also the Err of each message of which nothing is known. results has
// one for each message, in order.
func (a *Admin) Batch(ctx context.Context, list []Publication) (results []BatchResult, err error) {
	results = make([]BatchResult, len(list))
	b := batch{admin: a, results: results, todo: make([]line, 0, len(list))}
	for i, p := range list {
		l, err := newLine(i, p)
		if err != nil {
			results[i].Err = err
			continue
		}
		b.todo = append(b.todo, l)
	}
	if err = b.run(ctx); err != nil {
		for _, l := range b.todo {
			results[l.index].Err = err
		}
	}
	return results, err
}

// line is one message of a batch.
type line struct {
	index   int // in the list
	channel string
	text    []byte // of the request, with its newline
}

func newLine(index int, p Publication) (line, error) {
	if p.IfSeq != 0 || p.Epoch != "" {
		return line{}, errors.New("a message of a batch cannot have IfSeq or Epoch")
	}
	if p.Encoded {
		text, err := decodeText(p.Content)
		if err != nil {
			return line{}, err
		}
		p.Content = text
	}
	if p.ID == "" {
		p.ID = NewID()
	}
	text, err := json.Marshal(map[string]string{"cname": p.Channel, "content": p.Content, "id": p.ID})
	return line{index, p.Channel, append(text, '\n')}, err
}

// batch is one call of Batch.
type batch struct {
	admin   *Admin
	results []BatchResult
	todo    []line // not answered yet, in order
	most    int    // lines of a request, since the server has found one too large; 0: no limit
}

func (b *batch) run(ctx context.Context) error {
	failures := 0
	for len(b.todo) > 0 {
		n := b.piece()
		later, err := b.send(ctx, b.todo[:n])
		if status, ok := errors.AsType[*StatusError](err); ok && status.Status == http.StatusRequestEntityTooLarge {
			if b.most = max(n/2, 1); n == 1 {
				b.results[b.todo[0].index].Err = err
				b.todo = b.todo[1:]
			}
			continue
		}
		if err != nil {
			return err
		}
		b.most *= 2
		refused := error(nil) // for a time
		if len(later) > 0 {
			refused = b.results[later[0].index].Err
		}
		b.todo = append(later, b.todo[n:]...)
		if refused == nil {
			failures = 0
			continue
		}
		if err := b.admin.wait(ctx, failures, refused); err != nil {
			return err
		}
		failures++
	}
	return nil
}

// piece is how many lines of todo the next request has.
func (b *batch) piece() int {
	of := map[string]int{}
	size := 0
	for n, l := range b.todo {
		of[l.channel]++
		size += len(l.text)
		if n > 0 && (n == b.most || n == batchLines || size > batchBytes || of[l.channel] > batchSafe) {
			return n
		}
	}
	return len(b.todo)
}

// send publishes some lines, and returns those that have to be sent again later.
func (b *batch) send(ctx context.Context, lines []line) (later []line, err error) {
	var body []byte
	for _, l := range lines {
		body = append(body, l.text...)
	}
	var answers []batchAnswer
	err = b.admin.repeat(ctx, true, func(ctx context.Context) error {
		text, err := b.admin.post(ctx, batchPath, batchMedia, body)
		if err != nil {
			return tooOld(err, batchPath)
		}
		answers, err = readAnswers(text, len(lines))
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, l := range lines {
		err := answers[i].err()
		b.results[l.index] = BatchResult{Seq: answers[i].Seq, Duplicate: answers[i].Duplicate, Err: err}
		if err != nil && Temporary(err) {
			later = append(later, l)
		}
	}
	return later, nil
}

// batchAnswer is what the server says of one line.
type batchAnswer struct {
	Type      string
	Seq       int64
	Duplicate bool
	Status    int
	Content   string
}

func (a *batchAnswer) err() error {
	switch {
	case a.Type == "ok":
		return nil
	case a.Status == http.StatusConflict:
		return &ConflictError{Text: a.Content, ended: true}
	}
	return &StatusError{Status: a.Status, Text: a.Content}
}

// readAnswers reads the answer of a batch, which has one for each line.
func readAnswers(text []byte, want int) (list []batchAnswer, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	for {
		var a batchAnswer
		if err := dec.Decode(&a); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s answered %.80q: %w", batchPath, text, err)
		}
		list = append(list, a)
	}
	wrong := slices.ContainsFunc(list, func(a batchAnswer) bool { return a.Type != "ok" && (a.Type != "error" || a.Status < 400) })
	if len(list) != want || wrong {
		return nil, fmt.Errorf("%s answered %.80q, want %d results", batchPath, text, want)
	}
	return list, nil
}
