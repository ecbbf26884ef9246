#!/usr/bin/env python3
"""Publishes a text, with the standard library only.

    python3 publish.py CHANNEL TEXT [http://host:port of the admin port]
"""

import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request


class Unpublished(Exception):
    """The server has refused the message, or did not say that it has it."""


def publish(admin, channel, content, key=None):
    """Returns when the message is stored and queued to every subscriber."""
    form = urllib.parse.urlencode({"cname": channel, "content": content}, errors="surrogateescape").encode()
    try:
        request = urllib.request.Request(f"{admin}/push", form)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise Unpublished(f"{error.code}: {sentence(error)}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unpublished(f"{admin} does not answer as it should: {error or type(error).__name__}") from None
    if not isinstance(answer, dict) or answer.get("type") != "ok":
        raise Unpublished(f"{admin} answered {answer!r:.80}")


def sentence(error):
    """What the server says in an error answer."""
    try:
        return error.read(4096).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):  # it has been cut
        return error.reason


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python3 publish.py CHANNEL TEXT [URL]")
    address = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8000"
    try:
        publish(address.rstrip("/"), sys.argv[1], sys.argv[2])
        print("ok")
    except Unpublished as error:
        sys.exit(str(error))
