"""What a reader costs the server by WebSocket, also inside TLS, Server-Sent Events and long poll, in the same run.

    python3 docs/bench/streams.py target/release/roomcast [--readers 1000] [--rate 50] [--seconds 10]

Starts `roomcast serve` in memory, opens readers of one room that take what comes, publishes at a fixed rate over HTTP, and
divides the server's CPU time (/proc, so Linux) by what was delivered. Standard library only; the readers are one
epoll loop and never the subject.
"""

import argparse
import base64
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
engine = "memory"
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
    def __init__(self, binary, tls):
        self.folder = tempfile.TemporaryDirectory()
        config = Path(self.folder.name) / "roomcast.toml"
        config.write_text(CONFIG + (TLS if tls else ""))
        self.tls = ssl.create_default_context(cafile=CERTIFICATE / "certificate.pem") if tls else None
        command = [binary, "serve", "--config", config, "--listen", "127.0.0.1:0"]
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

    def __init__(self, server, transport, count):
        self.transport, self.messages, self.answers = transport, 0, 0
        self.epoll, self.peers, self.unread = select.epoll(), {}, {}
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = f"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
        self.first = {
            "websocket": request("/ws/bench?presence=0", upgrade),
            "websocket-tls": request("/ws/bench?presence=0", upgrade),
            "events": request("/events/bench"),
            "poll": request("/poll/bench"),
        }[transport]
        for _ in range(count):
            peer = server.connect()
            peer.sendall(self.first)
            self.peers[peer.fileno()] = peer
            self.unread[peer.fileno()] = b""
            self.epoll.register(peer.fileno(), select.EPOLLIN)
        self.serve_until(time.monotonic() + 2)

    def serve_until(self, deadline):
        while (left := deadline - time.monotonic()) > 0:
            for number, _ in self.epoll.poll(left):
                data = self.peers[number].recv(65536)
                assert data, "the server hung up"
                while getattr(self.peers[number], "pending", int)():
                    data += self.peers[number].recv(65536)
                self.messages += data.count(b'{"type":"text"')
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


def measure(binary, transport, count, rate, seconds):
    server = Server(binary, tls=transport.endswith("tls"))
    before = server.resident_bytes()
    readers = Readers(server, transport, count)
    idle_bytes = (server.resident_bytes() - before) / count
    publisher = server.connect()
    body = json.dumps({"type": "text", "data": {"content": "x" * 100}})
    post = f"POST /rooms/bench/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    readers.messages = readers.answers = 0
    cpu, start = server.cpu_seconds(), time.monotonic()
    for number in range(int(rate * seconds)):
        publisher.sendall(post)
        readers.serve_until(start + (number + 1) / rate)
        publisher.recv(65536)
    readers.serve_until(time.monotonic() + 1)
    cpu = server.cpu_seconds() - cpu
    readers.close()
    server.end()
    published = int(rate * seconds)
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
    options.add_argument("--runs", type=int, default=3)
    asked = options.parse_args()
    for _ in range(asked.runs):
        for transport in asked.transport or TRANSPORTS:
            rate = min(asked.rate, 20) if transport == "poll" else asked.rate
            print(json.dumps(measure(asked.binary, transport, asked.readers, rate, asked.seconds)), flush=True)


if __name__ == "__main__":
    main()
