package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

const (
	changeCipherSpec, alert, handshake, applicationData = 20, 21, 22, 23 // RFC 8446 5.1

	header, tag, maxPlaintext = 5, 16, 1 << 14   // bytes
	limit13, limit12          = 1 << 24, 1 << 32 // records of a key; RFC 8446 5.5 allows 2^24.5 of the longest
)

// Alert is what the server tells the client before it closes: RFC 8446 6, RFC 5246 7.2.
type Alert = tls.AlertError

const (
	CloseNotify, UnexpectedMessage, BadRecordMAC, RecordOverflow  Alert = 0, 10, 20, 22
	IllegalParameter, DecodeError, ProtocolVersion, InternalError Alert = 47, 50, 70, 80
	userCanceled, NoRenegotiation                                 Alert = 90, 100
)

// PeerAlert is what the client told before it closed. Nothing is to be answered.
type PeerAlert uint8

func (a PeerAlert) Error() string { return "from the client: " + Alert(a).Error() }

// ErrExhausted means that the key of TLS 1.2 has sealed 2^32 records. The caller closes.
var ErrExhausted = errors.New("tlsrecord: too many records with one key")

// Overhead is the most that Seal appends for n bytes beyond these: for each record a header,
// an explicit nonce and a tag, and once a KeyUpdate.
func Overhead(n int) int { return (n+maxPlaintext-1)/maxPlaintext*(header+8+tag) + header + 6 + tag }

// Seal appends p to dst as records of type typ; nothing if p is empty. p must not overlap
// the space behind dst. With TLS 1.3 a KeyUpdate comes first if the client has asked for
// one (RFC 8446 4.6.3) or the key has sealed 2^24 records.
func (s *State) Seal(c *Cipher, dst []byte, typ byte, p []byte) ([]byte, error) {
	for len(p) > 0 {
		if s.owed || s.suite.tls13 && s.out.seq >= limit13 {
			dst = s.AppendKeyUpdate(c, dst)
		}
		if s.out.seq >= limit12 {
			return dst, ErrExhausted
		}
		n := min(len(p), maxPlaintext)
		dst = s.seal(c, dst, typ, p[:n])
		p = p[n:]
		s.ignored -= min(s.ignored, 1)
	}
	return dst, nil
}

// seal appends one record: RFC 8446 5.2, or RFC 5246 6.2.3.3 and RFC 5288 3.
func (s *State) seal(c *Cipher, dst []byte, typ byte, p []byte) []byte {
	s.ready(c, &s.out)
	start := len(dst)
	dst = append(dst, typ, 3, 3, 0, 0)
	if s.suite.iv == 4 {
		dst = append(dst, c.nonce[4:]...)
	}
	body := len(dst)
	dst = append(dst, p...)
	if s.suite.tls13 {
		dst[start] = applicationData
		dst = append(dst, typ)
	}
	head := dst[start : start+header]
	binary.BigEndian.PutUint16(head[3:], uint16(len(dst)-start-header+tag))
	data := s.additional(c, head, s.out.seq, len(p))
	s.out.seq++
	return c.aead.Seal(dst[:body], c.nonce[:], dst[body:], data)
}

// additional is the additional data for n bytes of plaintext: the header (RFC 8446 5.2), or
// sequence number, type, version and n (RFC 5246 6.2.3.3).
func (s *State) additional(c *Cipher, head []byte, seq uint64, n int) []byte {
	if s.suite.tls13 {
		return head
	}
	return append(binary.BigEndian.AppendUint64(c.data[:0], seq), head[0], 3, 3, byte(n>>8), byte(n))
}

const keyUpdate = "\x18\x00\x00\x01" // type and length of the message: RFC 8446 4

// AppendKeyUpdate seals KeyUpdate(update_not_requested) and goes on to the next key (RFC
// 8446 4.6.3). Seal calls it when it is due. TLS 1.2 has none.
func (s *State) AppendKeyUpdate(c *Cipher, dst []byte) []byte {
	if s.suite.tls13 {
		dst = s.seal(c, dst, handshake, []byte(keyUpdate+"\x00"))
		s.update(&s.out)
		s.owed = false
	}
	return dst
}

