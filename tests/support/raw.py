"""A WebSocket connection down to its bytes, for saying what no well-behaved client would."""

import base64
import json
import os
import select
import socket
import struct
from urllib.parse import urlencode

PATIENCE = 20
TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0
MASK = b"\x11\x22\x33\x44"


class Raw:
    """A TCP connection to the server, with as much HTTP and WebSocket as attacks need."""

    def __init__(self, server, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @classmethod
    def joined(cls, server, room, receive_buffer=None, **query):
        """An upgraded connection that has joined a room; everything up to the ack is read."""
        raw = cls(server, receive_buffer)
        raw.upgrade(**query)
        raw.send_json({"type": "join", "room": room, "id": "j", "data": {"presence": False}})
        raw.message(lambda message: message.get("id") == "j")
        return raw

    def send(self, data):
        """Sends all of it; true unless the other side has ended the connection."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def request(self, line, *headers, body=b""):
        """Sends one HTTP/1.1 request and returns (status, headers, body); (None, {}, b"") if there is no answer."""
        head = "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *headers]) + "\r\n\r\n"
        self.send(head.encode("latin-1") + body)
        return self.response()

    def upgrade(self, path="/ws", extra=(), expect=101, **query):
        """The opening handshake; `extra` are more header lines."""
        target = path + ("?" + urlencode(query) if query else "")
        status, headers, _ = self.request(f"GET {target}", *upgrade_headers(), *extra)
        assert status == expect, (status, headers)
        return headers

    def response(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return None, {}, b""
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        if int(status.split()[1]) != 101:
            length = int(headers.get("content-length", 0))
            while len(self.buffer) < length and self.fill():
                pass
            body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(status.split()[1]), headers, body

    def fill(self):
        """Reads some more; false at the end of the connection."""
        try:
            more = self.socket.recv(65536)
        except ConnectionResetError:
            more = b""
        self.buffer += more
        return bool(more)

    def ended(self):
        """Waits for the end of the TCP connection; returns what came before it."""
        while self.fill():
            pass
        return self.buffer

    def send_json(self, message):
        self.send(frame(TEXT, json.dumps(message).encode()))

    def next_frame(self):
        """(opcode, payload, compressed) of the next frame; None at the end of the connection."""
        while (size := frame_size(self.buffer)) is None or len(self.buffer) < sum(size):
            if not self.fill():
                return None
        header, length = size
        first, payload = self.buffer[0], self.buffer[header : header + length]
        self.buffer = self.buffer[header + length :]
        return first & 0x0F, payload, bool(first & 0x40)

    def message(self, fits):
        """The next text message that fits, as JSON; others are passed over."""
        while found := self.next_frame():
            if found[0] == CLOSE:
                raise AssertionError(f"closed {close_of(found[1])}")
            if found[0] == TEXT and fits(message := json.loads(found[1])):
                return message
        raise AssertionError("the connection ended without a Close frame")

    def next_close(self):
        """The code of the Close frame, which isn't answered; what comes before it is passed over."""
        while found := self.next_frame():
            if found[0] == CLOSE:
                return close_of(found[1])[0]
        raise AssertionError("the connection ended without a Close frame")

    def is_reset(self, within_ms):
        """Whether the other side hangs up on what is written."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(within_ms))

    def closed(self):
        """Waits for the Close frame, passing over all else, then for the end: (code, reason)."""
        while found := self.next_frame():
            if found[0] == CLOSE:
                self.send(frame(CLOSE, found[1][:2]))
                self.ended()
                return close_of(found[1])
        raise AssertionError("the connection ended without a Close frame")

    def lives(self):
        """Whether the connection still answers."""
        self.send_json({"type": "ping", "id": "alive?"})
        return self.message(lambda message: message.get("id") == "alive?")["data"]["status"] == "pong"


def upgrade_headers(version="13", key=None):
    key = base64.b64encode(os.urandom(16)).decode() if key is None else key
    lines = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Version: {version}"]
    return [*lines, f"Sec-WebSocket-Key: {key}"] if key else lines


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None):
    """One frame; `length` declares another length than the payload's."""
    declared = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if declared < 126:
        head = struct.pack("!BB", first, mask_bit | declared)
    elif declared < 65536:
        head = struct.pack("!BBH", first, mask_bit | 126, declared)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, declared)
    return head + MASK + masked_bytes(payload) if masked else head + payload


def masked_bytes(payload):
    mask = int.from_bytes((MASK * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ mask).to_bytes(len(payload), "big")


def frame_size(buffer):
    """(header bytes, payload bytes) of the server's frame at the start of the buffer, or None if unknown yet."""
    if len(buffer) < 2:
        return None
    short = buffer[1] & 0x7F
    if short < 126:
        return 2, short
    width = 2 if short == 126 else 8
    if len(buffer) < 2 + width:
        return None
    return 2 + width, int.from_bytes(buffer[2 : 2 + width], "big")


def close_of(payload):
    return (int.from_bytes(payload[:2], "big") if payload else 1005), payload[2:].decode()
