#!/bin/sh
# Follows a channel by long polling, and continues after each failure. (To look at a
# channel by hand, `curl -N "$FRONT/stream?cname=CHANNEL"` is enough.)
#
#     sh subscribe.sh CHANNEL [SEQ]
#
# FRONT is the server's front port. It needs curl and jq.
set -u
front=${FRONT:-http://127.0.0.1:8100}
channel=$1
seq=${2:-0}

# An answer is one message or a list; this makes it always a list.
list='(if type == "array" then . else [.] end)'

while :; do
	# 40 s: a heartbeat comes after 30 s by default.
	answer=$(curl -sS --fail --max-time 40 --get "$front/sub" \
		--data-urlencode "cname=$channel" --data "seq=$seq") || { sleep 1; continue; }
	printf '%s' "$answer" | jq -r "$list"'[] | select(.type == "data" or .type == "broadcast").content'
	case $(printf '%s' "$answer" | jq -r "$list"'[-1].type') in
	close) exit 0 ;;
	401 | 429) printf '%s' "$answer" | jq -r .content >&2 && sleep 5 ;;
	esac
	# A next_seq lower than requested: the channel is a new one.
	seq=$(printf '%s' "$answer" | jq --argjson seq "$seq" "$list"' | reduce .[] as $m ($seq;
		if $m.type == "data" or $m.type == "broadcast" then $m.seq + 1
		elif $m.type != "next_seq" then .
		elif $m.seq < . then 1
		else $m.seq end)')
done
