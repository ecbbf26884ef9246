package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxConfigFile is in bytes. A file that is larger is not a configuration:
// a log or a device given by mistake.
const maxConfigFile = 1 << 20

const environmentPrefix = "ICOMET_"

// loader fills a configuration key by key.
type loader struct {
	cfg    Config
	fields []keyField       // of cfg
	places map[string]place // by key: where its value was set; a default has none

	classes []*classTable // in the order of the file
}

// place is where a value comes from.
type place struct {
	file string // or "environment"
	line int    // 0 for the environment
	name string // of the key there
}

func (p place) mistake(value any, reason string) *Error {
	e := &Error{File: p.file, Line: p.line, Key: p.name, Reason: reason}
	if value != nil {
		e.Value = showValue(value)
	}
	return e
}

func (l *loader) field(key string) *keyField {
	for i := range l.fields {
		if l.fields[i].key == key {
			return &l.fields[i]
		}
	}
	return nil
}

func (l *loader) isSection(key string) bool {
	for i := range l.fields {
		if strings.HasPrefix(l.fields[i].key, key+".") {
			return true
		}
	}
	return false
}

func (l *loader) keys() []string {
	keys := make([]string, len(l.fields))
	for i := range l.fields {
		keys[i] = l.fields[i].key
	}
	return keys
}

func (l *loader) readFile(path string) error {
	data, err := readConfigFile(path)
	if err != nil {
		return &Error{File: path, Reason: err.Error()}
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Error{File: path, Reason: "is UTF-16: save it as UTF-8"}
	}
	// The decoder gives the values and finds every fault of TOML itself, such
	// as a key set twice; the parser gives the order and the lines.
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		e := &Error{File: path, Reason: strings.TrimPrefix(err.Error(), "toml: ")}
		if de, ok := errors.AsType[*toml.DecodeError](err); ok {
			e.Line, _ = de.Position()
		}
		return e
	}
	w := fileWalker{loader: l, path: path, data: data, values: values}
	return w.walk()
}

func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, SystemWords(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return nil, SystemWords(err)
	}
	if len(data) > maxConfigFile {
		return nil, fmt.Errorf("is larger than %s: not a configuration file", Size(maxConfigFile))
	}
	return data, nil
}

