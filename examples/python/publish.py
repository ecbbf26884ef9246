#!/usr/bin/env python3
"""Publishes a text, with the standard library only.

    python3 publish.py CHANNEL TEXT [http://host:port of the admin port]
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request


def publish(admin, channel, content, key=None):
    """Returns when the message is stored and queued to every subscriber."""
    form = urllib.parse.urlencode({"cname": channel, "content": content}).encode()
    request = urllib.request.Request(f"{admin}/push", form)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


if __name__ == "__main__":
    address = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8000"
    try:
        print(json.dumps(publish(address, sys.argv[1], sys.argv[2])))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode().strip()}")
