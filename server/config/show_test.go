package config

import (
	"encoding/json"
	"strings"
	"testing"
)

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
