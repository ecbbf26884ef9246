package tlsrecord

import (
	"bytes"
	"io"
	"testing"
)

// FuzzOpen: no bytes make Open panic, no change of a record is accepted, and what is refused
// is refused with an error that the caller knows.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(0x1301), []byte("hello"), byte(applicationData), uint16(9), byte(1), []byte{23, 3, 3, 0, 20})
	f.Add(uint16(0xc02f), []byte{1, 0}, byte(alert), uint16(0), byte(2), []byte{21, 3, 3, 0, 2, 1, 0})
	f.Add(uint16(0xcca8), []byte(""), byte(handshake), uint16(60), byte(0), []byte(nil))
	f.Add(uint16(0x1303), []byte(keyUpdate+"\x01"), byte(handshake), uint16(4), byte(255), []byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, id uint16, p []byte, typ byte, at uint16, flip byte, other []byte) {
		if _, ok := suites[id]; !ok || len(p) > 1<<14 {
			return
		}
		s, client := ends(t, id)
		known := func(err error) {
			switch err.(type) {
			case nil, Alert, PeerAlert:
			default:
				if err != io.EOF {
					t.Errorf("error %v", err)
				}
			}
		}
		saved := *s
		_, err := s.Open(s.Opener(), bytes.Clone(other))
		if err == nil {
			t.Errorf("bytes of nobody were accepted: %x", other)
		}
		known(err)
		record := raw(client, typ, p)
		if flip != 0 {
			changed := bytes.Clone(record)
			changed[int(at)%len(changed)] ^= flip
			*s = saved
			got, err := s.Open(s.Opener(), changed)
			if err == nil || err == io.EOF || len(got) > 0 {
				t.Errorf("changed record was accepted: %q, %v", got, err)
			}
			if _, peer := err.(PeerAlert); peer {
				t.Errorf("changed record is an alert: %v", err)
			}
		}
		*s = saved
		if s.suite.tls13 || typ >= changeCipherSpec && typ <= applicationData {
			got, err := s.Open(s.Opener(), record)
			known(err)
			if typ == applicationData && (err != nil || !bytes.Equal(got, p)) {
				t.Errorf("data: %q, %v; want %q", got, err, p)
			}
		}
	})
}
