"""Peers that take without giving: each is bounded by a documented limit, and costs the others nothing."""

import asyncio
import json
import re
import time

import pytest

from support import server as servers
from support.clients import Client
from support.raw import PATIENCE, TEXT, Raw, frame

MIB = 1024 * 1024


@pytest.fixture
def alone():
    """A server of the test's own, whose memory nobody else uses."""
    server = servers.dev()
    yield server
    assert server.alive
    server.kill()


async def publish(client, room, count, size):
    """Publishes with 32 in flight."""
    content = "x" * size
    for number in range(count):
        await client.send("text", room, {"content": content}, id=f"{room}-{number}")
        if number >= 32:
            await client.answer(f"{room}-{number - 32}")


async def test_a_thousand_readers_that_never_read_cost_the_others_nothing(alone, room):
    """4 MiB of messages are kept once, not a thousand times; what is per reader is in the kernel."""
    idle = [Raw.joined(alone, room, receive_buffer=4096) for _ in range(1000)]
    reader, writer = [await Client.welcomed(alone) for _ in range(2)]
    for client in (reader, writer):
        await client.join(room)
    before = alone.resident_bytes
    await publish(writer, room, count=1000, size=1000)
    await reader.take({"type": "text", "seq": 1000})
    grown = alone.resident_bytes - before
    assert grown < 48 * MIB, f"{grown / MIB:.1f} MiB for 1 MiB of messages and 1,000 readers"
    assert [message["seq"] for message in reader.logged(room)] == list(range(1, 1001))
    for raw in idle:
        raw.socket.close()
    for client in (reader, writer):
        await client.cut()


async def test_a_reader_that_stalls_is_let_go(serve, room):
    """Nothing moves to it for `write_stall_timeout`: closed 4008, and its socket is given back."""
    limits = {"write_stall_timeout_seconds": 1, "sends_per_second": 0}
    server = serve(rooms=[{"pattern": "*", "anonymous": ["*"]}], limits=limits)
    writer = await Client.welcomed(server)
    await writer.join(room)
    with Raw.joined(server, room, receive_buffer=4096) as stalled:
        open_files = server.open_files
        await publish(writer, room, count=400, size=30_000)
        async with asyncio.timeout(20):
            while server.open_files >= open_files:
                await writer.settled()
        assert stalled.ended() is not None
    await writer.cut()


def test_a_connection_that_joins_without_end_is_refused_not_served(alone):
    with Raw(alone) as raw:
        raw.upgrade()
        before = alone.resident_bytes
        refused = 0
        for batch in range(50):
            joins = [{"type": "join", "room": f"r{batch}-{n}", "id": f"{batch}-{n}"} for n in range(200)]
            raw.send(b"".join(frame(TEXT, json.dumps(join).encode()) for join in joins))
            answered = 0
            while answered < len(joins):
                opcode, payload, _ = raw.next_frame()
                message = json.loads(payload)
                answered += message["type"] in ("ack", "error") and "id" in message
                if message["type"] == "error":
                    assert (
                        message["data"]["code"] in ("too_many_rooms", "rate_limited")
                        and message["data"]["retry_after"] > 0
                    )
                    refused += 1
        assert refused == 50 * 200 - 100
        assert alone.resident_bytes - before < 8 * MIB
        assert raw.lives()


def test_a_peer_that_asks_and_never_reads_is_not_read_either(alone):
    """The answers to a flood of pings stay under the control queue's 64 KiB: the peer's own sends block."""
    with Raw(alone, receive_buffer=4096) as raw:
        raw.upgrade()
        raw.socket.settimeout(1)
        before = alone.resident_bytes
        pings = frame(TEXT, b'{"type":"ping","id":"' + b"x" * 60 + b'"}') * 1000
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                assert raw.send(pings)
        assert alone.resident_bytes - before < 16 * MIB


def test_who_asks_and_never_reads_is_hung_up_on(serve, room):
    """Its reader is parked behind its answers; the end of the connection must reach it there."""
    limits = {"write_stall_timeout_seconds": 1}
    server = serve(rooms=[{"pattern": "*", "anonymous": ["*"]}], limits=limits, engine="memory")
    before = server.open_files
    with Raw(server, receive_buffer=4096) as raw:
        raw.upgrade()
        raw.socket.settimeout(1)
        pings = frame(TEXT, b'{"type":"ping","id":"' + b"x" * 60 + b'"}') * 1000
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                raw.socket.sendall(pings)
        deadline = time.monotonic() + PATIENCE
        while server.open_files > before:
            assert time.monotonic() < deadline, "the server still has the socket"


async def test_a_storm_of_reconnects_is_served(alone, room):
    sessions = []
    for _ in range(3):
        started = time.monotonic()
        clients = await asyncio.gather(*(Client.welcomed(alone, f"/ws/{room}") for _ in range(200)))
        await asyncio.gather(*(client.take({"type": "ack"}) for client in clients))
        assert time.monotonic() - started < 15
        sessions.append({client.welcome["session"] for client in clients})
        await asyncio.gather(*(client.cut() for client in clients))
    assert len(set.union(*sessions)) == 600


async def test_presence_churn_is_bounded(alone, room):
    watcher = await Client.welcomed(alone, user="watcher")
    await watcher.join(room)
    before = alone.resident_bytes
    churner = await Client.welcomed(alone, user="churner")
    for _ in range(500):
        await churner.request("join", room)
        await churner.request("leave", room)
    await watcher.settled()
    roster = await watcher.join(room)
    assert [member["user"] for member in roster["members"]] == ["watcher"]
    assert alone.resident_bytes - before < 8 * MIB
    for client in (watcher, churner):
        await client.cut()


async def test_rooms_that_are_only_touched_leave_little_behind(alone):
    """Joined and left, nothing said: each room may cost while it is kept, but not much."""
    client = await Client.welcomed(alone)
    before, count = alone.resident_bytes, 5_000
    for start in range(0, count, 100):
        for n in range(start, start + 100):
            await client.send("join", f"r{n}", {"presence": False})
        for n in range(start, start + 100):
            await client.send("leave", f"r{n}", id=f"l{n}")
        await client.answer(f"l{start + 99}")
    assert (alone.resident_bytes - before) / count < 4096
    await client.cut()


@pytest.mark.parametrize("kind", ["websocket", "events", "poll"])
def test_a_connection_counts_once_whatever_it_carries(serve, room, kind):
    server = serve(rooms=[{"pattern": "*", "anonymous": ["*"]}], server={"connections_max": 3}, engine="memory")

    def come():
        raw = Raw(server)
        if kind == "websocket":
            raw.upgrade("/ws/" + room)
            return raw
        path = f"/events/{room}" if kind == "events" else f"/poll/{room}"
        raw.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while b"epoch" not in raw.buffer:
            assert raw.fill(), raw.buffer
        if kind == "poll":
            # The first answer says where to begin; the second is parked.
            position = re.search(rb'"position":"([^"]+)"', raw.buffer)[1].decode()
            raw.send(f"GET {path}?since={position}&timeout=20 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return raw

    came = [come() for _ in range(3)]
    with Raw(server) as late:
        late.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while late.fill():
            pass
        assert late.buffer.startswith(b"HTTP/1.1 503 ")
    came.pop().socket.close()
    while True:
        with Raw(server) as next_one:
            next_one.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while next_one.fill():
                pass
            if next_one.buffer.startswith(b"HTTP/1.1 200 "):
                break
    for raw in came:
        raw.socket.close()
