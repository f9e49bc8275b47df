"""One face for everybody who takes part in rooms, whatever the transport; `TRANSPORTS` has an adapter for each.

A participant is one person with one session. It keeps the position it has reached, over any number of connections.
What a one-way transport can't say goes by POST. Holds no assertion about the protocol.
"""

import asyncio
import json
import secrets
from urllib.parse import quote, urlencode

import httpx
from websockets import WebSocketException

from support.clients import OPEN_SECONDS, PATIENCE, Client, Closed, Websockets, holds, new_session
from support.http2 import Http2Websocket
from support.server import TLS, trusting
from support.streams import EventsPeer, PollPeer
from support.tokens import mint
from support.webtransport import WebTransport as WebTransportPeer
from support.wire import UdpWire, Wire

RESET = {"type": "system", "data": {"event": "reset"}}


class Refused(Exception):
    """An `error`, problem details, or a close in answer to a request, with its code."""

    def __init__(self, data, closed=None):
        super().__init__(data, closed)
        self.code, self.data, self.closed = data["code"], data, closed
        self.retry_after = data.get("retry_after")

    @classmethod
    def by_close(cls, closed):
        return cls({"code": word(closed)}, closed.code)


def word(closed):
    """The word that the reason of a close begins with."""
    return closed.reason.partition(":")[0]


class Participant:
    """What all transports have in common. `links` are its connections, the newest last."""

    secure = False
    protocols = ("http/1.1",)
    wire = Wire
    # What it says, it says on its connection, and a session has one connection.
    is_duplex = False
    # It is a member while it polls, and for a lease after that.
    is_leased = False
    # The server hears of its loss, and it of the server's, when nothing has come for too long.
    is_missed = False

    def __init__(self, server, user, token=None, session=None, port=None, attempt=None, **claims):
        self.user, self.session, self.attempt = user, session or new_session(), attempt
        # Without a name it is a guest.
        self.token = token or (mint(user, **claims) if user else None)
        self.address = f"127.0.0.1:{port or server.port}"
        self.rooms, self.links, self.wants = [], [], {}
        self.context = trusting(*self.protocols) if self.secure else False
        self._http = None

    @property
    def link(self):
        return self.links[-1]

    # What it has been told.

    @property
    def seen(self):
        return [message for link in self.links for message in link.seen[: link.kept]]

    def all(self, shape):
        return [message for message in self.seen if holds(message, shape)]

    def logged(self, room):
        return [message for message in self.seen if message.get("room") == room and "seq" in message]

    def seqs(self, room):
        return [message["seq"] for message in self.logged(room)]

    async def take(self, shape, patience=PATIENCE):
        return await self.link.take(shape, patience)

    async def reads(self, room, seq):
        """Waits until it has been given this message."""
        await self.link.until(lambda: seq in self.seqs(room))

    def roster(self, room):
        """Who it knows to be in the room, as users and their state, from all it was told."""
        return self.rosters(room)[-1]

    def rosters(self, room):
        """The same after each change, from nobody on."""
        now, each = {}, [{}]
        for message in self.seen:
            if message["type"] == "presence" and message["room"] == room:
                now = after(now, message["data"])
                each += [now] if now != each[-1] else []
        return each

    async def sees(self, room, *users):
        """Waits until it knows exactly these to be in the room."""
        await self.link.until(lambda: self.roster(room).keys() == set(users))

    # What it asks for by HTTP.

    async def http(self, method, path, body=None, **query):
        """The answer as JSON; raises `Refused`."""
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=PATIENCE, trust_env=False, verify=self.context, http2="h2" in self.protocols
            )
        url = f"http{'s' * self.secure}://{self.address}{path}"
        content = json.dumps(body) if isinstance(body, dict | list) else body
        answer = await self._http.request(method, url, params=query, content=content, headers=self.headers)
        if answer.is_error:
            raise Refused(problem(answer.status_code, answer.content))
        return answer.json()

    @property
    def headers(self):
        token = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return token | {"roomcast-session": self.session}

    async def members(self, room):
        return await self.http("GET", f"/rooms/{room}/presence")

    # Coming and going.

    async def open(self):
        """What comes before the first room."""
        return self

    async def join(self, *rooms, since=None, last=None, presence=True, state=None):
        """Begins to read rooms. Returns what it was told of each: `epoch`, `seq`, `from`, `recovered`, `reset`."""
        wants = {"since": since, "last": last, "presence": presence, "state": state}
        told = await self._join(rooms, {name: value for name, value in wants.items() if value is not None})
        return told if len(rooms) > 1 else told[rooms[0]]

    async def cut(self):
        """Loses its connections without a word."""
        if self.links:
            await self.link.cut()
        if self._http:
            await self._http.aclose()
            self._http = None

    async def ended(self):
        """Waits for the server to end it; returns the word for why."""
        await self.link.closed()
        return self._why()

    async def release(self):
        """Lets go of everything."""
        for link in self.links[:-1]:
            await link.cut()
        await self.cut()

    def _attach(self, link):
        link.kept = None
        self.links.append(link)


