package config

import (
	"reflect"
	"strings"
	"time"
)

// Config is the whole configuration. It is immutable once it is given to New
// or Reload; the lists in it are shared by its copies and must not be edited.
//
// The tags are the only place where a key is declared:
//
//	toml      the key's name in the file; its environment variable follows from it
//	oneof     the words it can be, separated by |
//	range     the smallest and largest value, both included
//	unset     "yes": the empty text is allowed and means 0, not set
//	form      what else a text must be; see textForms
//	restart   "yes": a running server cannot change it; "first": it cannot change between
//	          none and some
//	secret    "yes": its value never appears in a message
type Config struct {
	Pidfile string `toml:"pidfile" restart:"yes"`
	Logger  Logger `toml:"logger"`
	Front   Front  `toml:"front"`
	// Channels are the classes, in the order in which they are tried.
	Channels []ChannelClass `toml:"channels"`
	Admin    Admin          `toml:"admin"`
	Limits   Limits         `toml:"limits"`
	Runtime  Runtime        `toml:"runtime"`
	Engine   Engine         `toml:"engine"`
}

// Logger says what is logged, where to and in which form.
type Logger struct {
	Level  string `toml:"level" oneof:"debug|info|warn|error"`
	Output string `toml:"output" form:"not empty" restart:"yes"` // stderr, stdout or a file
	Format string `toml:"format" oneof:"text|json" restart:"yes"`
}

// Front is the port of the subscribers.
type Front struct {
	Listen                   string   `toml:"listen" form:"address" restart:"yes"`
	Auth                     string   `toml:"auth" oneof:"none|token|jwt"`
	JWTKeys                  []string `toml:"jwt_keys" form:"not empty" guard:"yes"` // files
	JWTAudience              string   `toml:"jwt_audience" guard:"yes"`
	CreateOnSubscribe        bool     `toml:"create_on_subscribe"`
	MaxChannels              int      `toml:"max_channels" range:"1..100000000"`
	MaxSubscribersPerChannel int      `toml:"max_subscribers_per_channel" range:"1..100000000"`
	ChannelBufferSize        int      `toml:"channel_buffer_size" range:"1..100000"`    // messages
	IDWindow                 int      `toml:"id_window" range:"64..100000" unset:"yes"` // publishes; 0: see config.toml
	ChannelTimeout           int      `toml:"channel_timeout" range:"1..86400"`         // seconds
	PollingTimeout           int      `toml:"polling_timeout" range:"1..86400"`         // seconds
	AllowOrigins             []string `toml:"allow_origins" form:"origin"`
	WebSocketCompression     bool     `toml:"websocket_compression"`
	TrustedProxies           []string `toml:"trusted_proxies" form:"network"`
	ProxyProtocol            bool     `toml:"proxy_protocol"`
	TLS                      TLS      `toml:"tls"`
}

// Admin is the port of the internal services.
type Admin struct {
	Listen         string   `toml:"listen" form:"address" restart:"yes"`
	Allow          []string `toml:"allow" form:"network"`
	Deny           []string `toml:"deny" form:"network" guard:"yes"`
	Keys           []string `toml:"keys" form:"key" secret:"yes" guard:"yes"`
	KeysFile       string   `toml:"keys_file" guard:"yes"`
	Hosts          []string `toml:"hosts" form:"host"`
	AllowOrigins   []string `toml:"allow_origins" form:"origin"`
	TrustedProxies []string `toml:"trusted_proxies" form:"network"`
	ProxyProtocol  bool     `toml:"proxy_protocol"`
	TLS            TLS      `toml:"tls"`
}

// Limits bounds what one connection, and all of them, can take.
//
// The smallest values are what still makes sense to somebody who tries the
// limits out; the largest keep one connection from taking the machine.
// Keepalive ends up in TCP_KEEPIDLE and TCP_KEEPINTVL, which count in seconds
// up to 32,767.
type Limits struct {
	RequestLine      Size     `toml:"request_line" range:"64B..1MiB"`
	Header           Size     `toml:"header" range:"64B..1MiB"`
	HeaderFields     int      `toml:"header_fields" range:"1..10000"`
	Body             Size     `toml:"body" range:"1B..1GiB"`
	RequestTimeout   Duration `toml:"request_timeout" range:"100ms..1h"`
	IdleTimeout      Duration `toml:"idle_timeout" range:"100ms..24h"`
	OutboundBuffer   Size     `toml:"outbound_buffer" range:"1KiB..1GiB"`
	SendBuffer       Size     `toml:"send_buffer" range:"1KiB..1GiB" unset:"yes" guard:"yes"`
	Keepalive        Duration `toml:"keepalive" range:"1s..2h"`
	Connections      int      `toml:"connections" range:"0..10000000"`
	ConnectionsPerIP int      `toml:"connections_per_ip" range:"0..10000000"`

	ChannelsPerConnection int `toml:"channels_per_connection" range:"1..10000"`
	Commands              int `toml:"commands" range:"1..10000"` // of a WebSocket client, a second

	DrainDelay   Duration `toml:"drain_delay" range:"0s..1h"`
	DrainTimeout Duration `toml:"drain_timeout" range:"100ms..1h"`
}

// Runtime is for the Go runtime and the event loops.
type Runtime struct {
	EventLoops  int  `toml:"event_loops" range:"0..64" restart:"yes"`
	MemoryLimit Size `toml:"memory_limit" range:"16MiB..16384GiB" unset:"yes" guard:"yes"`
}

// Engine says where the channels are.
type Engine struct {
	Type     string `toml:"type" oneof:"memory|redis" restart:"yes"`
	Snapshot string `toml:"snapshot" restart:"yes"` // file; "" = none
	Redis    Redis  `toml:"redis"`
}

