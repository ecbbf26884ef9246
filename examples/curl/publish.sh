#!/bin/sh
# Publishes a text.
#
#     sh publish.sh CHANNEL TEXT
#
# ADMIN is the server's admin port. With admin.keys add:
#     --header "Authorization: Bearer $KEY"
set -eu
curl -sS --fail-with-body "${ADMIN:-http://127.0.0.1:8000}/push" \
	--data-urlencode "cname=$1" --data-urlencode "content=$2"
