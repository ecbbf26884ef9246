#!/bin/sh
# Follows a channel, and comes back from where it stopped.
#
#     sh subscribe.sh CHANNEL [SEQ]
#
# FRONT is the server's front port. It needs curl and jq.
set -u
front=${FRONT:-http://127.0.0.1:8100}
channel=$1
seq=${2:-0}
state=$(mktemp)
trap 'rm -f "$state"' EXIT
trap 'exit 0' INT TERM
echo "$seq" >"$state"

while :; do
	# --speed-time: nothing for 40 s, not even a heartbeat (every 30 s by default).
	curl -sSN --get --speed-limit 1 --speed-time 40 "$front/stream" \
		--data-urlencode "cname=$channel" --data "seq=$(cat "$state")" |
		while IFS= read -r line; do
			case $(printf '%s' "$line" | jq -r .type) in
			data | broadcast)
				printf '%s' "$line" | jq -r .content
				printf '%s' "$line" | jq '.seq + 1' >"$state"
				;;
			next_seq) # a lower one than asked for: the channel began anew
				next=$(printf '%s' "$line" | jq .seq)
				if [ "$next" -lt "$(cat "$state")" ]; then echo 1 >"$state" && break; fi
				echo "$next" >"$state"
				;;
			close) echo close >"$state" ;;
			esac
		done
	[ "$(cat "$state")" = close ] && exit 0
	sleep 1
done
