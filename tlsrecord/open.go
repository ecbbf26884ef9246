package tlsrecord

import (
	"io"
	"math"
)

const keyUpdate = 24 // handshake type: RFC 8446 4

// RecordLength looks at the first bytes of a record and returns its whole length, 0 if
// that cannot be known yet. The error is an Alert, as soon as the header cannot be right.
// TLS 1.2 allows longer records (RFC 5246 6.2.3), but none of its AEAD suites needs them.
func RecordLength(b []byte) (int, error) {
	if len(b) > 0 && (b[0] < TypeChangeCipherSpec || b[0] > TypeApplicationData) {
		return 0, UnexpectedMessage
	}
	if len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] != 3 { // RFC 8446 5.2, RFC 5246 6.2.1
		return 0, ProtocolVersion
	}
	if len(b) < header {
		return 0, nil
	}
	n := int(b[3])<<8 | int(b[4])
	if n > maxPlaintext+256 { // RFC 8446 5.2
		return 0, RecordOverflow
	}
	return header + n, nil
}

// Open decrypts one whole record in place. p is application data, a part of record, or
// empty if the record had none. The error is one of
//   - Alert: the client broke the protocol. The caller seals the alert, sends it, closes.
//   - PeerAlert: the client gave up. Nothing is to be answered; the caller closes.
//   - io.EOF: close_notify. The client sends nothing more, but may still receive.
//
// After an error the State may only be used to send. A KeyUpdate is dealt with inside: if
// the client wants one back, the next Seal puts it first.
func (s *State) Open(c *Cipher, record []byte) (p []byte, err error) {
	n, err := RecordLength(record)
	if err != nil {
		return nil, err
	}
	if n == 0 || n != len(record) {
		return nil, DecodeError
	}
	if s.half[receiving].seq == math.MaxUint64 { // RFC 8446 5.3: it must not wrap
		return nil, InternalError
	}
	s.ready(c, receiving)
	typ := record[0]
	if s.tls13() {
		typ, p, err = s.open13(c, record)
	} else {
		p, err = s.open12(c, record)
	}
	if err != nil {
		return nil, err
	}
	s.half[receiving].seq++
	switch {
	case typ == TypeApplicationData && len(p) > 0:
		s.forgive()
		return p, nil
	case typ == TypeApplicationData:
		return nil, s.ignore()
	case len(p) == 0: // RFC 8446 5.4, RFC 5246 6.2.1
		return nil, UnexpectedMessage
	case typ == TypeAlert:
		return nil, s.alert(p)
	case typ == TypeHandshake:
		return nil, s.handshake(p)
	}
	return nil, UnexpectedMessage // change_cipher_spec comes before Finished: RFC 8446 5
}

// open13: RFC 8446 5.2 and 5.4. The type is the last byte that is not 0.
func (s *State) open13(c *Cipher, record []byte) (typ byte, p []byte, err error) {
	if record[0] != TypeApplicationData {
		return 0, nil, UnexpectedMessage
	}
	p, err = c.aead.Open(record[header:header], c.nonce[:], record[header:], record[:header])
	if err != nil {
		return 0, nil, BadRecordMAC
	}
	if len(p) > maxPlaintext+1 {
		return 0, nil, RecordOverflow
	}
	last := len(p) - 1
	for last >= 0 && p[last] == 0 {
		last--
	}
	if last < 0 {
		return 0, nil, UnexpectedMessage
	}
	return p[last], p[:last], nil
}

// open12: RFC 5246 6.2.3.3, RFC 5288 3, RFC 7905 2.
func (s *State) open12(c *Cipher, record []byte) (p []byte, err error) {
	sealed := record[header:]
	if s.explicit() { // the client chooses these 8 bytes: they need not be the sequence number
		if len(sealed) < 8 {
			return nil, BadRecordMAC
		}
		copy(c.nonce[4:], sealed[:8])
		sealed = sealed[8:]
	}
	n := len(sealed) - tag
	if n < 0 {
		return nil, BadRecordMAC
	}
	p, err = c.aead.Open(sealed[:0], c.nonce[:], sealed, s.additional(c, record[0], n))
	if err != nil {
		return nil, BadRecordMAC
	}
	if n > maxPlaintext {
		return nil, RecordOverflow
	}
	return p, nil
}

// alert: RFC 8446 6, RFC 5246 7.2. TLS 1.3 knows two alerts that are not fatal, whatever
// level they name; 1.2 leaves all warnings to us.
func (s *State) alert(p []byte) error {
	if len(p) != 2 { // neither split nor joined with others: RFC 8446 5.1
		return DecodeError
	}
	switch a := Alert(p[1]); {
	case a == CloseNotify:
		return io.EOF
	case a == userCanceled || !s.tls13() && p[0] == levelWarning:
		return s.ignore()
	}
	return PeerAlert(p[1])
}

// handshake: after the handshake only KeyUpdate may come, and TLS 1.2 has none. Keys change
// behind it, so it must be the whole record: RFC 8446 5.1.
func (s *State) handshake(p []byte) error {
	const clientHello = 1
	switch {
	case !s.tls13() && p[0] == clientHello:
		return NoRenegotiation // RFC 5246 7.2.2; fatal, since we close
	case !s.tls13() || len(p) != 5 || [4]byte(p) != [4]byte{keyUpdate, 0, 0, 1}:
		return UnexpectedMessage
	case p[4] > 1:
		return IllegalParameter // RFC 8446 4.6.3
	}
	s.owed = s.owed || p[4] == 1
	s.update(receiving)
	return s.ignore()
}

// ignore counts a record without data, and ends a flood of them: 32 in a row are allowed.
// Each is 4 points, and a record with data, either way, takes one point back. So in the
// long run one record of five may be a KeyUpdate, a warning or empty. What is sent counts
// too, because a client that only listens may change its key as often.
func (s *State) ignore() error {
	s.ignored += 4
	if s.ignored > 32*4 {
		return UnexpectedMessage
	}
	return nil
}

func (s *State) forgive() { s.ignored -= min(s.ignored, 1) }
