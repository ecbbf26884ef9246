package tlsrecord

import "errors"

// Types of records: RFC 8446 5.1, RFC 5246 6.2.1.
const (
	TypeChangeCipherSpec = 20
	TypeAlert            = 21
	TypeHandshake        = 22
	TypeApplicationData  = 23
)

const (
	header       = 5
	tag          = 16 // of all suites
	maxPlaintext = 1 << 14

	limit13 = 1 << 24 // records of a key: RFC 8446 5.5 allows 2^24.5 of the longest
	limit12 = 1 << 32 // TLS 1.2 has no KeyUpdate; of 128 bytes, these are the blocks of 2^25 of the longest
)

// ErrExhausted: the key of TLS 1.2 has sealed 2^32 records. The caller closes.
var ErrExhausted = errors.New("tlsrecord: too many records with one key")

// Overhead is the most that Seal appends for n bytes beyond these.
func Overhead(n int) int {
	const record = header + 8 + tag        // TLS 1.2 with AES-GCM; 1.3 has one byte instead of 8
	const keyUpdate = header + 5 + 1 + tag // 2^24 records of one call are more than memory holds
	return (n+maxPlaintext-1)/maxPlaintext*record + keyUpdate
}

// Seal appends p to dst, in records of type typ with at most 2^14 bytes each; no record if
// p is empty. p must not overlap the space behind dst. With TLS 1.3 a KeyUpdate comes first
// when the client has asked for one (RFC 8446 4.6.3) or when the key has sealed 2^24
// records. On error, dst has the records that could be sealed.
func (s *State) Seal(c *Cipher, dst []byte, typ byte, p []byte) ([]byte, error) {
	for len(p) > 0 {
		switch {
		case s.tls13() && (s.owed || s.half[sending].seq >= limit13):
			dst = s.AppendKeyUpdate(c, dst)
		case !s.tls13() && s.half[sending].seq >= limit12:
			return dst, ErrExhausted
		}
		n := min(len(p), maxPlaintext)
		dst = s.seal(c, dst, typ, p[:n])
		p = p[n:]
		s.forgive()
	}
	return dst, nil
}

// seal appends one record.
func (s *State) seal(c *Cipher, dst []byte, typ byte, p []byte) []byte {
	s.ready(c, sending)
	start := len(dst)
	if s.tls13() { // RFC 8446 5.2: the header is the additional data
		n := len(p) + 1 + tag
		dst = append(dst, TypeApplicationData, 3, 3, byte(n>>8), byte(n))
		dst = append(append(dst, p...), typ)
		body := start + header
		dst = c.aead.Seal(dst[:body], c.nonce[:], dst[body:], dst[start:body])
	} else { // RFC 5246 6.2.3.3
		n := len(p) + tag
		if s.explicit() {
			n += 8
		}
		dst = append(dst, typ, 3, 3, byte(n>>8), byte(n))
		if s.explicit() {
			dst = append(dst, c.nonce[4:]...)
		}
		dst = c.aead.Seal(dst, c.nonce[:], p, s.additional(c, typ, len(p)))
	}
	s.half[sending].seq++
	return dst
}

// AppendKeyUpdate seals KeyUpdate(update_not_requested) and goes on to the next key (RFC
// 8446 4.6.3). Seal calls it when it is due. TLS 1.2 has none: dst comes back as it is.
func (s *State) AppendKeyUpdate(c *Cipher, dst []byte) []byte {
	if !s.tls13() {
		return dst
	}
	message := [...]byte{keyUpdate, 0, 0, 1, 0}
	dst = s.seal(c, dst, TypeHandshake, message[:])
	s.update(sending)
	s.owed = false
	return dst
}

// AppendAlert seals an alert: RFC 8446 6, RFC 5246 7.2. All but close_notify are fatal.
func (s *State) AppendAlert(c *Cipher, dst []byte, a Alert) []byte {
	message := [...]byte{levelFatal, byte(a)}
	if a == CloseNotify {
		message[0] = levelWarning
	}
	return s.seal(c, dst, TypeAlert, message[:])
}
