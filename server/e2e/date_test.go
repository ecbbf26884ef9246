package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// checkDate checks a Date that was received just now. The date may be two seconds old, and
// the test may have waited for its turn.
func checkDate(text string) error {
	at, err := time.Parse(http.TimeFormat, text)
	if err != nil {
		return err
	}
	if age := time.Since(at); age < -time.Second || age > patience {
		return fmt.Errorf("the Date %q is %v old", text, age)
	}
	return nil
}

var dateField = regexp.MustCompile(`\r\nDate: ([^\r]*)\r\n`)

// dateOf takes the Date out of a head.
func dateOf(t *testing.T, head string) (date, rest string) {
	t.Helper()
	m := dateField.FindStringSubmatch(head)
	if m == nil || strings.Count(head, "\r\nDate: ") != 1 {
		t.Fatalf("there is not one Date in %q", head)
	}
	return m[1], strings.Replace(head, m[0], "\r\n", 1)
}

// TestDateOnAllAnswers: whatever the answer, on both ports (RFC 9110 section 6.6.1).
func TestDateOnAllAnswers(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, request := range []string{
		"GET /poll?cname=a HTTP/1.1", "GET /stream?cname=a HTTP/1.1", "GET /sse?cname=a HTTP/1.0", "GET /iframe?cname=a HTTP/1.1",
		"HEAD /sse HTTP/1.1", "OPTIONS /poll HTTP/1.1", "GET /icomet.js HTTP/1.1", "GET /nothing HTTP/1.1", "GET /poll HTTP/1.1",
		"BREW / HTTP/1.1", "nonsense", "GET / HTTP/2.0",
		"admin GET / HTTP/1.1", "admin GET /psub HTTP/1.1", "admin GET /info HTTP/1.1", "admin GET /close?cname=none HTTP/1.1",
		"admin GET /metrics HTTP/1.1", "admin GET /healthz HTTP/1.1", "admin GET /dashboard/feed HTTP/1.1", "admin GET /broadcast?content= HTTP/1.1",
	} {
		addr := s.front
		line, admin := strings.CutPrefix(request, "admin ")
		if admin {
			addr = s.admin
		}
		c := dial(t, addr)
		c.sendf("%s\r\nHost: test\r\n\r\n", line)
		date, _ := dateOf(t, c.head())
		if err := checkDate(date); err != nil {
			t.Errorf("%s: %v", request, err)
		}
		c.Close()
	}
}

// TestDateAfterIdling: the first answer after a rest has the time of the answer, to two
// seconds. A machine that is busy may make the server late now and then, but not always.
func TestDateAfterIdling(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.front)
	checkFor(t, patience, func() error {
		<-time.After(2200 * time.Millisecond) // the rest
		asked := time.Now()
		c.get("/ping?cb=")
		date, _ := dateOf(t, c.head())
		c.readSome(len("{\"type\":\"ping\",\"sub_timeout\":30}\n"))
		at, err := time.Parse(http.TimeFormat, date)
		if early := asked.Sub(at); early > 2*time.Second {
			return fmt.Errorf("the Date is %v before the request", early)
		}
		return err
	})
}