// SystemWords leaves out the path, which the message already has.
func SystemWords(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// fileWalker goes through one file in the order of its lines.
type fileWalker struct {
	*loader
	path   string
	data   []byte
	values map[string]any
	parser unstable.Parser
}

func (w *fileWalker) walk() error {
	var section []string
	w.parser.Reset(w.data)
	for w.parser.NextExpression() {
		node := w.parser.Expression()
		names, line := w.key(node)
		switch node.Kind {
		case unstable.KeyValue:
			if err := w.keyValue(section, node); err != nil {
				return err
			}
		case unstable.Table, unstable.ArrayTable:
			section = names
			if err := w.header(place{w.path, line, joinKey(names)}, node.Kind == unstable.ArrayTable); err != nil {
				return err
			}
		}
	}
	if err := w.parser.Error(); err != nil {
		return &Error{File: w.path, Reason: err.Error()}
	}
	return nil
}

// key reads the names of a key or header and the line it is on.
func (w *fileWalker) key(node *unstable.Node) (names []string, line int) {
	for it := node.Key(); it.Next(); {
		part := it.Node()
		names = append(names, string(part.Data))
		line = w.line(part)
	}
	return names, line
}

func (w *fileWalker) line(node *unstable.Node) int {
	return 1 + bytes.Count(w.data[:node.Raw.Offset], []byte{'\n'})
}

func (w *fileWalker) header(p place, array bool) error {
	switch {
	case p.name == classSection:
		return w.classHeader(p, array)
	case w.field(p.name) != nil:
		return p.mistake(nil, "is a key, not a section")
	case !w.isSection(p.name):
		return p.mistake(nil, "unknown section"+didYouMean(nearestName(p.name, w.sections())))
	case array:
		return p.mistake(nil, "is one section: write ["+p.name+"]")
	}
	return nil
}

func (l *loader) sections() []string {
	sections := []string{classSection}
	for i := range l.fields {
		if end := strings.LastIndexByte(l.fields[i].key, '.'); end > 0 {
			sections = append(sections, l.fields[i].key[:end])
		}
	}
	return sections
}

// keyValue handles one line, or one pair of an inline table.
func (w *fileWalker) keyValue(section []string, node *unstable.Node) error {
	names, line := w.key(node)
	names = append(section[:len(section):len(section)], names...)
	p := place{w.path, line, joinKey(names)}
	if names[0] == classSection {
		if len(section) == 0 {
			return p.mistake(nil, "channel classes are tables: write [[channels]] and the keys below")
		}
		return w.classKey(p, names[len(section):], node)
	}
	value := w.lookup(names)
	f := w.field(p.name)
	if f != nil {
		return w.set(f, p, value, w.elementLines(node.Value()))
	}
	if !w.isSection(p.name) {
		return w.unknown(p, value)
	}
	if node.Value().Kind != unstable.InlineTable {
		return p.mistake(value, "is a section: write ["+p.name+"] and its keys below")
	}
	for it := node.Value().Children(); it.Next(); {
		if err := w.keyValue(names, it.Node()); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the mistake of a key that does not exist. Its value is left out
// when a secret was meant.
func (w *fileWalker) unknown(p place, value any) error {
	nearest := nearestName(p.name, w.keys())
	if f := w.field(nearest); f != nil && f.tag.Get("secret") == "yes" {
		value = nil
	}
	return p.mistake(value, "unknown key"+didYouMean(nearest))
}

// lookup finds a value that the decoder has put under these names.
func (w *fileWalker) lookup(names []string) any {
	table := w.values
	for _, name := range names[:len(names)-1] {
		table, _ = table[name].(map[string]any)
	}
	return table[names[len(names)-1]]
}

// elementLines gives the line of each element of a list of texts.
func (w *fileWalker) elementLines(list *unstable.Node) []int {
	if list.Kind != unstable.Array {
		return nil
	}
	var lines []int
	for it := list.Children(); it.Next(); {
		if it.Node().Kind != unstable.String {
			return nil
		}
		lines = append(lines, w.line(it.Node()))
	}
	return lines
}

// joinKey writes a dotted key; a name that is not bare is quoted, so that no
// name can look like two and none can break the line of a message.
func joinKey(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = name
		if name == "" || strings.ContainsFunc(name, notBare) {
			quoted[i] = strconv.Quote(shorten(name))
		}
	}
	return strings.Join(quoted, ".")
}

func notBare(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
}

// readEnvironment sets the keys that have a variable.
func (l *loader) readEnvironment(environ []string) (warnings []string, err error) {
	variables := make(map[string]*keyField, len(l.fields))
	names := make([]string, len(l.fields))
	for i := range l.fields {
		names[i] = l.fields[i].variable()
		variables[names[i]] = &l.fields[i]
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, environmentPrefix) {
			continue
		}
		f := variables[name]
		if isClassVariable(name) {
			warnings = append(warnings, "environment variable "+shorten(name)+" is ignored: channel classes, [[channels]], are only in the file")
			continue
		}
		if f == nil {
			warnings = append(warnings, "unknown environment variable "+shorten(name)+didYouMean(nearestName(name, names)))
			continue
		}
		p := place{file: "environment", name: name}
		if err := l.takesAway(f, p, text); err != nil {
			return nil, err
		}
		if err := l.setText(f, p, text); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}

// takesAway is the mistake of a variable that is empty, perhaps because a secret was not
// there when it was filled in, over a file that sets a protection.
func (l *loader) takesAway(f *keyField, p place, text string) error {
	set, ok := l.places[f.key]
	if !ok || f.value.IsZero() || f.value.Kind() == reflect.Slice && f.value.Len() == 0 ||
		f.tag.Get("guard") != "yes" || strings.Trim(text, ", \t\r\n") != "" {
		return nil
	}
	return f.mistake(p, text, fmt.Sprintf("is empty, and would take away the protection that %s:%d sets: unset the variable, or take the key out of the file", set.file, set.line))
}
