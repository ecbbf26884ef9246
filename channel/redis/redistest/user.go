package redistest

// User returns the options for a server with the user push, whose password is of-push. It
// has the rights that channel/redis/DESIGN.md lists, for keys with this prefix.
func User(prefix string) []string {
	return []string{
		"--user", "push", "on", ">of-push", "~" + prefix + "*", "&" + prefix + "*",
		"+@read", "+@write", "+@connection", "+@pubsub", "+@scripting", "-@dangerous", "+info", "+time",
		"+cluster|slots", "+cluster|shards", "+cluster|keyslot",
	}
}
