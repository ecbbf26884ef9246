package wsframe

import "bytes"

// Deflate is how permessage-deflate can be granted (RFC 7692 section 7).
type Deflate uint8

// The forms of an answer. Without context takeover a message is compressed once for all
// its subscribers.
const (
	DeflateNone   Deflate = iota // not offered, or declined
	DeflateOn                    // offered
	DeflateWindow                // offered with server_max_window_bits=15, which must be confirmed
)

// Extension returns the value of Sec-WebSocket-Extensions that grants the offer, "" for
// DeflateNone. It leaves out client_max_window_bits: any window can be inflated.
func (d Deflate) Extension() string {
	switch d {
	case DeflateOn:
		return "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	case DeflateWindow:
		return "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
	}
	return ""
}

// parseOffers returns how the first offer in the list that can be met is granted. An offer
// that is not valid is declined like one that cannot be met; RFC 6455 section 9.1 would
// have the connection fail, but without compression it works as well.
func parseOffers(list []byte) Deflate {
	for more := true; more; {
		var offer []byte
		offer, list, more = cutUnquoted(list, ',')
		if d := parseOffer(offer); d != DeflateNone {
			return d
		}
	}
	return DeflateNone
}

// The parameters of permessage-deflate, one bit each to find repeated ones.
const (
	paramServerTakeover = 1 << iota
	paramClientTakeover
	paramServerWindow
	paramClientWindow
)

// parseOffer judges one offer. A server_max_window_bits below 15 cannot be met, because
// the same compressed bytes go to all subscribers.
func parseOffer(offer []byte) Deflate {
	name, params, more := cutUnquoted(offer, ';')
	if string(bytes.Trim(name, " \t")) != "permessage-deflate" {
		return DeflateNone
	}
	var seen uint8
	for more {
		var param []byte
		param, params, more = cutUnquoted(params, ';')
		p, bits, ok := parseParam(param)
		if !ok || seen&p != 0 || p == paramServerWindow && bits != 15 {
			return DeflateNone
		}
		seen |= p
	}
	if seen&paramServerWindow != 0 {
		return DeflateWindow
	}
	return DeflateOn
}

// parseParam reads one parameter. bits is the window that it asks for, 0 if none.
func parseParam(param []byte) (p uint8, bits int, ok bool) {
	name, value, hasValue := bytes.Cut(param, []byte("="))
	switch string(bytes.Trim(name, " \t")) {
	case "server_no_context_takeover":
		return paramServerTakeover, 0, !hasValue
	case "client_no_context_takeover":
		return paramClientTakeover, 0, !hasValue
	case "server_max_window_bits":
		bits, ok = parseBits(value)
		return paramServerWindow, bits, ok
	case "client_max_window_bits":
		if !hasValue {
			return paramClientWindow, 0, true
		}
		bits, ok = parseBits(value)
		return paramClientWindow, bits, ok
	}
	return 0, 0, false
}

// parseBits reads a window size: 8 to 15, without leading zeros, perhaps quoted.
func parseBits(v []byte) (bits int, ok bool) {
	v = bytes.Trim(v, " \t")
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		v = v[1 : n-1]
	}
	switch {
	case len(v) == 1 && v[0] >= '8' && v[0] <= '9':
		return int(v[0] - '0'), true
	case len(v) == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5':
		return 10 + int(v[1]-'0'), true
	}
	return 0, false
}

// cutUnquoted cuts b at the first sep that is not within a quoted string.
func cutUnquoted(b []byte, sep byte) (before, after []byte, found bool) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return b[:i], b[i+1:], true
		}
	}
	return b, nil, false
}
