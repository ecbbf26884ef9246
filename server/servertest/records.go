package servertest

import "net"

const (
	recordHeader = 5  // bytes
	alertRecord  = 21 // RFC 8446 section 5.1
	// sealedAlert is the length of an alert in TLS 1.3, where it has the type of data: level,
	// description, its own type and a tag of 16 bytes.
	sealedAlert = 2 + 1 + 16
)

// Records is what TLS runs on. It notes what kind of record has come last: crypto/tls says
// io.EOF at the end of TCP too, whether close_notify was there or not.
type Records struct {
	net.Conn
	header []byte // of the record that is being read
	left   int    // bytes of its body
	alert  bool
}

func (r *Records) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if len(r.header) < recordHeader {
			part := min(recordHeader-len(r.header), len(b))
			r.header = append(r.header, b[:part]...)
			b = b[part:]
			if len(r.header) < recordHeader {
				continue
			}
			r.left = int(r.header[3])<<8 | int(r.header[4])
			r.alert = r.header[0] == alertRecord || r.left == sealedAlert
		}
		part := min(r.left, len(b))
		b = b[part:]
		if r.left -= part; r.left == 0 {
			r.header = r.header[:0]
		}
	}
	return n, err
}

// Alerted reports that the last record is an alert, or data of two bytes.
func (r *Records) Alerted() bool { return r.alert }
