"""Does what its input says with Debian's python3-websockets.

websockets_test.go says what the input and the output are.
"""
import asyncio
import hashlib
import json
import sys

import websockets


def tell(*words):
    print(*words, flush=True)


async def read(socket):
    try:
        async for text in socket:
            data = text.encode()
            if len(data) > 1000:
                tell("large", len(data), hashlib.sha1(data).hexdigest())
            else:
                tell("message", text)
    except websockets.ConnectionClosedError:
        pass
    tell("closed", socket.close_code, socket.close_reason)


async def connect(url, options):
    try:
        socket = await websockets.connect(
            url,
            subprotocols=options.get("protocols"),
            origin=options.get("origin"),
            compression="deflate" if options.get("compress") else None,
            max_size=None,
            max_queue=None,
            ping_interval=None,
        )
    except websockets.InvalidStatusCode as e:
        tell("refused", e.status_code)
        return None, None
    tell("open", socket.subprotocol or "-", ",".join(e.name for e in socket.extensions) or "-")
    return socket, asyncio.create_task(read(socket))


async def do(socket, what, value):
    if what == "send":
        await socket.send(value)
    elif what == "binary":
        await socket.send(value.encode())
    elif what == "ping":
        await (await socket.ping(value))
        tell("pong", value)
    elif what == "close":
        await socket.close(value)


async def main():
    loop = asyncio.get_running_loop()
    socket = reader = None  # the reader is kept, because asyncio does not
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what, *values = json.loads(line)
        if what == "open":
            socket, reader = await connect(*values)
            continue
        try:
            await do(socket, what, values[0])
        except websockets.ConnectionClosed as e:
            print(what, e, file=sys.stderr)
    if reader:
        reader.cancel()


asyncio.run(main())
