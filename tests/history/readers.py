"""Readers of one room, one for each transport, that cut their own connections at random and resume where they were.

Each records what it was told and got; where it stands is what it was told, never a guess.
"""

import json
import random

import aiohttp
from websockets.exceptions import WebSocketException

from support.clients import Client, Closed, new_session
from support.server import TLS
from support.webtransport import WebTransport

DONE_SECONDS = 90
LIFETIME_MESSAGES = (1, 80)
# A server that was killed says nothing over UDP.
IDLE_SECONDS = 2.0
LOST = (Closed, WebSocketException, aiohttp.ClientError, OSError, EOFError, TimeoutError)


class Reader:
    """What readers have in common; `connected` reads about `lifetime` messages over one connection."""

    def __init__(self, whole, name):
        self.whole, self.name = whole, name
        self.random = random.Random(f"{whole.seed} {name}")
        self.epoch, self.seq = None, None
        self.session = new_session()

    async def run(self):
        while True:
            try:
                await self.connected(self.random.randint(*LIFETIME_MESSAGES))
            except LOST:
                pass  # cut from the other side

    @property
    def position(self):
        return {"epoch": self.epoch, "seq": self.seq} if self.epoch is not None else None

    @property
    def position_text(self):
        return f"{self.epoch}.{self.seq}"

    async def joined(self, told, recovered):
        since = {"since": self.position} if self.position else {}
        where = {key: told[key] for key in ("epoch", "seq", "from")}
        self.whole.record("join", self.name, **where, recovered=recovered, **since)
        if not since:
            await self.move(told["epoch"], told["from"])

    async def reset(self, head):
        self.whole.record("reset", self.name, epoch=head["epoch"], seq=head["seq"])
        await self.move(head["epoch"], head["seq"])

    async def received(self, message):
        said = {"id": message["id"], "content": message["data"]["content"]}
        said |= {"prev": message["prev"]} if "prev" in message else {}
        self.whole.record("recv", self.name, **said, epoch=self.epoch, seq=message["seq"])
        await self.move(self.epoch, message["seq"])

    async def move(self, epoch, seq):
        async with self.whole.moved:
            self.epoch, self.seq = epoch, seq
            self.whole.moved.notify_all()

    async def reached(self, head):
        async with self.whole.moved:
            await self.whole.moved.wait_for(lambda: (self.epoch, self.seq) == head)


class SocketReader(Reader):
    """Over WebSocket, with a join message."""

    async def connect(self):
        return await self.whole.connect(session=self.session)

    async def connected(self, lifetime):
        client = await self.connect()
        try:
            since = {"since": self.position} if self.position else {}
            ack = await client.join(self.whole.room, **since)
            await self.joined(ack, ack["recovered"])
            for _ in range(lifetime):
                await self.take(await client.take(of_interest, patience=DONE_SECONDS))
        finally:
            await client.cut()

    async def take(self, message):
        await (self.reset(message["data"]) if message["type"] == "system" else self.received(message))


class SessionReader(SocketReader):
    """Over WebTransport, with the same join message."""

    async def connect(self):
        server = await self.whole.server()
        url = f"https://127.0.0.1:{server.port}/wt?session={self.session}"
        trusted = TLS["tls_certificate"] if server.secure else None
        client = Client(await WebTransport.open(url, trusted, idle_timeout=IDLE_SECONDS))
        client.welcome = (await client.take({"type": "system"}))["data"]
        return client


class EventsReader(Reader):
    """Over Server-Sent Events, with `Last-Event-ID` as a browser sends it."""

    last_event_id = None

    async def connected(self, lifetime):
        server = await self.whole.server()
        url = f"{server.http}/events/{self.whole.room}"
        headers = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        async with (
            aiohttp.ClientSession() as http,
            http.get(
                url, params={"session": self.session}, headers=headers, ssl=server.context or True
            ) as response,
        ):
            assert response.status == 200, await response.text()
            async for block in blocks(response.content):
                lifetime -= await self.take(block)
                if lifetime <= 0:
                    return

    async def take(self, block):
        """Takes a block; tells how many messages it was."""
        message = json.loads(block["data"])
        event = message["data"].get("event") if message["type"] == "system" else None
        if event == "welcome":
            told = message["data"]["rooms"][self.whole.room]
            await self.joined(told, {"epoch": told["epoch"], "seq": told["from"]} == self.position)
        elif event == "reset":
            await self.reset(message["data"])
        elif "seq" in message:
            await self.received(message)
        self.last_event_id = block.get("id", self.last_event_id)
        return int(of_interest(message))


async def blocks(lines):
    """The events of a stream, each as its fields."""
    block = {}
    async for line in lines:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name:
            block[name] = value
        elif "data" in block:
            yield block
            block = {}
    raise EOFError


class PollReader(Reader):
    """By long polling: each poll is one read at a position."""

    async def connected(self, lifetime):
        server = await self.whole.server()
        async with aiohttp.ClientSession() as http:
            while lifetime > 0:
                lifetime -= await self.poll(http, server)

    async def poll(self, http, server):
        """Polls once; tells how many messages came."""
        query = {"session": self.session} | ({"since": self.position_text} if self.position else {})
        url = f"{server.http}/poll/{self.whole.room}"
        async with http.get(url, params=query, ssl=server.context or True) as response:
            assert response.status == 200, await response.text()
            answer = await response.json()
        await self.joined(answer["rooms"][self.whole.room], bool(self.position) and answer["recovered"])
        for reset in answer["resets"]:
            await self.reset(reset)
        for message in answer["messages"]:
            if "seq" in message:
                await self.received(message)
        assert self.position_text in answer["position"], (self.position, answer)
        return len(answer["messages"])


READERS = {
    "socket": SocketReader,
    "events": EventsReader,
    "poll": PollReader,
    "webtransport": SessionReader,
}


def of_interest(message):
    """Whether it moves a reader."""
    return "seq" in message or (message["type"] == "system" and message["data"]["event"] == "reset")
