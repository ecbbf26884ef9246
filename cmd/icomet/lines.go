package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"icomet/client"
)

// maxLine bounds a line of standard input, in bytes. Each line becomes one message.
const maxLine = 16 << 20

// lines publishes each line of a text, in order.
type lines struct {
	admin   *client.Admin
	place   *place
	channel string
	encoded bool // a line is the inside of a JSON string
	stderr  io.Writer
	refused int // lines
}

// input is a line that was read, or why there are no more.
type input struct {
	number  int // from 1
	text    string
	tooLong bool
	err     error
}

// copy publishes the lines of r. It waits while the server is away. A line that is not
// accepted is told of, and the others go on: the error comes at the end.
func (l *lines) copy(ctx context.Context, r io.Reader) error {
	batches := make(chan []input)
	go read(ctx, r, batches)
	for {
		var batch []input
		select {
		case <-ctx.Done(): // also while a line is being read
			return ctx.Err()
		case batch = <-batches:
		}
		if len(batch) == 0 {
			break
		}
		if err := l.send(ctx, batch); err != nil {
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

// send publishes lines, and returns when each is published or refused.
func (l *lines) send(ctx context.Context, batch []input) error {
	list, numbers := []client.Publication{}, []int{}
	failure := error(nil)
	for _, in := range batch {
		switch {
		case in.err != nil:
			failure = in.err
		case in.tooLong:
			l.refuse(in.number, fmt.Sprintf("longer than %d MiB", maxLine>>20))
		default:
			list = append(list, client.Publication{Channel: l.channel, Content: in.text, Encoded: l.encoded})
			numbers = append(numbers, in.number)
		}
	}
	results, err := l.admin.Batch(ctx, list)
	for i, result := range results {
		status, answered := errors.AsType[*client.StatusError](result.Err)
		switch {
		case result.Err == nil:
			l.place.reached = true
		case answered && (status.Status == http.StatusRequestEntityTooLarge || l.encoded && status.Status == http.StatusBadRequest):
			l.refuse(numbers[i], result.Err.Error())
		case hopeless(ctx) != nil:
			return hopeless(ctx)
		case ctx.Err() != nil:
			fmt.Fprintf(l.stderr, "icomet: stopped: all lines before line %d were sent; whether lines %d to %d are published is not known\n",
				numbers[i], numbers[i], numbers[len(numbers)-1])
			return ctx.Err()
		default:
			return fmt.Errorf("line %d is not published: %w", numbers[i], result.Err)
		}
	}
	if err != nil {
		return err
	}
	return failure
}

// read hands over the lines of r: those that are there together, so that they can be
// published together, and one that comes alone at once.
func read(ctx context.Context, r io.Reader, out chan<- []input) {
	defer close(out)
	in := bufio.NewReaderSize(r, 64<<10)
	batch := []input{}
	for number := 1; ; number++ {
		text, tooLong, err := readLine(in)
		if err == nil {
			batch = append(batch, input{number: number, text: text, tooLong: tooLong})
			there, _ := in.Peek(in.Buffered()) // what is there can be had
			if bytes.IndexByte(there, '\n') >= 0 {
				continue
			}
		} else if !errors.Is(err, io.EOF) {
			batch = append(batch, input{number: number, err: err})
		}
		if len(batch) > 0 {
			select {
			case <-ctx.Done():
				return
			case out <- batch:
			}
		}
		if err != nil {
			return
		}
		batch = nil
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
