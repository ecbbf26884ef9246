package access

import (
	"net/netip"
	"testing"

	"icomet/httpparse"
)

// TestForwardedFor: which address a request comes from, by hand-made lists.
func TestForwardedFor(t *testing.T) {
	trust, err := NewTrust([]string{"10.0.0.0/8", "fd00::/8", "192.0.2.1"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		peer, fields, want string
		ok                 bool
	}{
		{"10.0.0.1", "", "10.0.0.1", true},
		{"10.0.0.1", "X-Forwarded-For: 1.2.3.4", "1.2.3.4", true},
		{"9.9.9.9", "X-Forwarded-For: 1.2.3.4", "9.9.9.9", true}, // not trusted
		{"10.0.0.1", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "1.2.3.4", true},
		{"10.0.0.1", "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4", true},
		{"10.0.0.1", "x-forwarded-for: 6.6.6.6,1.2.3.4,192.0.2.1,fd00::1", "1.2.3.4", true},
		{"10.0.0.1", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.3", "1.2.3.4", true},
		{"10.0.0.1", "X-Forwarded-For: 10.0.0.9, 10.0.0.8", "10.0.0.9", true}, // a client inside
		{"10.0.0.1", "X-Forwarded-For: 1.2.3.4:5678", "1.2.3.4", true},
		{"10.0.0.1", "X-Forwarded-For: [2001:db8::1]:80", "2001:db8::1", true},
		{"10.0.0.1", "X-Forwarded-For: [2001:db8::1]", "2001:db8::1", true},
		{"10.0.0.1", "X-Forwarded-For: 2001:db8::1", "2001:db8::1", true},
		{"10.0.0.1", "X-Forwarded-For: ::ffff:1.2.3.4", "1.2.3.4", true},
		{"10.0.0.1", "X-Forwarded-For: fe80::1%eth0", "fe80::1", true},
		{"10.0.0.1", "X-Forwarded-For: garbage, 1.2.3.4", "1.2.3.4", true}, // never reached
		{"10.0.0.1", "X-Forwarded-For: 1.2.3.4, garbage", "10.0.0.1", false},
		{"10.0.0.1", "X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.2", "10.0.0.2", false},
		{"10.0.0.1", "X-Forwarded-For: 1.2.3.4,", "10.0.0.1", false},
		{"10.0.0.1", "X-Forwarded-For: 1.2.3.4.5", "10.0.0.1", false},
		{"10.0.0.1", "X-Forwarded-For:", "10.0.0.1", true},
		{"10.0.0.1", "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4", "10.0.0.1", true}, // others' fields
	} {
		fields := tc.fields
		if fields != "" {
			fields += "\r\n"
		}
		var r httpparse.Request
		head := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n")
		if err := httpparse.Parse(&r, head, 0, &httpparse.Limits{RequestLine: 1000, Header: 1000, Fields: 10}); err != nil {
			t.Fatal(err)
		}
		got, ok := trust.Client(netip.MustParseAddr(tc.peer), &r)
		if got.String() != tc.want || ok != tc.ok {
			t.Errorf("%s %q: got %v %v, want %s %v", tc.peer, tc.fields, got, ok, tc.want, tc.ok)
		}
	}
}

// TestPerIPNetworks: what counts as one client.
func TestPerIPNetworks(t *testing.T) {
	for a, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::": "2001:db8:1:2::", "::1": "::",
	} {
		if got := countedAs(netip.MustParseAddr(a)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %v", a, got)
		}
	}
	if got := countedAs(netip.Addr{}); got.IsValid() {
		t.Errorf("nobody counts as %v", got)
	}
}
