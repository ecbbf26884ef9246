package redis

import (
	"strings"
	"sync"
)

// askedQueue has the commands that have no answer yet, so that each answer can be held
// against what was asked.
type askedQueue struct {
	mu   sync.Mutex
	list []int // for each command: confirmations that are to come, or 0 for one answer
	at   int
}

// command notes a command that is sent.
func (q *askedQueue) command(f *frame) error {
	wait := 0
	switch name := strings.ToUpper(f.first); name {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		wait = f.n - 1
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		return nil // its confirmations may come unasked, too; the library adds a PING
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at == len(q.list) {
		q.list, q.at = q.list[:0], 0
	} else if q.at > 4096 && q.at > len(q.list)/2 {
		q.list, q.at = append(q.list[:0], q.list[q.at:]...), 0
	}
	q.list = append(q.list, wait)
	return nil
}

// answer takes what has come off the list.
func (q *askedQueue) answer(f *frame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if f.kind == '>' {
		return q.pushed(f.first)
	}
	if q.at == len(q.list) {
		return errUnasked
	}
	if q.list[q.at] > 0 && f.kind != '-' && f.kind != '!' {
		return errUnasked
	}
	q.at++
	return nil
}

func (q *askedQueue) pushed(event string) error {
	switch event {
	case "subscribe", "psubscribe", "ssubscribe":
		if q.at == len(q.list) || q.list[q.at] == 0 {
			return errSubUnask
		}
		if q.list[q.at]--; q.list[q.at] == 0 {
			q.at++
		}
	}
	return nil
}
