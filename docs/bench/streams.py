"""What a reader costs the server by WebSocket, also inside TLS, Server-Sent Events and long poll, in the same run.

    python3 docs/bench/streams.py target/release/roomcast [--readers 1000] [--rate 50] [--seconds 10]
    python3 docs/bench/streams.py target/release/roomcast --in-flight 4
    python3 docs/bench/streams.py target/release/roomcast --resume 10000

Starts `roomcast serve` (in memory, or with `--engine disk`), opens readers of one room that take what comes, publishes over HTTP at a fixed rate, or
so many at a time that are on their way, and divides the server's CPU time (/proc, so Linux) by what was delivered.
`--resume` opens so many readers at once, each 100 messages behind, and tells what that took until all had them. Standard
library only; the readers are one epoll loop and never the subject.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import select
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
TRANSPORTS = ["websocket", "websocket-tls", "events", "poll"]
CERTIFICATE = Path(__file__).parents[2] / "tests/support/tls"
CONFIG = """
[auth]
secret = "nobody shows a token here, but serve wants a key"
[[rooms]]
pattern = "*"
anonymous = ["*"]
[limits]
sends_per_second = 0
[server]
"""
TLS = f"""
tls_certificate = "{CERTIFICATE}/certificate.pem"
tls_key = "{CERTIFICATE}/key.pem"
"""


class Server:
    def __init__(self, binary, engine, tls=False, config=CONFIG):
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "roomcast.toml"
        file.write_text(f'engine = "{engine}"\n' + config + (TLS if tls else ""))
        self.tls = ssl.create_default_context(cafile=CERTIFICATE / "certificate.pem") if tls else None
        command = [binary, "serve", "--config", file, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline())[1])

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(peer, server_hostname="127.0.0.1") if self.tls else peer

    def end(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def request(path, more=""):
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{more}\r\n".encode()


class Readers:
    """`count` readers of room `bench` by one transport."""

    def __init__(self, server, transport, count, since=""):
        self.transport, self.messages, self.answers, self.each = transport, 0, 0, {}
        self.epoll, self.peers, self.unread = select.epoll(), {}, {}
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = f"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
        self.first = {
            "websocket": request(f"/ws/bench?presence=0&since={since}", upgrade),
            "websocket-tls": request("/ws/bench?presence=0", upgrade),
            "events": request(f"/events/bench?since={since}"),
            "poll": request("/poll/bench"),
        }[transport]
        for _ in range(count):
            peer = server.connect()
            peer.sendall(self.first)
            self.peers[peer.fileno()] = peer
            self.unread[peer.fileno()] = b""
            self.epoll.register(peer.fileno(), select.EPOLLIN)
        if not since:
            self.serve_until(time.monotonic() + 2)

    def serve_until(self, deadline, messages=None):
        while (left := deadline - time.monotonic()) > 0 and (messages is None or self.messages < messages):
            for number, _ in self.epoll.poll(left):
                data = self.peers[number].recv(65536)
                assert data, "the server hung up"
                while getattr(self.peers[number], "pending", int)():
                    data += self.peers[number].recv(65536)
                found = data.count(b'{"type":"text"')
                self.messages += found
                self.each[number] = self.each.get(number, 0) + found
                if self.transport == "poll":
                    self.ask_again(number, data)

    def ask_again(self, number, data):
        answer = self.unread[number] + data
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1]) if body else 1 << 30
        if len(body) < length:
            self.unread[number] = answer
            return
        self.unread[number] = b""
        self.answers += 1
        position = re.search(rb'"position":"([^"]+)"', body)[1].decode()
        self.peers[number].sendall(request(f"/poll/bench?since={position}&timeout=60"))

    def close(self):
        for peer in self.peers.values():
            peer.close()


def post(count):
    one = {"type": "text", "data": {"content": "x" * 100}}
    body = json.dumps(one if count == 1 else [one] * count)
    return f"POST /rooms/bench/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def at_a_rate(publisher, readers, rate, seconds):
    start = time.monotonic()
    for number in range(int(rate * seconds)):
        publisher.sendall(post(1))
        readers.serve_until(start + (number + 1) / rate)
        publisher.recv(65536)
    readers.serve_until(time.monotonic() + 1)
    return int(rate * seconds)


def in_a_closed_loop(publisher, readers, in_flight, seconds):
    published, count, end = 0, len(readers.peers), time.monotonic() + seconds
    while time.monotonic() < end:
        publisher.sendall(post(1))
        published += 1
        readers.serve_until(end, (published - in_flight + 1) * count)
        publisher.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            publisher.recv(65536)
        publisher.setblocking(True)
    readers.serve_until(time.monotonic() + 5, published * count)
    return published


def resume(server, transport, count, behind=100):
    """CPU seconds from when `count` readers come, each so far behind, until all have everything."""
    publisher = server.connect()
    publisher.sendall(post(behind))
    epoch = re.search(rb'"epoch":"([^"]+)"', publisher.recv(65536))[1].decode()
    cpu, start = server.cpu_seconds(), time.monotonic()
    readers = Readers(server, transport, count, since=f"{epoch}.0")
    readers.serve_until(start + 300, count * behind)
    wall, cpu = time.monotonic() - start, server.cpu_seconds() - cpu
    publisher.sendall(post(1))
    readers.serve_until(time.monotonic() + 60, count * (behind + 1))
    assert set(readers.each.values()) == {behind + 1}, "a message twice, or none"
    readers.close()
    return {"transport": transport, "resumed": count, "cpu_seconds": round(cpu, 2), "seconds": round(wall, 2)}


def measure(server, transport, count, publish, pace, seconds):
    before = server.resident_bytes()
    readers = Readers(server, transport, count)
    idle_bytes = (server.resident_bytes() - before) / count
    publisher = server.connect()
    readers.messages = readers.answers = 0
    cpu = server.cpu_seconds()
    published = publish(publisher, readers, pace, seconds)
    cpu = server.cpu_seconds() - cpu
    readers.close()
    assert readers.messages == published * count, f"{readers.messages} of {published * count} delivered"
    return {
        "transport": transport,
        "cpu_us_per_delivery": round(cpu / readers.messages * 1e6, 2),
        "cpu_us_per_poll": round(cpu / readers.answers * 1e6, 1) if readers.answers else None,
        "idle_bytes_per_reader": round(idle_bytes),
    }


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("binary")
    options.add_argument("--readers", type=int, default=1000)
    options.add_argument("--rate", type=float, default=50)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--transport", action="append", choices=TRANSPORTS)
    options.add_argument("--engine", default="memory", choices=["memory", "disk"])
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--in-flight", type=int, help="a closed loop instead of a rate; not for polls")
    options.add_argument("--resume", type=int, help="measure so many that come back at once; not for polls or TLS")
    asked = options.parse_args()
    transports = asked.transport or TRANSPORTS
    if asked.in_flight or asked.resume:
        transports = [transport for transport in transports if transport in ("websocket", "events")]
    for _ in range(asked.runs):
        for transport in transports:
            server = Server(asked.binary, asked.engine, tls=transport.endswith("tls"))
            print(json.dumps(run(asked, server, transport)), flush=True)
            server.end()


def run(asked, server, transport):
    load = server, transport, asked.readers
    if asked.resume:
        return resume(server, transport, asked.resume)
    if asked.in_flight:
        return measure(*load, in_a_closed_loop, asked.in_flight, asked.seconds)
    rate = min(asked.rate, 20) if transport == "poll" else asked.rate
    return measure(*load, at_a_rate, rate, asked.seconds)


if __name__ == "__main__":
    main()