def problem(status, body):
    """Problem details; of an answer without any, what its status says."""
    return json.loads(body) if body else {"code": str(status)}


def after(roster, told):
    """A roster after a presence message."""
    user = {told["user"]: told.get("state")} if "user" in told else {}
    match told["event"]:
        case "sync":
            return {member["user"]: member.get("state") for member in told["members"]}
        case "join" | "update":
            return roster | user
        case "leave":
            return {name: state for name, state in roster.items() if name not in user}
    return roster


def part(position, room):
    """What a position says of a room, if anything."""
    if not position or "=" not in position:
        return position
    each = dict(entry.rsplit("=", 1) for entry in position.split(","))
    return each.get(quote(room, safe=""))


class Socketed(Participant):
    """Says all it says on its connection."""

    is_duplex = True
    scheme, door = "ws", "ws"

    def __init__(self, server, user, **keywords):
        super().__init__(server, user, **keywords)
        self.told, self.tries = {}, 0

    async def open(self):
        await self._connect(self.door)
        return self

    async def enter(self, room, **wants):
        """Comes into one room by its path, with `since`, `last` or `presence` in the query."""
        self.rooms, self.wants[room] = [room], wants
        await self._connect(f"{self.door}/{quote(room)}", **wants)
        try:
            ack = await self.take(lambda message: message["type"] == "ack")
        except Closed as closed:
            raise Refused.by_close(closed) from None
        assert "id" not in ack, "nobody has asked for it"
        self.told[room] = ack["data"]
        return ack["data"]

    async def _connect(self, path, **wants):
        # What was cut on its way must not take over from what came after it.
        self.tries += 1
        attempt = self.attempt or self.tries
        query = {"session": self.session, "token": self.token, "attempt": attempt} | wants
        query = {name: value for name, value in query.items() if value is not None}
        connecting = self.connect(f"{self.scheme}://{self.address}/{path}?{urlencode(query)}")
        self._attach(Client(await asyncio.wait_for(connecting, OPEN_SECONDS)))
        self.told = {}
        try:
            self.link.welcome = (await self.take({"type": "system", "data": {"event": "welcome"}}))["data"]
        except Closed as closed:
            raise Refused.by_close(closed) from None

    async def _join(self, rooms, wants):
        for room in rooms:
            self.rooms += [room] if room not in self.rooms else []
            self.wants[room] = wants
            self.told[room] = await self._ask("join", room, wants)
        return self.told

    def where(self, room):
        """Its position in the room: what it was told last, or else what it began with."""
        if not (told := self.told.get(room)):
            return self.wants[room].get("since")
        epoch, seq = told["epoch"], told["from"]
        for message in self.link.seen:
            if holds(message, RESET) and message["data"]["room"] == room:
                epoch, seq = message["data"]["epoch"], message["data"]["seq"]
            elif message.get("room") == room and "seq" in message:
                seq = message["seq"]
        return f"{epoch}.{seq}"

    async def resume(self):
        """Connects anew and goes on from where it stands in each room."""
        for room in self.rooms:
            self.wants[room] = self.wants[room] | {"since": self.where(room)}
        await self.open()
        for room in self.rooms:
            await self._join([room], self.wants[room])
        return self.told[self.rooms[0]]

    async def refresh(self, token):
        self.token = token
        return await self._ask("auth", None, {"token": token})

    async def leave(self, room):
        await self._ask("leave", room)
        self.rooms.remove(room)

    async def close(self):
        await self.link.close()

    async def send(self, room, type="text", data=None, **fields):
        return await self._ask(type, room, data or {}, **fields)

    async def typing(self, room, typing=True):
        return await self._ask("typing", room, {"typing": typing})

    async def show(self, room, state):
        return await self._ask("presence", room, {"state": state})

    async def history(self, room, **query):
        return await self._ask("history", room, query)

    async def say(self, room, envelope):
        """Sends this text, of an envelope with the id `said`."""
        return await self._answered("said", self.link.send_raw(envelope))

    async def _ask(self, type, room, data=None, id=None, **fields):
        id = id or secrets.token_hex(6)
        return await self._answered(id, self.link.send(type, room, data, id=id, **fields))

    async def _answered(self, id, sending):
        try:
            await sending
            answer = await self.link.answer(id)
        except Closed:
            raise Refused.by_close(await self.link.closed()) from None
        if answer["type"] == "error":
            raise Refused(answer["data"])
        return answer["data"]

    def _why(self):
        return word(self.link.ended)


