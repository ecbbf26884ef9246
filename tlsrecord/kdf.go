package tlsrecord

import (
	"crypto/sha256"
	"crypto/sha512"
)

// hmac is RFC 2104 with SHA-384 if hash is 48, else with SHA-256. Keys are at most a block
// long. crypto/hkdf takes 20 objects and six times as long for a key and an iv, and those
// are made for each record of an idle connection; this one keeps to the stack.
func hmac(hash int, key, message []byte) (sum [48]byte) {
	var in, out [256]byte
	block := 64
	if hash == 48 {
		block = 128
	}
	copy(in[:block], key)
	copy(out[:block], key)
	for i := range block {
		in[i] ^= 0x36
		out[i] ^= 0x5c
	}
	digest(hash, &sum, append(in[:block], message...))
	digest(hash, &sum, append(out[:block], sum[:hash]...))
	return sum
}

func digest(hash int, sum *[48]byte, message []byte) {
	if hash == 48 {
		*sum = sha512.Sum384(message)
		return
	}
	short := sha256.Sum256(message)
	copy(sum[:], short[:])
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446 7.1) for at most one
// block of HKDF-Expand (RFC 5869 2.3). The secret has the length of the hash. What is
// behind the first n bytes of the result is not to be used.
func expandLabel(secret []byte, label string, n int) [48]byte {
	var buffer [32]byte
	info := append(buffer[:0], 0, byte(n), byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "...)
	info = append(info, label...)
	info = append(info, 0, 1) // no context; the number of the block
	return hmac(len(secret), secret, info)
}

// prf12 is the PRF of TLS 1.2: RFC 5246 5.
func prf12(hash int, secret []byte, label string, seed1, seed2 []byte, n int) []byte {
	seed := append(append([]byte(label), seed1...), seed2...)
	var result []byte
	for a := seed; len(result) < n; {
		sum := hmac(hash, secret, a)
		a = sum[:hash]
		part := hmac(hash, secret, append(a[:hash:hash], seed...))
		result = append(result, part[:hash]...)
	}
	return result[:n]
}
