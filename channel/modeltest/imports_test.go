package modeltest

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.CheckTests(t, map[string]string{
		"std":                        "as everywhere",
		"icomet/channel":             "the Hub to compare with the model; no engine and no server",
		"pgregory.net/rapid":         "random operations, made smaller when one fails",
		"icomet/internal/importtest": "this test",
	})
}
