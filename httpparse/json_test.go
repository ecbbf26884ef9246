package httpparse

import (
	"fmt"
	"strings"
	"testing"
)

// members writes all members down. It reads the results only at the end, so a member that
// a later one has overwritten would show.
func members(b, scratch []byte) (string, error) {
	var m JSONMembers
	var all []Field
	for m.Init(b, scratch); m.Next(); {
		all = append(all, Field{m.Name, m.Value})
	}
	var s strings.Builder
	for _, f := range all {
		s.WriteString("[" + string(f.Name) + "|" + string(f.Value) + "]")
	}
	if m.Next() {
		s.WriteString("and one more after the end")
	}
	return s.String(), m.Err()
}

func TestJSONMembers(t *testing.T) {
	for _, c := range []struct {
		body, want string
		err        error
	}{
		{`{}`, "", nil},
		{" \t\r\n{ \n} \n", "", nil},
		{`{"a":"b"}`, "[a|b]", nil},
		{` { "a" : "b" , "c" : 1 } `, "[a|b][c|1]", nil},
		{`{"":""}`, "[|]", nil},
		{`{"a":"1","a":"2"}`, "[a|1][a|2]", nil},
		{`{"0123456789":"a string that is longer than a stride"}`, "[0123456789|a string that is longer than a stride]", nil},
		{`{"\u0061\n":"\"\\\/\b\f\n\r\t"}`, "[a\n|\"\\/\b\f\n\r\t]", nil},
		{`{"a":"x\u63a8\uD83D\ude00y"}`, "[a|x推😀y]", nil},
		{`{"a":"\ud83d","b":"\ude00\ud83d","c":"\ud83dx","d":"\ud83d\n"}`, "[a|\ufffd][b|\ufffd\ufffd][c|\ufffdx][d|\ufffd\n]", nil},
		{`{"a":"\ud83d\ud83d\ude00"}`, "[a|\ufffd😀]", nil},
		{"{\"a\":\"\xff\xc3\u63a8\x7f\"}", "[a|\xff\xc3推\x7f]", nil},
		{"{\"a\":\"\xff\\n\"}", "[a|\xff\n]", nil},
		{`{"a":0,"b":-0,"c":-1.50,"d":1e5,"e":1E+5,"f":10.25e-3}`, "[a|0][b|-0][c|-1.50][d|1e5][e|1E+5][f|10.25e-3]", nil},

		{``, "", ErrJSONObject},
		{` `, "", ErrJSONObject},
		{`[]`, "", ErrJSONObject},
		{`"a"`, "", ErrJSONObject},
		{`1`, "", ErrJSONObject},
		{`null`, "", ErrJSONObject},
		{"\ufeff{}", "", ErrJSONObject},
		{`{`, "", ErrJSONObject},
		{`{,}`, "", ErrJSONObject},
		{`{"a"}`, "", ErrJSONObject},
		{`{"a" "b"}`, "", ErrJSONObject},
		{`{a:1}`, "", ErrJSONObject},
		{`{'a':1}`, "", ErrJSONObject},
		{`{1:1}`, "", ErrJSONObject},
		{`{"a":1`, "[a|1]", ErrJSONObject},
		{`{"a":1,`, "[a|1]", ErrJSONObject},
		{`{"a":1,}`, "[a|1]", ErrJSONObject},
		{`{"a":1 "b":2}`, "[a|1]", ErrJSONObject},
		{`{"a":1}}`, "[a|1]", ErrJSONObject},
		{`{"a":1}{"b":2}`, "[a|1]", ErrJSONObject},
		{`{} x`, "", ErrJSONObject},
		{"{}\x00", "", ErrJSONObject},
		{"{\"a\":1\x00}", "[a|1]", ErrJSONObject},
		{`{"a":}`, "", ErrJSONValue},
		{`{"a":`, "", ErrJSONValue},
		{`{"a":true}`, "", ErrJSONValue},
		{`{"a":false}`, "", ErrJSONValue},
		{`{"a":null}`, "", ErrJSONValue},
		{`{"a":{}}`, "", ErrJSONValue},
		{`{"a":[1]}`, "", ErrJSONValue},
		{`{"a":+1}`, "", ErrJSONValue},
		{`{"a":.5}`, "", ErrJSONValue},
		{`{"a":NaN}`, "", ErrJSONValue},
		{`{"a":-}`, "", ErrJSONNumber},
		{`{"a":-x}`, "", ErrJSONNumber},
		{`{"a":1.}`, "", ErrJSONNumber},
		{`{"a":1.e5}`, "", ErrJSONNumber},
		{`{"a":1e}`, "", ErrJSONNumber},
		{`{"a":1e+}`, "", ErrJSONNumber},
		{`{"a":01}`, "[a|0]", ErrJSONObject},
		{`{"a":0x1}`, "[a|0]", ErrJSONObject},
		{`{"a`, "", ErrJSONString},
		{`{"a":"b`, "", ErrJSONString},
		{`{"a":"b\`, "", ErrJSONString},
		{`{"a":"\x"}`, "", ErrJSONString},
		{`{"a":"\u12"}`, "", ErrJSONString},
		{`{"a":"\u12g4"}`, "", ErrJSONString},
		{`{"a":"\ud83d\u12"}`, "", ErrJSONString},
		{`{"a":"\n`, "", ErrJSONString},
		{"{\"a\":\"\n\"}", "", ErrJSONString},
		{"{\"a\":\"\\n\x1f\"}", "", ErrJSONString},
		{"{\"a\":\"\x00\"}", "", ErrJSONString},
		{`{"a":"\u0000"}`, "", ErrNUL},
		{`{"a\u0000":"b"}`, "", ErrNUL},
	} {
		for _, scratch := range [][]byte{nil, make([]byte, 0, 4), make([]byte, 0, 1000)} {
			got, err := members(exact([]byte(c.body)), scratch)
			if got != c.want || c.err == nil && err != nil || c.err != nil && err != c.err {
				t.Errorf("%s: %q, %v; want %q, %v", c.body, got, err, c.want, c.err)
			}
		}
	}
}

func TestJSONNulls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, want string
		err        error
	}{
		{`{"a":null,"b":"null", "c" : null }`, "[a|][b|null][c|]", nil},
		{`{"a":nul}`, "", ErrJSONValue},
		{`{"a":null1}`, "[a|]", ErrJSONObject},
		{`{"a":true}`, "", ErrJSONValue},
		{`{"a":n`, "", ErrJSONValue},
	} {
		var m JSONMembers
		m.Init([]byte(c.body), nil)
		m.Nulls = true
		got := ""
		for m.Next() {
			got += fmt.Sprintf("[%s|%s]", m.Name, m.Value)
		}
		if got != c.want || m.Err() != c.err {
			t.Errorf("%s: %s, %v; want %s, %v", c.body, got, m.Err(), c.want, c.err)
		}
	}
}

