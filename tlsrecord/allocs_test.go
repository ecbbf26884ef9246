//go:build !race

package tlsrecord

import "testing"

func TestAllocsSealOpen(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		s, client := ends(t, id)
		seal, open := client.Sealer(), s.Opener()
		p := make([]byte, 20_000)
		dst := make([]byte, 0, len(p)+Overhead(len(p)))
		n := testing.AllocsPerRun(100, func() {
			records, err := client.Seal(seal, dst, applicationData, p)
			for len(records) > 0 && err == nil {
				var n int
				if n, err = RecordLength(records); err == nil {
					_, err = s.Open(open, records[:n])
					records = records[n:]
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
		if n := testing.AllocsPerRun(100, func() { dst = client.AppendAlert(seal, dst[:0], DecodeError) }); n != 0 {
			t.Errorf("AppendAlert: %v allocations, want 0", n)
		}
		if n := testing.AllocsPerRun(100, func() { s.Open(open, dst) }); n != 0 {
			t.Errorf("an error: %v allocations, want 0", n)
		}
	})
}
