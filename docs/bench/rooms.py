"""What rooms that were made and left again leave behind: nothing, once they have been idle for their minute.

    python3 docs/bench/rooms.py target/release/roomcast [--rooms 10000000] [--publish] [--engine disk]

Starts `roomcast serve`, and joins and leaves so many rooms, none of them twice, over one WebSocket; with `--publish` each holds a
message for a second. Tells the server's resident memory before, at its most, and after the last room was forgotten, and its CPU
time. Standard library only, Linux only.
"""

import argparse
import itertools
import json
import re
import socket
import struct
import time
import urllib.request

from streams import CONFIG, Server, request

BATCH = 200
# Rooms are forgotten at once, lest those of a minute fill the memory for messages.
BRIEF = "idle_room_kept_seconds = 1\n"
RIGHTS = 'anonymous = ["*"]\n'
UPGRADE = (
    "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def frame(message):
    """A text frame under a mask of zeros."""
    text = json.dumps(message, separators=(",", ":")).encode()
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack("!H", len(text))
    return b"\x81" + length + bytes(4) + text


def visit(room, publishes):
    """Joins, publishes if asked, leaves; the leave is acked."""
    yield frame({"type": "join", "room": room, "data": {"presence": False}})
    if publishes:
        yield frame({"type": "text", "room": room, "data": {"content": "x"}})
    yield frame({"type": "leave", "room": room})


def read_acks(peer, count):
    """Reads until so many joins and leaves are acked."""
    rest = b""
    while count > 0:
        data = rest + peer.recv(1 << 20)
        assert len(data) > len(rest), "the server hung up"
        count -= data.count(b'"type":"ack"')
        assert b'"type":"error"' not in data, data
        rest = data[-11:]


def gauge(server, name):
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics").read().decode()
    return int(re.search(rf"^roomcast_{name} (\d+)", metrics, re.M)[1])


def settled(read, seconds=10):
    """What `read` tells once it hasn't fallen for so long: an allocator gives memory back in its own time."""
    least, since = read(), time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(1)
        if (now := read()) < least:
            least, since = now, time.monotonic()
    return least


def run(server, asked, prefix):
    peer = server.connect()
    peer.sendall(request("/ws", UPGRADE))
    peer.recv(65536)
    before, most, cpu, start = server.resident_bytes(), 0, server.cpu_seconds(), time.monotonic()
    names = (f"{prefix}{number}" for number in range(asked.rooms))
    while batch := list(itertools.islice(names, BATCH)):
        peer.sendall(b"".join(part for name in batch for part in visit(name, asked.publish)))
        read_acks(peer, 2 * len(batch))
        most = max(most, server.resident_bytes())
    seconds, alive = time.monotonic() - start, gauge(server, "rooms")
    while gauge(server, "rooms") or gauge(server, "memory_bytes"):
        most = max(most, server.resident_bytes())
        time.sleep(1)
    after = settled(server.resident_bytes)
    return {
        "rooms": asked.rooms,
        "seconds": round(seconds, 1),
        "cpu_us_per_room": round((server.cpu_seconds() - cpu) / asked.rooms * 1e6, 2),
        "rooms_at_the_end": alive,
        "resident_mb_before": round(before / 1e6, 1),
        "resident_mb_at_most": round(most / 1e6, 1),
        "resident_mb_after": round(after / 1e6, 1),
    }


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("binary")
    options.add_argument("--rooms", type=int, default=10_000_000)
    options.add_argument("--times", type=int, default=1, help="do all of it so often, in one process: what is left must not grow")
    options.add_argument("--publish", action="store_true", help="a message into each, kept for a second")
    options.add_argument("--engine", default="memory", choices=["memory", "disk"])
    asked = options.parse_args()
    brief = CONFIG.replace(RIGHTS, f"{RIGHTS}[rooms.history]\nage = 1\n").replace("[server]", f"{BRIEF}[server]")
    config = brief if asked.publish else CONFIG
    server = Server(asked.binary, asked.engine, config=config)
    try:
        for number in range(asked.times):
            print(json.dumps(run(server, asked, f"room:{number}:")), flush=True)
    finally:
        server.end()


if __name__ == "__main__":
    main()
