package wsframe

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"bytes",            // pure: no I/O, no clock, no lock
		"crypto/sha1",      // pure: no I/O, no clock, no lock
		"encoding/base64",  // pure: no I/O, no clock, no lock
		"encoding/binary",  // pure: no I/O, no clock, no lock
		"math/bits",        // pure: no I/O, no clock, no lock
		"unicode/utf8",     // pure: no I/O, no clock, no lock
		"icomet/httpparse", // the request of a handshake, and the form of its refusals
	)
	imports.Forbid(t, imports.Rules{
		"icomet/server/...": "the server is above the frames",
		"icomet/client/...": "the tests have another implementation to compare with, not ours",
	})
}
