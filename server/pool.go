package server

import "github.com/valyala/bytebufferpool"

// maxPooled is the largest buffer, in bytes, that goes back to a pool. sync.Pool
// hands buffers out without regard to size, so one huge message would keep its
// memory alive behind small ones.
const maxPooled = 64 << 10

func getBuffer() *bytebufferpool.ByteBuffer { return bytebufferpool.Get() }

// putBuffer takes nil too.
func putBuffer(b *bytebufferpool.ByteBuffer) {
	if b != nil && cap(b.B) <= maxPooled {
		bytebufferpool.Put(b)
	}
}
