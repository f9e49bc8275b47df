"""How long a server takes to be ready again after kill -9, and what rooms cost that nobody has used since.

    python3 docs/bench/restart.py target/release/roomcast [--rooms 100000] [--each 10] [--no-ids] [--cold]

Starts `roomcast serve` with the disk engine, publishes to so many rooms, every message with an `id` unless told otherwise, and kills it. Then starts it again on
the same data: tells the time until `/readyz` says so and until one room's history was read. `--cold` has the kernel forget
the files first (root only). Resident memory is compared with that of a server without data. Standard library only, Linux only.
"""

import argparse
import http.client
import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams import CONFIG, Server

BACKEND = {"authorization": "Bearer rk_0123456789abcdef0123456789"}
KEY = """
[[auth.api_keys]]
id = "bench"
key = "rk_0123456789abcdef0123456789"
"""
AT_ONCE = 100
PUBLISHERS = 8


def publish(port, turns, has_ids):
    """To 100 rooms by each request."""
    peer = http.client.HTTPConnection("127.0.0.1", port)
    for first, turn in turns:
        rooms = [f"room-{number}" for number in range(first, first + AT_ONCE)]
        message = {"type": "text", "data": {"content": "x" * 100}}
        if has_ids:
            message["id"] = f"m{turn}"
        peer.request("POST", "/publish", json.dumps({"rooms": rooms, "message": message}), BACKEND)
        answer = peer.getresponse()
        body = answer.read()
        assert answer.status == 200 and b'"code"' not in body, body[:300]


def start_again(server, cold):
    """On the data of a server that was killed. Answers what that took."""
    if cold:
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("3")
    began = time.monotonic()
    server.process = subprocess.Popen(server.process.args, stdout=subprocess.PIPE, text=True)
    server.port = int(re.search(r"127\.0\.0\.1:(\d+)", server.process.stdout.readline())[1])
    peer = http.client.HTTPConnection("127.0.0.1", server.port)

    def status(path):
        peer.request("GET", path, headers=BACKEND)
        answer = peer.getresponse()
        return answer.status, answer.read()

    while status("/readyz")[0] != 200:
        time.sleep(0.005)
    ready = time.monotonic() - began
    resident = server.resident_bytes()
    _, page = status("/rooms/room-0/messages?limit=100")
    return ready, time.monotonic() - began, resident, len(json.loads(page)["messages"])


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("binary")
    options.add_argument("--rooms", type=int, default=100_000)
    options.add_argument("--each", type=int, default=10)
    options.add_argument("--no-ids", action="store_true")
    options.add_argument("--cold", action="store_true")
    options = options.parse_args()
    config = CONFIG.replace("[[rooms]]", KEY + "[[rooms]]", 1)

    empty = Server(options.binary, "disk", config=config)
    nothing = empty.resident_bytes()
    empty.end()

    server = Server(options.binary, "disk", config=config)
    turns = [(first, turn) for turn in range(options.each) for first in range(0, options.rooms, AT_ONCE)]
    began = time.monotonic()
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        list(pool.map(lambda n: publish(server.port, turns[n::PUBLISHERS], not options.no_ids), range(PUBLISHERS)))
    print(f"{options.rooms * options.each} messages in {options.rooms} rooms, published in {time.monotonic() - began:.0f} s")
    server.process.kill()
    server.process.wait()

    ready, read, resident, found = start_again(server, options.cold)
    assert found == options.each, f"{found} of {options.each} messages are there"
    print(f"ready after {ready:.3f} s, a room's history read after {read:.3f} s")
    print(f"resident {resident / 1e6:.1f} MB, of a server without data {nothing / 1e6:.1f} MB: {(resident - nothing) / options.rooms:.0f} B a room")
    data = Path(server.folder.name) / "data"
    print(f"{sum(file.stat().st_size for file in data.iterdir()) / 1e6:.0f} MB on disk")
    server.end()


if __name__ == "__main__":
    main()
