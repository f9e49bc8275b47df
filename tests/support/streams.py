"""Rooms as Server-Sent Events and by long polling, read with PyPI's `httpx` and `httpx-sse`."""

import asyncio

import httpx
from httpx_sse import EventSource

from support.clients import PATIENCE, Client, Closed


class EventsPeer:
    """The answer of `/events` behind the face that `Client` reads: each event's data is a message."""

    @classmethod
    async def open(cls, url, headers=None):
        peer = cls()
        peer.http = httpx.AsyncClient(timeout=None, trust_env=False)
        request = peer.http.build_request("GET", url, headers={"accept": "text/event-stream"} | (headers or {}))
        peer.response = await peer.http.send(request, stream=True)
        peer.blocks = []
        if peer.response.status_code == 200:
            peer.events = EventSource(peer.response).aiter_sse()
        return peer

    async def receive(self):
        try:
            block = await anext(self.events)
        except StopAsyncIteration:
            raise Closed(1000) from None
        except httpx.HTTPError as error:
            raise Closed(1006, repr(error)) from None
        self.blocks.append(block)
        return block.data

    async def release(self):
        await self.response.aclose()
        await self.http.aclose()


class Events(Client):
    """A stream that is open; `seen` is everything it has told, in order."""

    @classmethod
    async def open(cls, server, path, headers=None, **query):
        url = str(httpx.URL(server.http + path, params=query)) if query else server.http + path
        peer = await asyncio.wait_for(EventsPeer.open(url, headers), PATIENCE)
        assert peer.response.status_code == 200, await peer.response.aread()
        stream = cls(peer)
        stream.welcome = (await stream.take({"type": "system", "data": {"event": "welcome"}}))["data"]
        return stream

    @property
    def position(self):
        """What an `EventSource` would send as `Last-Event-ID`."""
        return self.peer.blocks[-1].id

    def position_after(self, fits):
        """The id that stood when a message that fits came."""
        return next(block.id for block in self.peer.blocks if fits(block.json()))

    def names(self):
        """The events' names, in order."""
        return [block.event for block in self.peer.blocks]

    async def close(self):
        """Goes away, as the end of a tab does."""
        self._pump.cancel()
        await self.peer.release()

    cut = close


class Browser:
    """What asks by plain requests: polls and publishes."""

    def __init__(self, server, **query):
        self.server, self.query = server, query
        self.http = httpx.AsyncClient(base_url=server.http, timeout=PATIENCE * 2, trust_env=False)

    async def get(self, path, headers=None, **query):
        return await self.http.get(path, params=self.query | query, headers=headers)

    async def poll(self, room, **query):
        """The answer of a poll, which must be 200."""
        path = f"/poll/{room}" if isinstance(room, str) else "/poll"
        params = list((self.query | query).items())
        params += [] if isinstance(room, str) else [("room", name) for name in room]
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def publish(self, room, type="text", **data):
        answer = await self.http.post(
            f"/rooms/{room}/messages", params=self.query, json={"type": type, "data": data}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def readers(self):
        """How many sockets, streams and parked polls the server has."""
        lines = (await self.http.get("/metrics")).text.splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("roomcast_connections "))

    async def call(self, method, path, body=None, headers=None):
        return await self.http.request(method, path, params=self.query, json=body, headers=headers)

    async def close(self):
        await self.http.aclose()


async def raw_blocks(server, path, count, headers=None):
    """The first blocks of a stream as they are on the wire, each a list of lines."""
    blocks, lines = [], []
    async with (
        httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http,
        http.stream("GET", server.http + path, headers=headers) as response,
    ):
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line:
                lines.append(line)
                continue
            blocks.append(lines)
            lines = []
            if len(blocks) == count:
                break
    return blocks
