#!/usr/bin/env python3
"""Follows a channel, with the standard library only.

    python3 subscribe.py CHANNEL [POSITION or SEQ] [http://host:port of the front port]

POSITION, EPOCH-SEQ, is that of the last message you had: Ctrl-C tells it.
"""

import json
import os
import random
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

LONGEST_WAIT = 30  # seconds
UNKNOWN_SILENCE = 40  # seconds, until the server has told its heartbeat period
BUSY_WAIT = 15  # seconds, after "too many channels or subscribers"


class Refused(Exception):
    """The server would refuse the same request again."""


def messages(front, channel, epoch="", seq=0, missing=lambda lost, reason: None):
    """Yields (position, content) of each message from seq on, over any number of
    connections, until the channel ends or is closed. Calls missing when messages are
    missing: how many (-1: nobody can know) and why."""
    check(front)
    failures = 0
    silence = None
    while True:
        least = 0
        told = False  # a server before 0.2 tells no position
        try:
            silence = silence or longest_silence(front)
            query = urllib.parse.urlencode({"cname": channel, "seq": seq, "epoch": epoch})
            # The timeout is for each read: a slow message is no silence.
            with urllib.request.urlopen(f"{front}/stream?{query}", timeout=silence or UNKNOWN_SILENCE) as response:
                if response.status == 204:
                    return  # there is nothing more to come
                for line in response:
                    message = parse(line)
                    kind, number, content = message["type"], message["seq"], message["content"]
                    if kind == "429":
                        least = BUSY_WAIT
                        raise OSError(content)
                    failures = 0
                    if kind == "position":
                        epoch, seq, told = message["epoch"], number, True
                        if not message.get("recovered"):
                            missing(message["lost"], message.get("reason"))
                    elif kind in ("data", "broadcast"):
                        epoch, seq = epoch if told else "", number + 1
                        yield f"{epoch}-{number}" if epoch else "", content
                    elif kind == "next_seq":
                        if number < seq:  # the channel is a new one
                            epoch, seq = "", 1
                            missing(-1, "the channel began anew")
                            break
                        seq = number
                    elif kind in ("end", "close"):
                        return
                    elif kind == "401":
                        raise Refused(content)
                else:
                    raise OSError("the server ended the response")
        except urllib.error.HTTPError as error:
            if 400 <= error.code < 500 and error.code not in (408, 425, 429):
                raise Refused(f"HTTP {error.code}: {sentence(error)}") from None
            failure = error
        except Refused:
            raise
        except Exception as error:  # whatever a broken connection or answer leads to
            failure = error
        else:
            continue
        failures += 1
        wait = max(least, random.uniform(0.5, 1) * min(LONGEST_WAIT, 2 ** min(failures - 1, 10)))
        print(f"{str(failure) or type(failure).__name__}; again in {wait:.1f} s", file=sys.stderr)
        time.sleep(wait)


def check(front):
    """Refuses what no request can be made to."""
    try:
        parts = urllib.parse.urlsplit(front)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    except ValueError:  # the port is no number
        pass
    raise Refused(f"{front}: want http://host:port")


def longest_silence(front):
    """The time after which a connection that brings nothing is dead, in seconds; None if
    the server does not tell."""
    try:
        with urllib.request.urlopen(f"{front}/ping?cb=", timeout=10) as response:
            period = int(json.loads(response.readline(1000))["sub_timeout"])  # of the heartbeats
        return max(1.3 * period, period + 1.5)
    except Exception:  # the connection that follows will tell why
        return None


def parse(line):
    """A message that has what all messages have."""
    message = json.loads(line)
    if isinstance(message, dict):
        kind, number, content = message.get("type"), message.get("seq"), message.get("content")
        known = kind != "position" or re.fullmatch("[0-9a-f]{8}", str(message.get("epoch"))) and isinstance(message.get("lost"), int)
        if isinstance(kind, str) and isinstance(number, int) and isinstance(content, str) and known:
            return message
    raise ValueError(f"not a message: {line[:80]}")


def sentence(error):
    """What the server says in an error answer."""
    try:
        return error.read(4096).decode(errors="replace").strip()
    except Exception:  # it has been cut
        return error.reason


def beginning(text):
    """The epoch and seq of the first message wanted."""
    position = re.fullmatch("([0-9a-f]{8})-([0-9]+)", text)
    return (position[1], int(position[2]) + 1) if position else ("", int(text))


def tell(lost, reason):
    lost = f"{lost} messages are missing" if lost >= 0 else "messages may be missing, and nobody can know how many"
    print(f"{lost}: {reason}", file=sys.stderr, flush=True)


def main():
    usage = "usage: python3 subscribe.py CHANNEL [POSITION or SEQ] [URL]"
    if not 2 <= len(sys.argv) <= 4 or not sys.argv[1]:
        sys.exit(usage)
    try:
        epoch, first = beginning(sys.argv[2]) if len(sys.argv) > 2 else ("", 0)
    except ValueError:
        sys.exit(f"{sys.argv[2]}: want a position, EPOCH-SEQ, or a whole number\n{usage}")
    address = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8100"
    # What the terminal cannot show is shown as an escape.
    sys.stdout.reconfigure(errors="backslashreplace")
    position = ""
    try:
        for at, content in messages(address.rstrip("/"), sys.argv[1], epoch, first, tell):
            print(content, flush=True)
            position = at
    except Refused as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        if position:
            print(f"to go on after the last message: {position}", file=sys.stderr)
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
