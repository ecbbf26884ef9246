package importer

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"icomet/server/config"
)

// Convert returns the config.toml that does what the original's configuration in text does,
// with a comment for whatever has no equivalent. file is the path of the original's file: it
// stands in messages, and paths in the text are relative to its folder, as they were for the
// original. The error joins those of all lines that cannot be imported, each a *config.Error.
func Convert(file, text string) (toml string, err error) {
	entries, faults := parse(file, text)
	c := converter{file: file, faults: faults, first: map[string]entry{}}
	for _, e := range entries {
		c.take(e)
	}
	c.write()
	if front, admin := c.first["front.listen"], c.first["admin.listen"]; front.value != "" && front.value == admin.value {
		c.fault(admin, fmt.Sprintf("is front.listen (line %d) already", front.line))
	}
	if len(c.faults) > 0 {
		return "", errors.Join(c.faults...)
	}
	return c.out.String(), nil
}

// converter holds what has been read.
type converter struct {
	file   string
	faults []error
	first  map[string]entry // the first value of each key, which is the one that counts
	access access
	notes  []string // about lines that nothing is made of
	out    strings.Builder
}

// keys are those that the original knows, but for allow and deny.
var keys = map[string]bool{
	"pidfile": true, "logger.level": true, "logger.output": true, "logger.rotate.size": true,
	"admin.listen": true, "front.listen": true, "front.auth": true,
	"front.max_channels": true, "front.max_subscribers_per_channel": true, "front.channel_buffer_size": true,
	"front.channel_timeout": true, "front.polling_timeout": true,
}

// sections are the keys that have others below them.
var sections = map[string]bool{"logger": true, "logger.rotate": true, "admin": true, "front": true}

// take sorts a line in.
func (c *converter) take(e entry) {
	switch before, twice := c.first[e.key]; {
	case e.key == "admin.allow":
		c.access.allow = c.appendNetwork(c.access.allow, &c.access.allowAll, e)
	case e.key == "admin.deny":
		c.access.deny = c.appendNetwork(c.access.deny, &c.access.denyAll, e)
	case sections[e.key] && e.value == "":
	case !keys[e.key]:
		c.notes = append(c.notes, fmt.Sprintf("line %d: %s = %s: the original does not know this key, and there is no equivalent", e.line, shown(e.key), shown(e.value)))
	case twice:
		c.notes = append(c.notes, fmt.Sprintf("line %d: %s is given again; line %d counts", e.line, e.key, before.line))
	default:
		c.first[e.key] = e
	}
}

func (c *converter) fault(e entry, reason string) {
	c.faults = append(c.faults, &config.Error{File: c.file, Line: e.line, Key: e.key, Value: strconv.Quote(shown(e.value)), Reason: reason})
}

func (c *converter) printf(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// set writes a key, if the server takes the value.
func (c *converter) set(e entry, value string, comments ...string) {
	environ := []string{variable(e.key) + "=" + value}
	for _, other := range []string{"front.listen", "admin.listen"} {
		if other != e.key { // the two may not be the same: Convert sees to that
			environ = append(environ, variable(other)+"=127.0.0.1:0")
		}
	}
	if _, _, err := config.Load("", environ); err != nil {
		reason := err.Error()
		if bad, ok := errors.AsType[*config.Error](err); ok {
			reason = bad.Reason
		}
		c.fault(e, reason)
		return
	}
	for _, comment := range comments {
		c.printf("# %s", comment)
	}
	name := e.key[strings.LastIndexByte(e.key, '.')+1:]
	if n, err := strconv.Atoi(value); err == nil {
		c.printf("%s = %d", name, n)
		return
	}
	c.printf("%s = %s", name, quote(value))
}

// variable is the environment variable of a key.
func variable(key string) string {
	return "ICOMET_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// quote makes a basic string of TOML. config.Load has refused a NUL.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(text, "\ufffd") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (c *converter) write() {
	c.printf("# Made by icomet-server -import from %s.", shown(c.file))
	c.printf("# Keys that are left out have their defaults: docs/configuration.md lists all.")
	for _, n := range c.notes {
		c.printf("# %s", n)
	}
	c.printf("")
	if e, ok := c.first["pidfile"]; ok && e.value != "" {
		c.set(e, c.path(e.value))
		c.printf("")
	}
	c.writeLogger()
	c.writeFront()
	c.writeAdmin()
}

// path is where the original would find a file: it changed to the folder of its configuration.
func (c *converter) path(text string) string {
	if filepath.IsAbs(text) {
		return text
	}
	folder, err := filepath.Abs(filepath.Dir(c.file))
	if err != nil {
		return text
	}
	return filepath.Join(folder, text)
}

func (c *converter) writeLogger() {
	c.printf("[logger]")
	level := c.first["logger.level"]
	switch level.value {
	case "debug", "info", "warn", "error":
		c.set(level, level.value)
	case "trace":
		c.set(level, "debug", "trace has no equivalent; debug says most.")
	case "fatal":
		c.set(level, "error", "fatal has no equivalent; error says least.")
	default:
		level.key = "logger.level"
		c.set(level, "debug", fmt.Sprintf("The original took %q for debug.", shown(level.value)))
	}
	output := c.first["logger.output"]
	switch output.key = "logger.output"; output.value {
	case "", "stdout":
		c.set(output, "stdout")
	case "stderr":
		c.set(output, "stderr")
	default:
		c.set(output, c.path(output.value))
	}
	if e, ok := c.first["logger.rotate.size"]; ok {
		c.printf("# line %d: rotate.size = %s has no equivalent: let logrotate rename the file and run icomet-server -s reopen CONFIG.", e.line, shown(e.value))
	}
	c.printf("")
}

func (c *converter) writeFront() {
	c.printf("[front]")
	if e, ok := c.first["front.listen"]; ok {
		c.set(e, e.value)
	}
	switch e := c.first["front.auth"]; e.value {
	case "token", "none":
		c.set(e, e.value)
	case "":
		c.printf(`auth = "none"`)
	default:
		c.set(e, "none", fmt.Sprintf("The original took %q for none.", shown(e.value)))
	}
	for _, name := range []string{"max_channels", "max_subscribers_per_channel", "channel_buffer_size"} {
		if e, ok := c.first["front."+name]; ok {
			c.set(e, e.value)
		}
	}
	polling, hasPolling := c.first["front.polling_timeout"]
	timeout, hasTimeout := c.first["front.channel_timeout"]
	n, err := strconv.Atoi(polling.value)
	switch m, bad := strconv.Atoi(timeout.value); {
	case hasTimeout && (bad != nil || m > 0):
		c.set(timeout, timeout.value)
	case hasPolling && err == nil && n > 0:
		timeout.key = "front.channel_timeout"
		c.set(timeout, strconv.Itoa(max(1, n/2)), "Without a channel_timeout above 0 the original took half of polling_timeout.")
	}
	if hasPolling {
		c.set(polling, polling.value)
	}
	c.printf("")
}

func (c *converter) writeAdmin() {
	c.printf("[admin]")
	if e, ok := c.first["admin.listen"]; ok {
		c.set(e, e.value, "Services that call this port by a name, not by an address, get 403 unless hosts lists the name.")
	}
	for _, comment := range c.access.comments() {
		c.printf("# %s", comment)
	}
	allow, deny := c.access.lists()
	c.printf("allow = [%s]", strings.Join(quoted(allow), ", "))
	if len(deny) > 0 {
		c.printf("deny = [%s]", strings.Join(quoted(deny), ", "))
	}
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = quote(text)
	}
	return out
}
