package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestClasses: what a table leaves out is as [front] says at the end, wherever that is said.
func TestClasses(t *testing.T) {
	path := writeConfig(t, `
[[channels]]
match = "chat.*"
buffer_size = 0
buffer_ttl = "1m30s"
buffer_bytes = "0"
[front]
channel_buffer_size = 7
channel_timeout = 40
auth = "token"
[[channels]]
match = "*"
max_subscribers = 5
auth = "none"
"timeout" = 41
`)
	cfg, warnings, err := Load(path, []string{"ICOMET_FRONT_CHANNEL_TIMEOUT=50", "ICOMET_FRONT_MAX_SUBSCRIBERS_PER_CHANNEL=60"})
	want := []ChannelClass{
		{Match: "chat.*", BufferTTL: Duration(90 * time.Second), Timeout: 50, MaxSubscribers: 60, Auth: "token"},
		{Match: "*", BufferSize: 7, Timeout: 41, MaxSubscribers: 5, Auth: "none"},
	}
	if err != nil || len(warnings) > 0 || !reflect.DeepEqual(cfg.Channels, want) {
		t.Errorf("%v, %q\n got %+v\nwant %+v", err, warnings, cfg.Channels, want)
	}
	standard := Default()
	if keys := standard.NeedsRestart(&cfg); keys != nil {
		t.Errorf("need a restart: %q", keys)
	}
}

// TestClassesUse: a class of its own can be what needs the keys of tokens.
func TestClassesUse(t *testing.T) {
	path := writeConfig(t, "[front]\njwt_keys = [\"k\"]\n[[channels]]\nmatch = \"a\"\nauth = \"jwt\"\n")
	cfg, _, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for auth, want := range map[string]bool{"none": true, "jwt": true, "token": false} {
		if got := cfg.Uses(auth); got != want {
			t.Errorf("uses %s: %v", auth, got)
		}
	}
}

// checkShippedExample wants the comment on channel classes to be right: its example can be
// used as it stands and shows each key, and each key is explained with its range.
func checkShippedExample(t *testing.T, shipped string) {
	t.Helper()
	_, explained, _ := strings.Cut(shipped, "\n#   match ")
	explained, example, _ := strings.Cut(explained, "\n# An example:\n")
	example, _, _ = strings.Cut(example, "\n\n")
	cfg, _, err := Load(writeConfig(t, strings.ReplaceAll("\n"+example, "\n# ", "\n")), nil)
	if err != nil || len(cfg.Channels) != 2 {
		t.Fatalf("the example: %+v, %v", cfg.Channels, err)
	}
	comments := map[string]string{}
	for _, text := range strings.Split("match "+explained, "\n#   ") {
		if key, text, found := strings.Cut(text, " "); found && key != "" {
			comments[key], explained = text, key
			continue
		}
		comments[explained] += text
	}
	standard := classFrom(&cfg.Front)
	defaults := standard.fields(0)
	for i, f := range cfg.Channels[0].fields(0) {
		if reflect.DeepEqual(f.value.Interface(), defaults[i].value.Interface()) {
			t.Errorf("the example does not set %s", f.key)
		}
		f.key = lastPart(f.key)
		comments[f.key] += " (reload)" // is said for all of them
		checkDocumented(t, f, comments)
	}
}
