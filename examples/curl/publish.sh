#!/bin/sh
# Publishes a text.
#
#     sh publish.sh CHANNEL TEXT
#
# ADMIN is the server's admin port. With admin.keys add:
#     --header "Authorization: Bearer $KEY"
set -u
if [ $# -ne 2 ]; then
	echo 'usage: sh publish.sh CHANNEL TEXT' >&2
	exit 2
fi
answer=$(curl -sS --fail-with-body --max-time 10 "${ADMIN:-http://127.0.0.1:8000}/push" \
	--data-urlencode "cname=$1" --data-urlencode "content=$2")
status=$?
if [ $status -eq 0 ] && [ "$answer" = '{"type":"ok"}' ]; then
	echo ok
	exit 0
fi
printf 'not published: %s\n' "$answer" >&2
exit 1
