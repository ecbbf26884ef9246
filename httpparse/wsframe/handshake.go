package wsframe

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"

	"icomet/httpparse"
)

// Handshake is what a client asked for that may be granted. Its slices are of the request.
type Handshake struct {
	Key      []byte  // Sec-WebSocket-Key, for AppendAccept
	Protocol []byte  // "icomet" as the client spelled it, for Sec-WebSocket-Protocol; nil if it was not offered
	Deflate  Deflate // the offer that may be granted, if the server compresses
}

// Upgrade judges the opening handshake (RFC 6455 section 4.2.1). It returns what was asked
// for, or one of the refusals of a handshake, an *httpparse.Error. Origin and the target
// are the caller's to judge.
func Upgrade(r *httpparse.Request) (Handshake, error) {
	var h Handshake
	switch {
	case r.Method != httpparse.GET:
		return h, ErrMethod
	case r.Minor == 0:
		return h, ErrHTTP10
	case r.Chunked || r.ContentLength > 0:
		return h, ErrBody
	}
	var upgrade, connection bool
	var versions, keys int
	var version []byte
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Is("upgrade"):
			upgrade = upgrade || find(f.Value, "websocket") != nil
		case f.Is("connection"):
			connection = connection || find(f.Value, "upgrade") != nil
		case f.Is("sec-websocket-version"):
			versions, version = versions+1, f.Value
		case f.Is("sec-websocket-key"):
			keys, h.Key = keys+1, f.Value
		case f.Is("sec-websocket-protocol"):
			if h.Protocol == nil {
				h.Protocol = find(f.Value, "icomet")
			}
		case f.Is("sec-websocket-extensions"):
			if h.Deflate == DeflateNone {
				h.Deflate = parseOffers(f.Value)
			}
		}
	}
	switch {
	case !upgrade:
		return Handshake{}, ErrUpgrade
	case !connection:
		return Handshake{}, ErrConnection
	case versions != 1 || string(version) != "13":
		return Handshake{}, ErrVersion
	case keys != 1 || !validKey(h.Key):
		return Handshake{}, ErrKey
	}
	return h, nil
}

// find returns the element of a comma-separated list that is this token, which must be in
// lower case, in any case, or nil.
func find(list []byte, lower string) []byte {
	for more := true; more; {
		var token []byte
		token, list, more = bytes.Cut(list, comma)
		if token = bytes.Trim(token, " \t"); httpparse.TokenIs(token, lower) {
			return token
		}
	}
	return nil
}

var comma = []byte(",")

// keySize is the length of 16 bytes in base64: 22 characters and "==".
const keySize = 24

func validKey(key []byte) bool {
	if len(key) != keySize || string(key[keySize-2:]) != "==" {
		return false
	}
	for _, c := range key[:keySize-2] {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// AppendAccept appends the value of Sec-WebSocket-Accept for a key that Upgrade has
// accepted (RFC 6455 section 4.2.2, step 5.4).
func AppendAccept(dst, key []byte) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var b [keySize + len(guid)]byte
	copy(b[copy(b[:keySize], key):], guid)
	sum := sha1.Sum(b[:])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}
