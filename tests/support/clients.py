"""Two third-party WebSocket clients behind one face, and a `Client` that speaks envelopes over either."""

import asyncio
import base64
import contextlib
import itertools
import json
import secrets
from socket import SHUT_RDWR
from urllib.parse import urlencode

import aiohttp
import pytest
import websockets

# Upper bounds for failures; nothing is ever waited for on purpose.
PATIENCE = 20
OPEN_SECONDS = 20
# Characters of a message that are shown where a test fails.
SHOWN = 400


class Closed(Exception):
    """The connection has ended with this code and reason."""

    def __init__(self, code, reason="", context=""):
        super().__init__(f"closed {code} {reason!r} {context}")
        self.code, self.reason = code, reason


class Websockets:
    """PyPI's `websockets`."""

    @classmethod
    async def open(cls, url, headers, deflate, protocols, context=None):
        peer = cls()
        peer.socket = await websockets.connect(
            url,
            ssl=context,
            additional_headers=headers,
            compression="deflate" if deflate else None,
            subprotocols=protocols or None,
            open_timeout=OPEN_SECONDS,
            close_timeout=PATIENCE,
            ping_interval=None,
            max_size=None,
            proxy=None,
        )
        peer.protocol = peer.socket.subprotocol
        return peer

    async def send(self, payload):
        try:
            await self.socket.send(payload)
        except websockets.ConnectionClosed as closed:
            raise self._told(closed) from None

    async def receive(self):
        try:
            return await self.socket.recv()
        except websockets.ConnectionClosed as closed:
            raise self._told(closed) from None

    @staticmethod
    def _told(closed):
        frame = closed.rcvd
        return Closed(frame.code, frame.reason) if frame else Closed(1006)

    async def close(self, code=1000):
        await self.socket.close(code)

    def cut(self):
        shut(self.socket.transport.get_extra_info("socket"))

    async def release(self):
        if not self.socket.transport.is_closing():
            self.socket.transport.abort()


class Aiohttp:
    """PyPI's `aiohttp`."""

    @classmethod
    async def open(cls, url, headers, deflate, protocols, context=None):
        peer = cls()
        peer.session = aiohttp.ClientSession()
        peer.socket = await peer.session.ws_connect(
            url,
            ssl=context or True,
            headers=headers,
            compress=15 if deflate else 0,
            protocols=protocols,
            max_msg_size=0,
        )
        peer.protocol = peer.socket.protocol
        return peer

    async def send(self, payload):
        try:
            await (
                self.socket.send_str(payload) if isinstance(payload, str) else self.socket.send_bytes(payload)
            )
        except aiohttp.ClientConnectionResetError:
            raise Closed(self.socket.close_code or 1006) from None

    async def receive(self):
        message = await self.socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return message.data
        if message.type is aiohttp.WSMsgType.CLOSE:
            raise Closed(message.data, message.extra or "")
        raise Closed(self.socket.close_code or 1006)

    async def close(self, code=1000):
        await self.socket.close(code=code)

    def cut(self):
        shut(self.socket.get_extra_info("socket"))

    async def release(self):
        await self.session.close()


def shut(socket):
    """Ends both directions of a TCP connection, if it hasn't ended already."""
    with contextlib.suppress(OSError, AttributeError):
        socket.shutdown(SHUT_RDWR)


PEERS = {"websockets": Websockets, "aiohttp": Aiohttp}
both_peers = pytest.mark.parametrize("peer", PEERS)


