package continuity

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"icomet/server/config"
)

// setup is what can change while a server runs: what the classes keep.
type setup struct {
	plain, small, ttl, brief keeping
	hasSmall                 bool // else those channels are as the plain ones
}

func drawSetup(t *rapid.T) setup {
	return setup{
		plain:    keeping{size: rapid.IntRange(1, 8).Draw(t, "channel_buffer_size")},
		hasSmall: rapid.IntRange(0, 3).Draw(t, "with small") > 0,
		small: keeping{
			size:  rapid.SampledFrom([]int{0, 1, 2, 5, 100}).Draw(t, "buffer_size"),
			bytes: rapid.SampledFrom([]int{0, 1, 30, 200}).Draw(t, "buffer_bytes"),
		},
		ttl:   keeping{size: 6, ttl: rapid.SampledFrom([]time.Duration{0, shortTTL, time.Hour}).Draw(t, "buffer_ttl")},
		brief: keeping{size: 4},
	}
}

func (s *setup) keeping(kind string) keeping {
	switch {
	case kind == "small" && s.hasSmall:
		return s.small
	case kind == "ttl":
		return s.ttl
	case kind == "brief":
		return s.brief
	}
	return s.plain
}

// classes are the [[channels]] tables.
func (s *setup) classes() (out []config.ChannelClass) {
	for _, kind := range kinds[1:] {
		if kind == "small" && !s.hasSmall {
			continue
		}
		k := s.keeping(kind)
		c := config.ChannelClass{
			Match: "*-" + kind + "-*", BufferSize: k.size, BufferBytes: config.Size(k.bytes), BufferTTL: config.Duration(k.ttl),
			Timeout: 3600, MaxSubscribers: 1000, Auth: "none",
		}
		if kind == "brief" {
			c.Timeout = 1
		}
		out = append(out, c)
	}
	return out
}

// apply sets a configuration.
func (s *setup) apply(cfg *config.Config) {
	cfg.Front.ChannelBufferSize, cfg.Front.ChannelTimeout, cfg.Front.PollingTimeout = s.plain.size, 3600, 3600
	cfg.Front.IDWindow = idWindow
	cfg.Channels = s.classes()
}

// toml is the same as a file.
func (s *setup) toml() string {
	text := fmt.Sprintf("[front]\nchannel_buffer_size = %d\nchannel_timeout = 3600\npolling_timeout = 3600\nid_window = %d\n", s.plain.size, idWindow)
	for _, c := range s.classes() {
		text += fmt.Sprintf("[[channels]]\nmatch = %q\nbuffer_size = %d\nbuffer_bytes = \"%d\"\nbuffer_ttl = %q\ntimeout = %d\n",
			c.Match, c.BufferSize, c.BufferBytes, time.Duration(c.BufferTTL), c.Timeout)
	}
	return text
}