class OneWay(Participant):
    """Reads on its connection; all else goes by request."""

    async def _join(self, rooms, wants):
        self.rooms, self.wants = list(rooms), wants
        return await self._read()

    async def enter(self, room, **wants):
        """Comes into one room by its path, as it always does."""
        return await self.join(room, presence=bool(wants.pop("presence", True)), **wants)

    async def _read(self, position=None):
        """Begins to read, where it wanted to or from a position it was given."""
        wants = dict(self.wants)
        if position:
            wants.pop("last", None)
        query = {"presence": "1"} if wants.pop("presence") else {}
        if state := wants.pop("state", None):
            for room in self.rooms:
                await self.show(room, state)
        query |= wants
        path, rooms = (f"/{self.rooms[0]}", []) if len(self.rooms) == 1 else ("", self.rooms)
        url = httpx.URL(f"http{'s' * self.secure}://{self.address}/{self.kind}{quote(path)}", params=query)
        for room in rooms:
            url = url.copy_add_param("room", room)
        return await self._begin(url, position)

    def where(self, room):
        """Its position in the room."""
        return part(self.position(), room)

    async def resume(self):
        """Asks anew from where it stands."""
        return (await self._read(self.position()))[self.rooms[0]]

    async def leave(self, room):
        """Reads it no longer, and says so."""
        await self.cut()
        await self.http("DELETE", f"/rooms/{room}/presence")
        self.rooms.remove(room)
        if self.rooms:
            await self._read(self.position())

    async def close(self):
        await self.cut()
        for room in self.rooms:
            await self.http("DELETE", f"/rooms/{room}/presence")

    async def send(self, room, type="text", data=None, **fields):
        return await self.http("POST", f"/rooms/{room}/messages", {"type": type, "data": data or {}} | fields)

    async def typing(self, room, typing=True):
        return await self.http("POST", f"/rooms/{room}/typing", {"typing": typing})

    async def show(self, room, state):
        return await self.http("POST", f"/rooms/{room}/presence", {"state": state})

    async def history(self, room, **query):
        return await self.http("GET", f"/rooms/{room}/messages", **query)

    async def say(self, room, envelope):
        return await self.http("POST", f"/rooms/{room}/messages", envelope)

    async def say_in_pieces(self, room, pieces):
        async def each():
            for piece in pieces:
                yield piece.encode()

        return await self.http("POST", f"/rooms/{room}/messages", each())

    async def signal(self, count):
        for _ in range(count):
            await self.http("GET", "/healthz")


class WebSocket(Socketed):
    async def connect(self, url):
        try:
            return await Websockets.open(url, {}, True, (), self.context or None)
        except (OSError, EOFError, WebSocketException) as error:
            raise Closed(1006, "", repr(error)) from None

    async def say_in_pieces(self, room, pieces):
        return await self._answered("said", self.link.peer.socket.send(pieces))

    async def signal(self, count):
        """Sends so many of the smallest things that are no message."""
        for _ in range(count):
            await self.link.peer.socket.ping()


class SecureWebSocket(WebSocket):
    secure, scheme = True, "wss"


class WebSocketInHttp2(Socketed):
    secure, scheme, protocols = True, "wss", ("h2",)

    async def connect(self, url):
        return await Http2Websocket.open(url, self.context)

    async def say_in_pieces(self, room, pieces):
        return await self._answered("said", self.link.peer.send_pieces(pieces))

    async def signal(self, count):
        for _ in range(count):
            await self.link.peer.ping()


