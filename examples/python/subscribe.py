#!/usr/bin/env python3
"""Follows a channel, with the standard library only.

    python3 subscribe.py CHANNEL [SEQ] [http://host:port of the front port]
"""

import json
import random
import sys
import time
import urllib.parse
import urllib.request

SILENCE = 40  # seconds; the server's heartbeats come every 30 s by default


class Closed(Exception):
    """The server has closed the channel."""


def messages(front, channel, seq=0):
    """Yields (seq, content) of each message, over any number of connections."""
    failures = 0
    while True:
        query = urllib.parse.urlencode({"cname": channel, "seq": seq})
        try:
            with urllib.request.urlopen(f"{front}/stream?{query}", timeout=SILENCE) as response:
                for line in response:
                    failures = 0
                    message = json.loads(line)
                    if message["type"] in ("data", "broadcast"):
                        seq = message["seq"] + 1
                        yield message["seq"], message["content"]
                    elif message["type"] == "next_seq":
                        if message["seq"] < seq:  # the channel is a new one
                            seq = 1
                            break
                        seq = message["seq"]
                    elif message["type"] == "close":
                        raise Closed(channel)
                    elif message["type"] in ("401", "429"):
                        raise OSError(message["content"])
                else:
                    raise OSError("the server ended the response")
        except (OSError, ValueError) as error:
            failures += 1
            wait = random.uniform(0.5, 1) * min(30, 2 ** (failures - 1))
            print(f"{error}; again in {wait:.1f} s", file=sys.stderr)
            time.sleep(wait)


if __name__ == "__main__":
    channel = sys.argv[1]
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    address = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8100"
    try:
        for _, content in messages(address, channel, first):
            print(content, flush=True)
    except (Closed, KeyboardInterrupt):
        pass
