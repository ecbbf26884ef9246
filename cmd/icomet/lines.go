package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"icomet/client"
)

const (
	// maxLine bounds a line of standard input, in bytes. Each line becomes one message.
	maxLine = 16 << 20
	// longestAnswer is how long a publish waits for its answer, until it is tried again.
	longestAnswer = 30 * time.Second
)

var errNoAnswer = errors.New("the server does not answer")

// lines publishes each line of a text, in order.
type lines struct {
	publish func(ctx context.Context, line string) error
	stderr  io.Writer
	encoded bool // a line may be what the server refuses, because of its text
	refused int  // lines
}

// copy publishes the lines of r. It waits while the server is away. A line that is not
// accepted is told of, and the others go on: the error comes at the end.
func (l *lines) copy(ctx context.Context, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		line, tooLong, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && tooLong {
			l.refuse(number, fmt.Sprintf("longer than %d MiB", maxLine>>20))
			continue
		}
		if err == nil {
			err = l.send(ctx, number, line)
		}
		if err != nil {
			return err
		}
	}
	if l.refused > 0 {
		return fmt.Errorf("%d lines were not published", l.refused)
	}
	return nil
}

func (l *lines) refuse(number int, why string) {
	l.refused++
	fmt.Fprintf(l.stderr, "icomet: line %d is not published: %s\n", number, why)
}

// send publishes one line, as often as needed.
func (l *lines) send(ctx context.Context, number int, line string) error {
	again := retrying{stderr: l.stderr}
	for {
		try, cancel := context.WithTimeoutCause(ctx, longestAnswer, errNoAnswer)
		err := l.publish(try, line)
		if err != nil && context.Cause(try) == errNoAnswer {
			err = errNoAnswer
		}
		cancel()
		if err == nil {
			return nil
		}
		if status, ok := errors.AsType[*client.StatusError](err); ok &&
			(status.Status == http.StatusRequestEntityTooLarge || l.encoded && status.Status == http.StatusBadRequest) {
			l.refuse(number, err.Error())
			return nil
		}
		if err := again.wait(ctx, err); err != nil {
			return err
		}
	}
}

// readLine reads a line and cuts off its end. The last one needs none. Of a line that is
// too long nothing is kept.
func readLine(in *bufio.Reader) (line string, tooLong bool, err error) {
	var b []byte
	for {
		part, err := in.ReadSlice('\n')
		if tooLong = tooLong || len(b)+len(part) > maxLine; tooLong {
			b = nil
		} else {
			b = append(b, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(b) > 0 || tooLong):
			err = nil
		}
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
		return string(b), tooLong, err
	}
}
