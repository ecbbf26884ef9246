#!/bin/sh
# Follows a channel by long polling, and continues after each failure. (To look at a
# channel by hand, `curl -N "$FRONT/stream?cname=CHANNEL"` is enough.)
#
#     sh subscribe.sh CHANNEL [POSITION or SEQ]
#
# POSITION, EPOCH-SEQ, is that of the last message you had: Ctrl-C tells it. FRONT is the
# server's front port. It needs curl and jq.
set -u
front=${FRONT:-http://127.0.0.1:8100}
front=${front%/}
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo 'usage: sh subscribe.sh CHANNEL [POSITION or SEQ]' >&2
	exit 2
fi
channel=$1
epoch=
seq=${2:-0}
case $seq in
????????-*)
	epoch=${seq%%-*}
	seq=${seq#*-}
	;;
esac
refuse() {
	echo "$2: want a position, EPOCH-SEQ, or a whole number" >&2
	exit 2
}
case $seq in '' | *[!0-9]*) refuse "$@" ;; esac
case $epoch in *[!0-9a-f]*) refuse "$@" ;; esac
[ -z "$epoch" ] || seq=$((seq + 1))

# An answer is one message or a list; this makes it always a list. What is neither, or was
# cut, is an error.
list='(if type == "array" then . else [.] end) |
	if length == 0 then error("nothing") else . end | map(
	if (.type | type) == "string" and (.seq | type) == "number" and (.content | type) == "string" and
		(.type != "position" or (.epoch | tostring | test("^[0-9a-f]{8}$")) and (.lost | type) == "number")
	then . else error("not a message") end)'

# The seq and epoch of the next request. A server before 0.2 tells no position, but a
# next_seq; one that is lower than requested means a new channel.
next='reduce .[] as $m ({seq: $seq, epoch: $epoch};
	if $m.type == "data" or $m.type == "broadcast" then .seq = $m.seq + 1
	elif $m.type == "position" then {seq: $m.seq, epoch: $m.epoch}
	elif $m.type != "next_seq" then .
	elif $m.seq < .seq then {seq: 1, epoch: ""}
	else .seq = $m.seq end) | "\(.seq) \(.epoch)"'

# What is missing, in words.
missing='.[] | if .type == "position" and (.recovered | not) then
		(if .lost < 0 then "messages may be missing, and nobody can know how many"
		else "\(.lost) messages are missing" end) + ": \(.reason)"
	elif .type == "next_seq" and .seq < $seq then
		"messages may be missing, and nobody can know how many: the channel began anew"
	else empty end'

# Behind an epoch stands the number of the last message.
stop() {
	[ -z "$epoch" ] || echo "to go on after the last message: $epoch-$((seq - 1))" >&2
	exit 130
}
trap stop INT

failures=0
# again tells why, and waits: longer after each failure, and not as long as others do.
again() {
	failures=$((failures + 1))
	wait=$(awk -v n="$failures" -v least="${2:-0}" 'BEGIN {
		srand(); most = n > 5 ? 30 : 2 ^ (n - 1); w = most * (0.5 + rand() / 2)
		print (w > least ? w : least) }')
	printf '%s; again in %s s\n' "$1" "$wait" >&2
	sleep "$wait"
}

silence=
while :; do
	# A heartbeat comes after the period that /ping tells. Until it has told, it is taken
	# for 30 s; if it does not answer, the request that follows says why.
	if [ -z "$silence" ] && period=$(curl -s --fail --max-time 5 "$front/ping?cb=" | jq -e '.sub_timeout | floor' 2>/dev/null); then
		silence=$((period * 13 / 10 + 2))
	fi
	# Given up when nothing comes for so long, however long an answer takes that comes.
	answer=$(curl -sS --connect-timeout 10 --speed-limit 1 --speed-time "${silence:-41}" \
		--write-out '\n%{http_code}' --get "$front/sub" \
		--data-urlencode "cname=$channel" --data "seq=$seq" --data "epoch=$epoch")
	failed=$?
	status=${answer##*
}
	answer=${answer%?"$status"}
	case $failed:$status in
	0:200) ;;
	0:204) exit 0 ;; # there is nothing more to come
	0:408 | 0:425 | 0:429)
		again "HTTP $status"
		continue
		;;
	0:4*)
		printf 'HTTP %s: %s\n' "$status" "$answer" >&2
		exit 1
		;;
	*)
		again "HTTP $status"
		continue
		;;
	esac
	if ! answer=$(printf '%s' "$answer" | jq -ces "if length == 1 then .[0] else error(\"not one answer\") end | $list"); then
		again 'not an answer'
		continue
	fi
	printf '%s' "$answer" | jq -r --argjson seq "$seq" "$missing" >&2
	printf '%s' "$answer" | jq -r '.[] | select(.type == "data" or .type == "broadcast").content' ||
		exit 1 # the reader of the output has gone
	case $(printf '%s' "$answer" | jq -r '.[-1].type') in
	end | close) exit 0 ;;
	401)
		printf '%s' "$answer" | jq -r '.[-1].content' >&2
		exit 1
		;;
	429)
		again "$(printf '%s' "$answer" | jq -r '.[-1].content')" 15
		continue
		;;
	esac
	before=$seq-$epoch
	seq=$(printf '%s' "$answer" | jq -r --argjson seq "$seq" --arg epoch "$epoch" "$next")
	epoch=${seq#* }
	seq=${seq% *}
	failures=0
	# After a heartbeat. It would be a loop if a cache answered.
	[ "$seq-$epoch" = "$before" ] && sleep 1
done
