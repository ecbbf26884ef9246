package httpparse

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	const pure = "pure: no I/O, no clock, no lock"
	importtest.Check(t, map[string]string{
		"bytes":           pure,
		"encoding/binary": pure,
		"errors":          pure,
		"math":            pure,
		"math/bits":       pure,
		"unicode/utf16":   pure,
		"unicode/utf8":    pure,
	})
	importtest.CheckTests(t, map[string]string{
		"std":                        "the oracles: net/http, net/url, encoding/json",
		"icomet/internal/importtest": "this test",
	})
}