class Client:
    """A connection that has been read from the start: `seen` is everything that came, in order."""

    def __init__(self, peer):
        self.peer = peer
        self.seen = []
        self.welcome = None
        self.ended = None
        self._taken = set()
        self._news = asyncio.Condition()
        self._ids = map(str, itertools.count(1))
        self._pump = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, server, path="/ws", peer="websockets", headers=None, deflate=True, protocols=(), **query
    ):
        """Connects; every further keyword is a parameter of the URL, such as `user`, `session`, `token`."""
        url = server.ws + path + ("?" + urlencode(query) if query else "")
        opening = PEERS[peer].open(url, headers or {}, deflate, protocols, server.context)
        return cls(await asyncio.wait_for(opening, OPEN_SECONDS))

    @classmethod
    async def welcomed(cls, server, *arguments, **keywords):
        """Connects and waits for `welcome`, the first message of every connection."""
        client = await cls.open(server, *arguments, **keywords)
        client.welcome = (await client.take({"type": "system"}))["data"]
        return client

    @property
    def user(self):
        return self.welcome["user"]

    async def _read(self):
        try:
            while True:
                text = await self.peer.receive()
                assert isinstance(text, str), "roomcast.v1 is text alone"
                await self._add(json.loads(text))
        except Closed as closed:
            self.ended = closed
            async with self._news:
                self._news.notify_all()

    async def _add(self, message):
        async with self._news:
            self.seen.append(message)
            self._news.notify_all()

    async def send_raw(self, payload):
        await self.peer.send(payload)

    async def send(self, type, room=None, data=None, **fields):
        message = {"type": type, "room": room, "data": data, **fields}
        given = {key: value for key, value in message.items() if value is not None}
        await self.send_raw(json.dumps(given, separators=(",", ":")))

    async def request(self, type, room=None, data=None, **fields):
        """Sends with an id and returns the `ack` or `error` that carries it."""
        fields.setdefault("id", f"{next(self._ids)}-{secrets.token_hex(6)}")
        await self.send(type, room, data, **fields)
        return await self.answer(fields["id"])

    async def answer(self, id):
        return await self.take(
            lambda message: message["type"] in ("ack", "error") and message.get("id") == id
        )

    async def join(self, room, **data):
        """Joins and returns the ack's data."""
        ack = await self.request("join", room, data)
        assert ack["type"] == "ack", ack
        return ack["data"]

    async def text(self, room, **data):
        """Publishes a text and returns the ack's data."""
        ack = await self.request("text", room, data)
        assert ack["type"] == "ack", ack
        return ack["data"]

    async def take(self, shape, patience=PATIENCE):
        """The first message not yet taken that matches: a dict holds what must be in it, a function decides."""
        fits = shape if callable(shape) else lambda message: holds(message, shape)
        try:
            return await asyncio.wait_for(self._take(fits), patience)
        except TimeoutError:
            raise AssertionError(
                f"nothing like {shape} within {patience} s; seen: {lately(self.seen)}"
            ) from None

    async def _take(self, fits):
        async with self._news:
            while True:
                for index, message in enumerate(self.seen):
                    if index not in self._taken and fits(message):
                        self._taken.add(index)
                        return message
                if self.ended:
                    raise Closed(
                        self.ended.code, self.ended.reason, f"while waiting; seen: {lately(self.seen)}"
                    )
                await self._news.wait()

    async def until(self, holds_true, patience=PATIENCE):
        """Waits until this is true, and looks again whenever something has come."""
        try:
            async with asyncio.timeout(patience), self._news:
                while not holds_true():
                    if self.ended:
                        raise self.ended
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {patience} s; seen: {lately(self.seen)}") from None

    async def refused(self, type, room=None, data=None):
        """Sends what ends the connection, perhaps while it is still being sent; returns the end."""
        with contextlib.suppress(Closed):
            await self.send(type, room, data)
        return await self.closed()

    async def settled(self):
        """Waits until the server has answered everything sent so far."""
        await self.request("ping")

    async def closed(self, patience=PATIENCE):
        """Waits for the end and returns it."""
        await asyncio.wait_for(self._pump, patience)
        return self.ended

    def all(self, shape):
        """Everything seen so far that matches."""
        return [message for message in self.seen if holds(message, shape)]

    def logged(self, room):
        """The logged messages of a room, in the order they came."""
        return [message for message in self.seen if message.get("room") == room and "seq" in message]

    async def close(self, code=1000):
        """Says good-bye with this code."""
        await self.peer.close(code)
        await self.closed()
        await self.peer.release()

    async def cut(self):
        """Ends the TCP connection without a word, as a lost network does; nothing is left of it."""
        self.peer.cut()
        await self.closed()
        await self.peer.release()

    async def drop(self):
        """Lets go of it, whatever state its library is in."""
        self._pump.cancel()
        await self.peer.release()


def lately(seen):
    """The last messages, each shortened, to be read by people."""
    return [message if len(repr(message)) < SHOWN else f"{repr(message)[:SHOWN]}…" for message in seen[-20:]]


def holds(message, shape):
    """Whether everything in `shape` is in `message`, objects likewise."""
    if isinstance(shape, dict):
        return isinstance(message, dict) and all(
            key in message and holds(message[key], inner) for key, inner in shape.items()
        )
    return message == shape


def new_session():
    """128 random bits, base64url."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