class WebTransport(Socketed):
    """Over QUIC, which finds out by itself that the other side is gone."""

    secure, is_missed, scheme, door = True, True, "https", "wt"
    wire = UdpWire
    # How long it waits for a server that is silent.
    idle_seconds = 60.0

    async def connect(self, url):
        return await WebTransportPeer.open(url, TLS["tls_certificate"], self.idle_seconds)

    async def say_in_pieces(self, room, pieces):
        return await self._answered("said", self.link.peer.send_pieces(pieces))

    async def signal(self, count):
        for _ in range(count):
            await self.link.peer.ping()

    async def send(self, room, type="text", data=None, volatile=False, **fields):
        """What is volatile goes as a datagram."""
        if not volatile:
            return await super().send(room, type, data, **fields)
        id = secrets.token_hex(6)
        envelope = {"type": type, "room": room, "data": data, "id": id, "volatile": True} | fields
        return await self._answered(id, self.link.peer.send_datagram(json.dumps(envelope)))

    async def release(self):
        for link in self.links:
            await link.peer.release()
        await super().release()


class EventStream(OneWay):
    """Server-Sent Events, taken up again with `Last-Event-ID`."""

    kind = "events"

    def position(self):
        """What an `EventSource` would send as `Last-Event-ID`."""
        ids = [block.id for link in self.links for block in link.peer.blocks if block.id]
        return ids[-1] if ids else None

    async def _begin(self, url, position):
        headers = self.headers | ({"last-event-id": position} if position else {})
        opening = EventsPeer.open(str(url), headers, self.context, "h2" in self.protocols)
        peer = await asyncio.wait_for(opening, OPEN_SECONDS)
        if peer.response.status_code != 200:
            told = problem(peer.response.status_code, await peer.response.aread())
            await peer.release()
            raise Refused(told)
        self._attach(StreamLink(peer))
        self.link.welcome = (await self.take({"type": "system", "data": {"event": "welcome"}}))["data"]
        rooms = self.link.welcome["rooms"]
        return {room: await self._told(room, standing, position) for room, standing in rooms.items()}

    async def _told(self, room, standing, position):
        """What a join's ack says, from `welcome` and the `reset` that may come after it."""
        asked = part(position or self.wants.get("since"), room)
        recovered = asked == f"{standing['epoch']}.{standing['from']}"
        if not asked or recovered:
            return standing | {"recovered": recovered}
        reset = await self.take({"type": "system", "data": {"event": "reset", "room": room}})
        return standing | {"recovered": False, "reset": reset["data"]["reason"]}

    async def refresh(self, token):
        """The next stream begins where this one stands, before this one ends."""
        self.token, old = token, self.link
        old.kept = len(old.seen)
        await self._read(self.position())
        await old.cut()

    def _why(self):
        last = self.link.seen[-1]
        return last["data"].get("code") or last["data"].get("event")


class EventStreamInHttp2(EventStream):
    secure, protocols = True, ("h2",)


class LongPoll(OneWay):
    kind, is_leased = "poll", True

    def position(self):
        return next((link.peer.position for link in reversed(self.links) if link.peer.position), None)

    async def _begin(self, url, position):
        if position:
            url = url.copy_set_param("since", position)
        peer = PollPeer(url, lambda: self.headers, self.context, "h2" in self.protocols)
        try:
            answer = await peer.poll(timeout=0)
        except Closed as closed:
            await peer.release()
            raise Refused(closed.problem) if closed.problem else closed from None
        self._attach(StreamLink(peer))
        asked = position or self.wants.get("since")
        resets = {reset["room"]: reset["reason"] for reset in answer["resets"]}
        return {
            room: standing
            | {"recovered": bool(asked) and room not in resets}
            | ({"reset": resets[room]} if room in resets else {})
            for room, standing in answer["rooms"].items()
        }

    async def refresh(self, token):
        """The next poll has it."""
        self.token = token

    def _why(self):
        return word(self.link.ended)


class StreamLink(Client):
    """A stream of events, or one poll after the other."""

    async def cut(self):
        self._pump.cancel()
        await self.peer.release()


TRANSPORTS = {
    "websocket": WebSocket,
    "websocket in TLS": SecureWebSocket,
    "websocket in HTTP/2": WebSocketInHttp2,
    "webtransport": WebTransport,
    "events": EventStream,
    "events in HTTP/2": EventStreamInHttp2,
    "polls": LongPoll,
}
