package config

import "reflect"

// KeyState is one key of a configuration, for people to look at.
type KeyState struct {
	Key     string `json:"key"`
	Value   any    `json:"value"` // null: a secret
	Secret  bool   `json:"secret,omitempty"`
	Set     bool   `json:"set"`     // a secret: there is one
	Changed bool   `json:"changed"` // it is not the default
	Restart bool   `json:"restart"`
}

// ShowKeys lists all keys of cfg in the order of the file, without secrets.
func ShowKeys(cfg *Config) []KeyState {
	var keys []KeyState
	standard := Default()
	defaults := fieldsOf(&standard)
	for i, f := range fieldsOf(cfg) {
		k := KeyState{
			Key: f.key, Secret: f.tag.Get("secret") == "yes", Restart: f.tag.Get("restart") == "yes",
			Changed: !reflect.DeepEqual(f.value.Interface(), defaults[i].value.Interface()),
		}
		switch v := f.value.Interface().(type) {
		case Size:
			k.Value = v.String()
		case Duration:
			k.Value = v.String()
		default:
			k.Value = v
		}
		if k.Secret {
			k.Value, k.Set = nil, !f.value.IsZero() && (f.value.Kind() != reflect.Slice || f.value.Len() > 0)
		}
		keys = append(keys, k)
	}
	return keys
}