// AppendAlert seals an alert: close_notify as a warning (1), all others as fatal (2).
func (s *State) AppendAlert(c *Cipher, dst []byte, a Alert) []byte {
	return s.seal(c, dst, alert, []byte{1 + byte(min(a, 1)), byte(a)})
}

// RecordLength looks at the first bytes of a record and returns its whole length, 0 if that
// cannot be known yet. The error is an Alert, as soon as the header cannot be right: RFC
// 8446 5.2. (RFC 5246 6.2.3 allows longer records, which no AEAD suite needs.)
func RecordLength(b []byte) (int, error) {
	switch {
	case len(b) > 0 && (b[0] < changeCipherSpec || b[0] > applicationData):
		return 0, UnexpectedMessage
	case len(b) > 1 && b[1] != 3, len(b) > 2 && b[2] != 3:
		return 0, ProtocolVersion
	case len(b) < header:
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n > maxPlaintext+256 {
		return 0, RecordOverflow
	}
	return header + n, nil
}

// Open decrypts one whole record in place. p is application data, a part of record; empty
// if it has none. After an error the State may only send. The error is
//   - an Alert: the client broke the protocol; the caller seals it, sends it, and closes;
//   - a PeerAlert: the client gave up; the caller closes;
//   - io.EOF: close_notify.
func (s *State) Open(c *Cipher, record []byte) (p []byte, err error) {
	n, err := RecordLength(record)
	switch {
	case err != nil:
		return nil, err
	case n == 0 || n != len(record):
		return nil, DecodeError
	case s.in.seq == math.MaxUint64: // it must not wrap: RFC 8446 5.3
		return nil, InternalError
	case s.suite.tls13 && record[0] != applicationData: // RFC 8446 5, 5.2
		return nil, UnexpectedMessage
	}
	s.ready(c, &s.in)
	typ, body := record[0], record[header:]
	if s.suite.iv == 4 { // RFC 5288 3: the client's choice, not always the sequence number
		body = body[copy(c.nonce[4:], body):]
	}
	p, err = c.aead.Open(body[:0], c.nonce[:], body, s.additional(c, record[:header], s.in.seq, len(body)-tag))
	if err != nil {
		return nil, BadRecordMAC
	}
	s.in.seq++
	if len(p) > maxPlaintext+1 || len(p) > maxPlaintext && !s.suite.tls13 {
		return nil, RecordOverflow
	}
	if s.suite.tls13 { // RFC 8446 5.4: padding, and the type before it
		p = bytes.TrimRight(p, "\x00")
		if len(p) == 0 {
			return nil, UnexpectedMessage
		}
		typ, p = p[len(p)-1], p[:len(p)-1]
	}
	if typ != applicationData || len(p) == 0 {
		return nil, s.control(typ, p)
	}
	s.ignored -= min(s.ignored, 1)
	return p, nil
}

// control handles a record without data and counts it, for a flood must end: 32 in a row may
// come. Each is 4 points, and a record with data takes one back, so in the long run one
// record of five may be without. Those that the server sends count too, because a client
// that only listens also changes its keys.
func (s *State) control(typ byte, p []byte) error {
	switch {
	case typ == applicationData:
	case len(p) == 0: // RFC 8446 5.4, RFC 5246 6.2.1
		return UnexpectedMessage
	case typ == alert && len(p) != 2: // in part, or several: RFC 8446 5.1
		return DecodeError
	case typ == alert && Alert(p[1]) == CloseNotify:
		return io.EOF
	case typ == alert: // RFC 8446 6: levels mean nothing. RFC 5246 7.2.2: 1 is a warning.
		if Alert(p[1]) != userCanceled && (s.suite.tls13 || p[0] != 1) {
			return PeerAlert(p[1])
		}
	case typ == handshake && !s.suite.tls13 && p[0] == 1: // ClientHello: RFC 5246 7.2.2
		return NoRenegotiation
	case typ != handshake || !s.suite.tls13 || len(p) != 5 || string(p[:4]) != keyUpdate:
		return UnexpectedMessage // also a KeyUpdate in part, or with others: RFC 8446 5.1
	case p[4] > 1: // RFC 8446 4.6.3
		return IllegalParameter
	default:
		s.owed = s.owed || p[4] == 1
		s.update(&s.in)
	}
	if s.ignored += 4; s.ignored > 32*4 {
		return UnexpectedMessage
	}
	return nil
}