func TestJSONScratchIsLent(t *testing.T) {
	var m JSONMembers
	m.Init([]byte(`{"\u0061":"\u0062"}`), append(make([]byte, 0, 8), "kept"...))
	if !m.Next() || cap(m.Name) != 1 || cap(m.Value) != 1 {
		t.Errorf("appending to %q or %q would overwrite the next string", m.Name, m.Value)
	}
	if m.Next() || string(m.Scratch()) != "keptab" || cap(m.Scratch()) != 8 {
		t.Errorf("%q, %d, %v", m.Scratch(), cap(m.Scratch()), m.Err())
	}
}

func TestValidJSONString(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "plain": true, "推送": true, `\"\\\/\b\f\n\r\t`: true, `\u63A8`: true, `\ud83d\ude00`: true, `\ud83d`: true, `\u0000`: true, "\x7f": true,
		`"`: false, `a"`: false, `01234567"`: false, `\`: false, `a\`: false, `\\\`: false, `\x`: false, `\u`: false, `\u123`: false, `\u123g`: false, `\ud83d\u12`: false,
		"\n": false, "\x00": false, "01234567\x1f": false, "\xff": false, "\xc3": false, "\xed\xa0\x80": false, "\xc0\x80": false, "\xf4\x90\x80\x80": false, "a\\n\xff": false,
	} {
		if got := ValidJSONString(exact([]byte(s))); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}