// Redis is for engine.type = "redis".
type Redis struct {
	Address              []string `toml:"address" form:"server" restart:"yes"`
	Sentinel             string   `toml:"sentinel" restart:"yes"` // the master's name
	SentinelUsername     string   `toml:"sentinel_username" restart:"yes"`
	SentinelPassword     string   `toml:"sentinel_password" secret:"yes" restart:"yes" guard:"yes"`
	SentinelPasswordFile string   `toml:"sentinel_password_file" restart:"yes" guard:"yes"`
	Username             string   `toml:"username" restart:"yes"`
	Password             string   `toml:"password" secret:"yes" restart:"yes" guard:"yes"`
	PasswordFile         string   `toml:"password_file" restart:"yes" guard:"yes"`
	TLS                  bool     `toml:"tls" restart:"yes"`
	TLSCA                string   `toml:"tls_ca" restart:"yes" guard:"yes"` // file
	DB                   int      `toml:"db" range:"0..1000000" restart:"yes"`
	Prefix               string   `toml:"prefix" form:"prefix" restart:"yes"`
	Pool                 int      `toml:"pool" range:"1..64" restart:"yes"`
	DialTimeout          Duration `toml:"dial_timeout" range:"10ms..1m" restart:"yes"`
	Timeout              Duration `toml:"timeout" range:"10ms..1m" restart:"yes"`
	NodeTimeout          Duration `toml:"node_timeout" range:"1s..1h" restart:"yes"`
}

// Default is what the server runs with when nothing is configured. The
// shipped config.toml says the same, and a test compares the two.
func Default() Config {
	return Config{
		Logger: Logger{Level: "info", Output: "stderr", Format: "text"},
		Front: Front{
			Listen:                   "0.0.0.0:8100",
			Auth:                     "none",
			JWTKeys:                  []string{},
			CreateOnSubscribe:        true,
			MaxChannels:              1_000_000,
			MaxSubscribersPerChannel: 1_000_000,
			ChannelBufferSize:        10,
			ChannelTimeout:           30,
			PollingTimeout:           30,
			AllowOrigins:             []string{"*"},
			TrustedProxies:           []string{},
			TLS:                      defaultTLS(),
		},
		Admin: Admin{
			Listen:         "127.0.0.1:8000",
			Allow:          []string{"127.0.0.0/8", "::1/128"},
			Deny:           []string{},
			Keys:           []string{},
			Hosts:          []string{},
			AllowOrigins:   []string{},
			TrustedProxies: []string{},
			TLS:            defaultTLS(),
		},
		Limits: Limits{
			RequestLine:    8 << 10,
			Header:         16 << 10,
			HeaderFields:   100,
			Body:           1 << 20,
			RequestTimeout: Duration(10 * time.Second),
			IdleTimeout:    Duration(75 * time.Second),
			OutboundBuffer: 256 << 10,
			Keepalive:      Duration(60 * time.Second),
			DrainTimeout:   Duration(8 * time.Second),

			ChannelsPerConnection: 100,
			Commands:              20,
		},
		Engine: Engine{
			Type: "memory",
			Redis: Redis{
				Address:     []string{"127.0.0.1:6379"},
				Prefix:      "icomet:",
				Pool:        2,
				DialTimeout: Duration(500 * time.Millisecond),
				Timeout:     Duration(800 * time.Millisecond),
				NodeTimeout: Duration(5 * time.Second),
			},
		},
	}
}

// Load reads the defaults, then the file at path ("" means no file),
// then the ICOMET_… variables of environ ("NAME=value", as os.Environ gives
// them); each wins over what came before it. The first mistake ends it with a
// *ConfigError. The warnings name ICOMET_… variables that are no keys.
func Load(path string, environ []string) (cfg Config, warnings []string, err error) {
	l := loader{cfg: Default(), places: map[string]place{}}
	l.fields = fieldsOf(&l.cfg)
	if path != "" {
		if err := l.readFile(path); err != nil {
			return Config{}, nil, err
		}
	}
	warnings, err = l.readEnvironment(environ)
	if err != nil {
		return Config{}, nil, err
	}
	if err := l.checkTogether(); err != nil {
		return Config{}, nil, err
	}
	return l.cfg, warnings, nil
}

// NeedsRestart lists the keys that differ between c and next and that a
// running server cannot change, in the order of the file.
func (c *Config) NeedsRestart(next *Config) []string {
	var keys []string
	theirs := fieldsOf(next)
	for i, f := range fieldsOf(c) {
		if f.needsRestart(theirs[i].value) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

func (f *keyField) needsRestart(next reflect.Value) bool {
	switch f.tag.Get("restart") {
	case "yes":
		return !reflect.DeepEqual(f.value.Interface(), next.Interface())
	case "first":
		return (f.value.Len() == 0) != (next.Len() == 0)
	}
	return false
}

// keyField is one key with the place of its value in a Config.
type keyField struct {
	key   string // dotted: "front.listen"
	value reflect.Value
	tag   reflect.StructTag
}

// variable is the name of the environment variable that sets the key.
func (f *keyField) variable() string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// fieldsOf lists every key in the order of declaration, which is also the
// order of the shipped file, but for those of the channel classes, since there
// may be any number of them.
func fieldsOf(cfg *Config) []keyField {
	return appendFields(nil, "", reflect.ValueOf(cfg).Elem())
}

func appendFields(fields []keyField, prefix string, v reflect.Value) []keyField {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := prefix + tag.Get("toml")
		if v.Field(i).Kind() == reflect.Struct {
			fields = appendFields(fields, key+".", v.Field(i))
			continue
		}
		if v.Type().Field(i).Type == reflect.TypeFor[[]ChannelClass]() {
			continue
		}
		fields = append(fields, keyField{key: key, value: v.Field(i), tag: tag})
	}
	return fields
}
