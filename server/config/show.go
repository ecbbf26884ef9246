package config

import "reflect"

// KeyState is one key of a configuration, for people to look at.
type KeyState struct {
	Key     string `json:"key"`
	Value   any    `json:"value"` // null: a secret
	Secret  bool   `json:"secret,omitempty"`
	Set     bool   `json:"set"`     // a secret: there is one
	Changed bool   `json:"changed"` // it is not the default; of a class: not what [front] says
	Restart bool   `json:"restart"`
}

// ShowKeys lists all keys of cfg in the order of the file, then those of the channel
// classes (channels.1.match, …), without secrets.
func ShowKeys(cfg *Config) []KeyState {
	standard := Default()
	keys := appendStates(nil, fieldsOf(cfg), fieldsOf(&standard))
	for i := range cfg.Channels {
		standard := classFrom(&cfg.Front)
		standard.Match = cfg.Channels[i].Match // it has no default
		keys = appendStates(keys, cfg.Channels[i].fields(i), standard.fields(i))
	}
	return keys
}

func appendStates(keys []KeyState, fields, defaults []keyField) []KeyState {
	for i, f := range fields {
		k := KeyState{
			Key: f.key, Value: f.shown(), Secret: f.tag.Get("secret") == "yes", Restart: f.tag.Get("restart") == "yes",
			Changed: !reflect.DeepEqual(f.value.Interface(), defaults[i].value.Interface()),
		}
		if k.Secret {
			k.Value, k.Set = nil, !f.value.IsZero() && (f.value.Kind() != reflect.Slice || f.value.Len() > 0)
		}
		keys = append(keys, k)
	}
	return keys
}
