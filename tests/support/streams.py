"""Rooms as Server-Sent Events and by long polling, read with PyPI's `httpx` and `httpx-sse`."""

import asyncio
import json
from collections import deque

import httpx
from h2.exceptions import ProtocolError
from httpx_sse import EventSource

from support.clients import PATIENCE, Client, Closed


class EventsPeer:
    """The answer of `/events` behind the face that `Client` reads: each event's data is a message."""

    @classmethod
    async def open(cls, url, headers=None, context=False, http2=False):
        peer = cls()
        peer.http = httpx.AsyncClient(timeout=None, trust_env=False, verify=context, http2=http2)
        request = peer.http.build_request(
            "GET", url, headers={"accept": "text/event-stream"} | (headers or {})
        )
        try:
            peer.response = await peer.http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise Closed(1006, "", repr(error)) from None
        peer.blocks = []
        if peer.response.status_code == 200:
            peer.events = EventSource(peer.response).aiter_sse()
        return peer

    async def receive(self):
        try:
            # Once there has been an id, `httpx-sse` takes a comment for an event without data.
            while not (block := await anext(self.events)).data:
                pass
        except StopAsyncIteration:
            raise Closed(1000) from None
        except (httpx.HTTPError, ProtocolError) as error:
            raise Closed(1006, "", repr(error)) from None
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


class PollPeer:
    """One poll after the other behind the face that `Client` reads: resets, rosters and messages, in that order."""

    def __init__(self, url, headers, context=False, http2=False):
        self.url, self.headers = url, headers
        self.position, self.versions, self.waiting = None, {}, deque()
        self.http = httpx.AsyncClient(timeout=None, trust_env=False, verify=context, http2=http2)

    async def receive(self):
        while not self.waiting:
            await self.poll()
        return self.waiting.popleft()

    async def poll(self, **query):
        """Polls once, from where the last answer led to; returns the answer."""
        url = self.url.copy_merge_params(query | ({"since": self.position} if self.position else {}))
        if self.versions:
            known = ",".join(f"{room}={v}" for room, v in self.versions.items())
            url = url.copy_set_param("v", known)
        try:
            response = await self.http.get(url, headers=self.headers())
        except httpx.HTTPError as error:
            raise Refusal(1006, None, repr(error)) from None
        if response.is_error:
            told = response.json() if response.content else {"code": str(response.status_code)}
            raise Refusal(response.status_code, told)
        answer, self.answered_in = response.json(), response.http_version
        self.position = answer["position"]
        self._take(answer)
        return answer

    def _take(self, answer):
        rooms = answer["rooms"]
        for reset in answer["resets"]:
            self._put({"type": "system", "room": reset["room"], "data": {"event": "reset"} | reset})
        rosters = answer.get("presence", {})
        if rosters and len(rooms) == 1:
            rosters = {room: rosters for room in rooms}
        for room, sync in rosters.items():
            self.versions[room] = sync["v"]
            self._put({"type": "presence", "room": room, "data": sync})
        for message in answer["messages"]:
            self._put(message)

    def _put(self, message):
        self.waiting.append(json.dumps(message))

    async def release(self):
        await self.http.aclose()


class Refusal(Closed):
    """A poll that was refused, with its problem details; or lost, without."""

    def __init__(self, status, problem, context=""):
        super().__init__(status, problem["code"] if problem else "", context)
        self.problem = problem


class Browser:
    """What asks by plain requests: polls and publishes."""

    def __init__(self, server, **query):
        self.server, self.query = server, query
        self.http = httpx.AsyncClient(
            base_url=server.http, timeout=PATIENCE * 2, trust_env=False, verify=server.context or True
        )

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
