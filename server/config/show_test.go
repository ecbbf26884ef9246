package config

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestShowClasses: what holds for each class, and what is not as [front] says.
func TestShowClasses(t *testing.T) {
	cfg := Default()
	cfg.Channels = []ChannelClass{classFrom(&cfg.Front), classFrom(&cfg.Front)}
	cfg.Channels[0].Match, cfg.Channels[0].BufferSize, cfg.Channels[0].BufferBytes = "chat.*", 1000, 4<<20
	cfg.Channels[1].Match, cfg.Channels[1].Auth = "*", "token"
	text, err := json.Marshal(ShowKeys(&cfg))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"key":"channels.1.match","value":"chat.*","set":false,"changed":false,"restart":false}`,
		`{"key":"channels.1.buffer_size","value":1000,"set":false,"changed":true,"restart":false}`,
		`{"key":"channels.1.buffer_ttl","value":"0s","set":false,"changed":false,"restart":false}`,
		`{"key":"channels.1.buffer_bytes","value":"4MiB","set":false,"changed":true,"restart":false}`,
		`{"key":"channels.2.buffer_size","value":10,"set":false,"changed":false,"restart":false}`,
		`{"key":"channels.2.buffer_bytes","value":"0","set":false,"changed":false,"restart":false}`,
		`{"key":"channels.2.auth","value":"token","set":false,"changed":true,"restart":false}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	want := `[[channels]] "chat.*": buffer_size 1000, buffer_ttl 0s, buffer_bytes 4MiB, timeout 30, max_subscribers 1000000, auth none`
	if got := cfg.Channels[0].String(); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestConfigHidesSecrets: of every key with a secret only whether it is set is told.
func TestConfigHidesSecrets(t *testing.T) {
	cfg, standard := Default(), Default()
	cfg.Admin.Keys = []string{"hidden-one", "hidden-two"}
	cfg.Engine.Redis.Password = "hidden-three"
	text, err := json.Marshal(ShowKeys(&cfg))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hidden-") {
		t.Errorf("a secret is shown: %s", text)
	}
	for _, want := range []string{
		`{"key":"admin.keys","value":null,"secret":true,"set":true,"changed":true,"restart":false}`,
		`{"key":"engine.redis.password","value":null,"secret":true,"set":true,"changed":true,"restart":true}`,
		`{"key":"limits.body","value":"1MiB","set":false,"changed":false,"restart":false}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if text, _ = json.Marshal(ShowKeys(&standard)); strings.Contains(string(text), `"set":true`) || strings.Contains(string(text), `"changed":true`) {
		t.Errorf("the defaults: %s", text)
	}
}
