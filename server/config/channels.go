package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// ChannelClass is one [[channels]] table: how the channels are kept whose name Match fits.
// The first table that fits counts. Load fills in from [front] what a table leaves out.
type ChannelClass struct {
	Match          string   `toml:"match" form:"glob"`
	BufferSize     int      `toml:"buffer_size" range:"0..1000000"`  // messages
	BufferTTL      Duration `toml:"buffer_ttl" range:"0s..8760h"`    // 0: as long as the channel
	BufferBytes    Size     `toml:"buffer_bytes" range:"0..1024GiB"` // of content; 0: no limit
	Timeout        int      `toml:"timeout" range:"1..86400"`        // seconds
	MaxSubscribers int      `toml:"max_subscribers" range:"1..100000000"`
	Auth           string   `toml:"auth" oneof:"none|token|jwt"`
}

const (
	classSection = "channels"
	// maxClasses bounds how many globs may be tried for a name that is new.
	maxClasses = 200
	// maxGlob is in bytes, as many as a channel's name may have.
	maxGlob = 255
)

// Uses reports whether there may be channels with this auth, by front.auth or by a class.
func (c *Config) Uses(auth string) bool {
	for i := range c.Channels {
		if c.Channels[i].Auth == auth {
			return true
		}
	}
	return c.Front.Auth == auth
}

// String names the class and what holds for it, for people.
func (c *ChannelClass) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[%s]] %q:", classSection, c.Match)
	for i, f := range c.fields(0)[1:] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s %v", lastPart(f.key), f.shown())
	}
	return b.String()
}

// fields lists the keys of class number i, "match" first. Their names have the number, from 1,
// so that they differ from those of other classes.
func (c *ChannelClass) fields(i int) []keyField {
	return appendFields(nil, classSection+"."+strconv.Itoa(i+1)+".", reflect.ValueOf(c).Elem())
}

// classFrom is what a table means that sets nothing.
func classFrom(front *Front) ChannelClass {
	return ChannelClass{
		BufferSize: front.ChannelBufferSize, Timeout: front.ChannelTimeout,
		MaxSubscribers: front.MaxSubscribersPerChannel, Auth: front.Auth,
	}
}

// classTable is a [[channels]] table while it is read. What it leaves out is known only when
// the environment has been read as well.
type classTable struct {
	class  ChannelClass
	fields []keyField // of class
	place  place      // of its head
}

func (t *classTable) field(name string) *keyField {
	for i := range t.fields {
		if lastPart(t.fields[i].key) == name {
			return &t.fields[i]
		}
	}
	return nil
}

func (t *classTable) keys() []string {
	keys := make([]string, len(t.fields))
	for i := range t.fields {
		keys[i] = joinKey([]string{classSection, lastPart(t.fields[i].key)})
	}
	return keys
}

// classHeader begins a table.
func (w *fileWalker) classHeader(p place, array bool) error {
	switch {
	case !array:
		return p.mistake(nil, "is a list of tables: write [[channels]]")
	case len(w.classes) == maxClasses:
		return p.mistake(nil, fmt.Sprintf("must be at most %d tables", maxClasses))
	}
	t := &classTable{place: p}
	t.fields = t.class.fields(len(w.classes))
	w.classes = append(w.classes, t)
	return nil
}

// classKey handles one line of the table that was begun last. names are without "channels".
func (w *fileWalker) classKey(p place, names []string, node *unstable.Node) error {
	t := w.classes[len(w.classes)-1]
	tables, _ := w.values[classSection].([]any)
	values, _ := tables[len(w.classes)-1].(map[string]any)
	value := values[names[0]]
	f := t.field(names[0])
	if f == nil || len(names) > 1 {
		// The keys of [front] have longer names.
		meant := strings.TrimSuffix(strings.TrimPrefix(joinKey(names), "channel_"), "_per_channel")
		return p.mistake(value, "unknown key"+didYouMean(nearestName(classSection+"."+meant, t.keys())))
	}
	return w.set(f, p, value, w.elementLines(node.Value()))
}

// resolveClasses fills in what the tables leave out and judges each beside the others.
func (l *loader) resolveClasses() error {
	lines := map[string]int{} // by match
	for _, t := range l.classes {
		class := classFrom(&l.cfg.Front)
		for _, f := range class.fields(len(l.cfg.Channels)) {
			if _, set := l.places[f.key]; set {
				f.value.Set(t.field(lastPart(f.key)).value)
			}
		}
		match, found := l.places[t.field("match").key]
		line, twice := lines[class.Match]
		switch {
		case !found:
			return t.place.mistake(nil, `needs a match, like match = "chat.*"`)
		case twice:
			return match.mistake(class.Match, fmt.Sprintf("is the match of line %d already", line))
		case class.Auth == "jwt" && len(l.cfg.Front.JWTKeys) == 0: // its own: front.auth has been judged
			return l.places[t.field("auth").key].mistake("jwt", "needs front.jwt_keys")
		}
		lines[class.Match] = match.line
		l.cfg.Channels = append(l.cfg.Channels, class)
	}
	return nil
}

// isClassVariable is for a name that would be a class's key if tables could be variables.
func isClassVariable(name string) bool {
	return strings.HasPrefix(name, environmentPrefix+strings.ToUpper(classSection))
}

func checkGlob(text string) error {
	if len(text) > maxGlob {
		return fmt.Errorf("must be at most %d bytes", maxGlob)
	}
	if !utf8.ValidString(text) {
		return errors.New("must be UTF-8")
	}
	return checkNotEmpty(text)
}

// shown is the value as people read and write it.
func (f *keyField) shown() any {
	switch v := f.value.Interface().(type) {
	case Size:
		if v == 0 && f.tag.Get("unset") != "yes" {
			return "0"
		}
		return v.String()
	case Duration:
		return v.String()
	default:
		return v
	}
}
