"""Streams and polls of peers that mean no good, or take nothing: bounded, and no cost to others."""

import asyncio
import re

import pytest

from support.clients import Client, new_session
from support.raw import Raw
from support.server import API_KEY, TLS
from support.streams import Browser, Events
from support.tokens import mint

OPEN = {"pattern": "*", "anonymous": ["*"]}
MIB = 1024 * 1024


def stream(server, room, receive_buffer=4096):
    """A stream whose reader takes what its kernel takes, and no more."""
    raw = Raw(server, receive_buffer)
    raw.send(f"GET /events/{room} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while b"welcome" not in raw.buffer:
        assert raw.fill(), raw.buffer
    assert raw.buffer.startswith(b"HTTP/1.1 200 ")
    return raw


async def publish(server, room, count, size):
    """Publishes in batches of 10."""
    writer = Browser(server)
    for _ in range(count // 10):
        batch = [{"type": "text", "data": {"content": "x" * size}}] * 10
        answer = await writer.call("POST", f"/rooms/{room}/messages", batch)
        assert answer.status_code == 200, answer.text
    await writer.close()


async def test_readers_that_never_read_cost_little_and_the_others_nothing(serve, events, room):
    server = serve(rooms=[OPEN], engine="memory", limits={"sends_per_second": 0})
    stalled = [stream(server, room) for _ in range(100)]
    reader = await events(server, f"/events/{room}")
    before = server.resident_bytes
    await publish(server, room, count=400, size=10_000)
    await reader.take({"type": "text", "seq": 400})
    grown = server.resident_bytes - before
    assert grown < 64 * MIB, f"{grown / MIB:.1f} MiB for 4 MiB of messages and 100 readers"
    assert [message["seq"] for message in reader.logged(room)] == list(range(1, 401))
    for raw in stalled:
        raw.socket.close()


async def test_a_reader_that_stalls_is_cut(serve, room):
    limits = {"write_stall_timeout_seconds": 1, "sends_per_second": 0}
    server = serve(rooms=[OPEN], engine="memory", limits=limits)
    browser = Browser(server)
    with stream(server, room):
        assert await browser.readers() == 1
        await publish(server, room, count=400, size=10_000)
        async with asyncio.timeout(20):
            while await browser.readers():
                pass
    await browser.close()


@pytest.mark.parametrize("kind", ["events", "poll"])
@pytest.mark.parametrize("bytes_sent", [17 * 1024, 10 * MIB])
def test_a_giant_position_is_answered_or_refused_at_the_door(dev, kind, bytes_sent):
    """As a header it is bounded by the head of a request; nothing is kept of it."""
    before = dev.resident_bytes
    with Raw(dev) as raw:
        head = f"GET /{kind}/general HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: "
        raw.send(head.encode() + b"x" * bytes_sent + b"\r\n\r\n")
        while b"\r\n" not in raw.buffer and raw.fill():
            pass
        status = raw.buffer[9:12]
        assert status in ((b"200",) if kind == "events" and bytes_sent < MIB else (b"400", b"431", b"")), status
    assert dev.resident_bytes - before < 8 * MIB


async def test_a_session_is_shown_to_nobody_but_its_owner(dev, events, room):
    watcher = await events(dev, f"/events/{room}", presence=1)
    session = new_session()
    member = await events(dev, f"/events/{room}", presence=1, session=session)
    assert member.welcome["session"] == session
    await watcher.take({"type": "presence", "data": {"event": "join", "user": member.user}})
    assert session not in repr(watcher.seen)
    assert session not in dev.output


async def test_a_stream_doesn_t_take_a_socket_s_session_over(dev, events, room):
    session = new_session()
    socket = await Client.welcomed(dev, session=session)
    await socket.join(room)
    reader = await events(dev, f"/events/{room}", session=session)
    await socket.text(room)
    await reader.take({"type": "text", "seq": 1})
    await socket.settled()
    await socket.cut()


async def test_without_the_right_to_see_it_nobody_is_shown(serve, events, room):
    server = serve()
    seen = await events(server, f"/events/{room}", token=mint("ada"), presence=1)
    blind = await events(server, f"/events/{room}", token=mint("eve", rooms={"*": ["join"]}), presence=1)
    await seen.take({"type": "presence", "data": {"event": "join", "user": "eve"}})
    writer = Browser(server, token=mint("ada"))
    await writer.publish(room)
    await blind.take({"type": "text", "seq": 1})
    assert blind.all({"type": "presence"}) == []
    poller = Browser(server, token=mint("eve", rooms={"*": ["join"]}))
    assert "presence" not in await poller.poll(room, presence=1)
    for browser in (writer, poller):
        await browser.close()


async def test_a_token_in_a_url_is_not_logged_and_an_api_key_is_not_taken_from_one(serve, room):
    server = serve(log="debug")
    token = mint("ada")
    reader = await Events.open(server, f"/events/{room}", token=token)
    await reader.close()
    browser = Browser(server, token=API_KEY)
    assert (await browser.get(f"/events/{room}")).status_code == 401
    await browser.close()
    assert token not in server.output and API_KEY not in server.output


async def test_a_foreign_page_reads_no_stream(serve, browse, room):
    server = serve(rooms=[OPEN])
    for path in (f"/events/{room}", f"/poll/{room}"):
        answer = await browse(server).get(path, headers={"origin": "https://evil.example"})
        assert answer.status_code == 403, path
        assert "access-control-allow-origin" not in answer.headers


async def test_polls_and_streams_that_come_and_go_leave_nothing_behind(serve, browse, room):
    server = serve(rooms=[OPEN], engine="memory", limits={"sends_per_second": 0})
    browser = browse(server)
    position = (await browser.poll(room))["position"]
    await asyncio.gather(*(browser.poll(room, since=position, timeout=0) for _ in range(100)))
    before = server.resident_bytes
    for _ in range(20):
        await asyncio.gather(*(browser.poll(room, since=position, timeout=0) for _ in range(50)))
    assert server.resident_bytes - before < 8 * MIB
    assert await browser.readers() == 0


async def test_a_reader_that_the_log_has_moved_past_is_told_where_it_goes_on(serve, room):
    """It is not cut: it takes nothing for a while only, and what it missed is no silent hole."""
    rule = OPEN | {"history": {"messages": 10}}
    server = serve(rooms=[rule], engine="memory", limits={"sends_per_second": 0})
    with stream(server, room) as stalled:
        await publish(server, room, count=1500, size=10_000)
        while b'"seq":1500,"data"' not in stalled.buffer and b'"seq":1500}' not in stalled.buffer:
            assert await asyncio.to_thread(stalled.fill)
        # Nothing in a block holds a CR: what has one is the edge of a chunk.
        blocks = re.sub(rb"\r\n(?:[0-9a-f]+\r\n)?", b"", stalled.buffer)
        ids = re.findall(rb"(?m)^id: [^.\s]+\.(\d+)\n(event: system)?", blocks)
    expected, resets = 0, 0
    for seq, is_system in ids[1:]:
        assert int(seq) == expected + 1 or (is_system and int(seq) > expected), (expected, seq)
        resets += bool(is_system)
        expected = int(seq)
    assert resets >= 1 and b'"reason":"too_old"' in stalled.buffer
    assert expected == 1500


@pytest.mark.parametrize("secure", [False, True], ids=["in the clear", "in TLS"])
async def test_an_answer_that_is_not_taken_is_given_up(serve, room, secure):
    """A page of a megabyte, for somebody who doesn't read it: it is not kept for them for ever."""
    limits = {"write_stall_timeout_seconds": 1, "sends_per_second": 0}
    server = serve(rooms=[OPEN], engine="memory", limits=limits, server=TLS if secure else {})
    before = server.open_files
    await publish(server, room, count=100, size=10_000)
    raw = Raw(server, receive_buffer=4096)
    if secure:
        raw.socket = server.context.wrap_socket(raw.socket, server_hostname="127.0.0.1")
    raw.send(f"GET /rooms/{room}/messages?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert raw.fill() and server.open_files > before
    async with asyncio.timeout(20):
        while server.open_files > before:
            await asyncio.to_thread(server.process.poll)
    raw.socket.close()
