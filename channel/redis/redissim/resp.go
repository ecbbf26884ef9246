package redissim

import (
	"bytes"
	"sort"
	"strconv"
)

// Values of answers: string (bulk), int64, nil, []any, status, failure, pairs (a map), push.
type (
	status  string
	failure string
	pairs   []any
	push    []any
)

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "_\r\n"...)
	case string:
		b = appendHead(b, '$', len(v))
		return append(append(b, v...), '\r', '\n')
	case int64:
		return append(strconv.AppendInt(append(b, ':'), v, 10), '\r', '\n')
	case status:
		return append(append(append(b, '+'), v...), '\r', '\n')
	case failure:
		return append(append(append(b, '-'), v...), '\r', '\n')
	case []any:
		return appendAll(appendHead(b, '*', len(v)), v)
	case pairs:
		return appendAll(appendHead(b, '%', len(v)/2), v)
	case push:
		return appendAll(appendHead(b, '>', len(v)), v)
	}
	panic("redissim: a value of an unknown type")
}

func appendHead(b []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(b, kind), int64(n), 10), '\r', '\n')
}

func appendAll(b []byte, list []any) []byte {
	for _, v := range list {
		b = appendValue(b, v)
	}
	return b
}

// readCommand reads one command, an array of bulk strings, and its length in bytes; 0 when
// it is not complete.
func readCommand(b []byte) (args []string, n int) {
	count, at := readHead(b, 0)
	if at == 0 {
		return nil, 0
	}
	args = make([]string, 0, count)
	for range count {
		size, from := readHead(b, at)
		if from == 0 || len(b) < from+size+2 {
			return nil, 0
		}
		args = append(args, string(b[from:from+size]))
		at = from + size + 2
	}
	return args, at
}

func readHead(b []byte, at int) (n, next int) {
	i := bytes.Index(b[at:], []byte("\r\n"))
	if i < 1 {
		return 0, 0
	}
	n, err := strconv.Atoi(string(b[at+1 : at+i]))
	if err != nil {
		panic("redissim: a client has sent what is no command: " + strconv.Quote(string(b[at:at+i])))
	}
	return n, at + i + 2
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
