package wire

// CORS is what an answer says to a browser about the pages of other sites, and about the
// server's own address.
type CORS struct {
	Origin string // whose pages may read it: Access-Control-Allow-Origin; "" for none, "*" for all
	Vary   bool   // that depends on the request's Origin
	Anyone bool   // every page may load it, also one that takes only what says so
	STS    string // Strict-Transport-Security: to come by TLS only from now on; "" for nothing
}

// append appends the fields. Cookies and other credentials are for origins that are
// listed by name: no browser takes them together with "*".
func (c *CORS) append(dst []byte) []byte {
	dst = appendField(dst, "Access-Control-Allow-Origin: ", c.Origin)
	if c.Origin != "" && c.Origin != "*" {
		dst = append(dst, "Access-Control-Allow-Credentials: true\r\n"...)
	}
	if c.Vary {
		dst = append(dst, "Vary: Origin\r\n"...)
	}
	if c.Anyone {
		dst = append(dst, "Cross-Origin-Resource-Policy: cross-origin\r\n"...)
	}
	return appendField(dst, "Strict-Transport-Security: ", c.STS)
}
