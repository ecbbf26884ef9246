package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. 0 also stands for "not set" where a key allows it.
type Size int64

// Duration is a time.Duration that is configured as text: 250ms, 10s, 1m30s.
type Duration time.Duration

// sizeUnits are in the order in which parsing tries them: a unit that ends
// another one comes after it.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
	{"B", 1},
}

// parseSize reads digits with an optional unit. The empty text is no size.
func parseSize(text string) (Size, error) {
	digits, unit := text, int64(1)
	for _, u := range sizeUnits {
		if rest, found := strings.CutSuffix(text, u.name); found {
			digits, unit = rest, u.bytes
			break
		}
	}
	// ParseUint takes digits only here: in base 10 neither a sign nor an
	// underscore.
	n, err := strconv.ParseUint(digits, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errors.New("is too large")
	}
	if err != nil {
		return 0, errors.New(`must be a size, like "512B", "8KiB", "1MiB" or "2GiB"`)
	}
	if n > uint64(math.MaxInt64/unit) {
		return 0, errors.New("is too large")
	}
	return Size(int64(n) * unit), nil
}

// String is the shortest exact form: 8KiB, 1500B; "" for 0, which is not set.
func (s Size) String() string {
	if s == 0 {
		return ""
	}
	for _, u := range sizeUnits {
		binary := u.bytes&(u.bytes-1) == 0
		if binary && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseDuration reads Go's form of durations.
func parseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New(`must be a duration, like "250ms", "10s" or "1m30s"`)
	}
	return Duration(d), nil
}

// String is time.Duration's form.
func (d Duration) String() string { return time.Duration(d).String() }
