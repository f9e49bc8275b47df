"""Rooms as Server-Sent Events (PROTOCOL sections 4 and 5), read with `httpx-sse`."""

import asyncio
import time
from urllib.parse import quote

import httpx
import pytest

from support import server as servers
from support.raw import Raw
from support.streams import Events, raw_blocks
from support.tokens import mint

OPEN = {"pattern": "*", "anonymous": ["*"]}
RESET = {"type": "system", "data": {"event": "reset"}}


def text(seq):
    return {"type": "text", "seq": seq}


async def filled(browse, server, room, count):
    """Publishes `count` messages; returns the writer and the epoch."""
    writer = browse(server)
    acks = [await writer.publish(room, n=number) for number in range(1, count + 1)]
    return writer, acks[-1]["epoch"]


def seqs(stream, room):
    return [message["seq"] for message in stream.logged(room)]


async def test_welcome_comes_first_with_the_position_it_starts_from(dev, browse, room):
    _, epoch = await filled(browse, dev, room, 3)
    [block] = await raw_blocks(dev, f"/events/{room}", 1)
    retry, id, event, data = block
    assert 2000 <= int(retry.removeprefix("retry: ")) <= 4000
    assert (id, event) == (f"id: {epoch}.3", "event: system")
    welcome = httpx.Response(200, content=data.removeprefix("data: ")).json()["data"]
    assert welcome["rooms"] == {room: {"epoch": epoch, "seq": 3, "from": 3}}
    assert {"session", "user", "version", "ping_interval"} <= welcome.keys()


async def test_text_is_a_message_and_other_types_are_named(dev, events, browse, room):
    stream, writer = await events(dev, f"/events/{room}"), browse(dev)
    await writer.publish(room, content="a\nb")
    await writer.publish(room, type="poll.vote", choice=1)
    message = await stream.take(text(1))
    assert message["data"]["content"] == "a\nb"
    await stream.take({"type": "poll.vote", "seq": 2})
    assert stream.names() == ["system", "message", "poll.vote"]


async def test_what_is_ephemeral_has_no_id(dev, browse, room):
    writer, epoch = await filled(browse, dev, room, 1)
    reading = asyncio.create_task(raw_blocks(dev, f"/events/{room}?since={epoch}.0", 4))
    while not reading.done():
        await writer.call("POST", f"/rooms/{room}/messages", {"type": "cursor", "volatile": True})
    blocks = await reading
    assert blocks[1][0] == f"id: {epoch}.1"
    assert [line.split(":")[0] for line in blocks[2]] == ["event", "data"]


async def test_last_event_id_resumes_and_wins_over_since(dev, events, browse, room):
    writer, epoch = await filled(browse, dev, room, 5)
    headers = {"last-event-id": f"{epoch}.3"}
    stream = await events(dev, f"/events/{room}", headers=headers, since=f"{epoch}.0", last=1)
    await stream.take(text(5))
    await writer.publish(room)
    await stream.take(text(6))
    assert seqs(stream, room) == [4, 5, 6]
    assert stream.all(RESET) == []


@pytest.mark.parametrize("reason", ["epoch", "future", "too_old"])
async def test_a_reset_is_told_and_a_cut_before_it_leads_to_it_again(serve, events, browse, room, reason):
    server = serve(rooms=[OPEN | {"history": {"messages": 2}}], engine="memory")
    writer, epoch = await filled(browse, server, room, 5)
    since = {"epoch": "other.1", "future": f"{epoch}.9", "too_old": f"{epoch}.1"}[reason]
    stream = await events(server, f"/events/{room}", since=since)
    told = (await stream.take(RESET))["data"]
    assert (told["room"], told["reason"], told["epoch"], told["seq"]) == (room, reason, epoch, 5)
    assert [block.id for block in stream.peer.blocks] == ["0.0", f"{epoch}.5"]
    again = await events(server, f"/events/{room}", headers={"last-event-id": "0.0"})
    assert (await again.take(RESET))["data"]["reason"] == "epoch"
    await writer.publish(room)
    for one in (stream, again):
        await one.take(text(6))
        assert seqs(one, room) == [6]


BAD = ["e", "e.", "e.x", "nonsense", "a=b", "%00", "e.1,f.2", "x" * 17 * 1024 + ".1", "ä.1"]


@pytest.mark.parametrize("since", BAD, ids=lambda since: since[:10])
async def test_an_unreadable_position_is_a_reset_and_never_a_400(dev, events, browse, room, since):
    _, epoch = await filled(browse, dev, room, 2)
    stream = await events(dev, f"/events/{room}", headers={"last-event-id": since.encode()})
    assert (await stream.take(RESET))["data"] | {"reason": "epoch", "seq": 2, "epoch": epoch} == (
        stream.all(RESET)[0]["data"]
    )


async def test_several_rooms_in_one_stream(dev, events, browse, room):
    a, b, c = f"{room}:a=1", f"{room}:b,".rstrip(","), f"{room}:c+@~"
    writer, epoch = await filled(browse, dev, a, 3)
    _, epoch_b = await filled(browse, dev, b, 1)
    _, epoch_c = await filled(browse, dev, c, 1)
    path = "/events?" + "&".join(f"room={quote(name, safe='')}" for name in (a, b, c))
    stream = await events(dev, path)
    start = ",".join(f"{quote(n, safe='')}={e}.{s}" for n, e, s in [(a, epoch, 3), (b, epoch_b, 1), (c, epoch_c, 1)])
    assert stream.position == start
    assert stream.welcome["rooms"].keys() == {a, b, c}
    await writer.publish(c)
    await writer.publish(a)
    await stream.take({"room": c, "seq": 2})
    await stream.take({"room": a, "seq": 4})
    position = stream.position
    await stream.close()
    for name in (a, b, c, a):
        await writer.publish(name)
    again = await events(dev, path, headers={"last-event-id": position})
    for name, count in ((a, 2), (b, 1), (c, 1)):
        await again.take({"room": name, "seq": {a: 6, b: 2, c: 3}[name]})
        assert len(again.logged(name)) == count
    assert again.all(RESET) == []


async def test_resets_of_some_rooms_are_told_one_by_one(dev, events, browse, room):
    a, b, c = [f"{room}.{name}" for name in "abc"]
    epochs = [(await filled(browse, dev, name, 2))[1] for name in (a, b, c)]
    ea, eb, ec = [f"{quote(name, safe='')}={epoch}" for name, epoch in zip((a, b, c), epochs, strict=True)]
    path = f"/events?room={a}&room={b}&room={c}"
    stream = await events(dev, path, headers={"last-event-id": f"{a}=x.1,{b}={epochs[1]}.1,{c}=x.1"})
    await stream.take({"room": b, "seq": 2})
    zero = [f"{quote(name, safe='')}=0.0" for name in (a, c)]
    assert [block.id for block in stream.peer.blocks] == [
        f"{zero[0]},{eb}.1,{zero[1]}",
        f"{ea}.2,{eb}.1,{zero[1]}",
        f"{ea}.2,{eb}.1,{ec}.2",
        f"{ea}.2,{eb}.2,{ec}.2",
    ]


@pytest.mark.parametrize("way", ["header", "query", "cookie"])
async def test_a_token_comes_in_each_of_three_ways(serve, events, room, way):
    server = serve(auth={"cookie": "token"})
    token = mint("ada")
    headers = {"header": {"authorization": f"Bearer {token}"}, "cookie": {"cookie": f"token={token}"}}
    query = {"token": token} if way == "query" else {}
    stream = await events(server, f"/events/{room}", headers=headers.get(way), **query)
    assert stream.welcome["user"] == "ada"


async def test_what_coming_back_would_not_mend_is_refused(serve, browse, room):
    server = serve()
    anyone = browse(server)

    async def answer(path, **query):
        response = await anyone.get(path, **query)
        assert response.headers["content-type"].startswith("application/problem+json")
        return response.status_code, response.json()["code"]

    good = mint(rooms={"r*": ["join"]})
    assert await answer(f"/events/{room}") == (401, "unauthorized")
    assert await answer(f"/events/{room}", token="bad") == (401, "unauthorized")
    assert await answer("/events/other", token=good) == (403, "forbidden")
    assert await answer(f"/events/{room}", token=good, last=1) == (403, "forbidden")
    assert await answer("/events/no%20room", token=good) == (400, "invalid_room")
    assert await answer("/events", token=good) == (400, "bad_request")
    assert await answer("/events?room=r1&room=x/y", token=good) in [(400, "invalid_room"), (400, "bad_request")]
    many = "&".join(f"room=r{number}" for number in range(33))
    response = await anyone.http.get(f"/events?{many}&token={good}")
    assert (response.status_code, response.json()["code"]) == (429, "too_many_rooms")
    assert float(response.headers["retry-after"]) >= 1


async def test_a_token_that_ends_is_told_and_the_next_stream_has_no_hole(serve, events, browse, room):
    server = serve(limits={"token_expiring_notice_seconds": 2})
    token = mint("ada", seconds=None, exp=time.time() + 4)
    stream = await events(server, f"/events/{room}", token=token)
    writer = browse(server, token=mint("bob"))
    await writer.publish(room)
    notice = await stream.take({"type": "system", "data": {"event": "expiring"}})
    assert 0 < notice["data"]["expires_in"] <= 2
    await stream.take({"type": "error", "data": {"code": "token_expired"}})
    assert stream.names()[-1] == "system"
    assert (await stream.closed()).code == 1000
    await writer.publish(room)
    following = await events(server, f"/events/{room}", token=mint("ada"), since=stream.position)
    await following.take(text(2))
    assert seqs(stream, room) + seqs(following, room) == [1, 2]


async def test_a_comment_keeps_an_idle_stream_alive(serve, room):
    server = serve(rooms=[OPEN], limits={"keep_alive_interval_seconds": 1})
    blocks = await raw_blocks(server, f"/events/{room}", 3)
    assert [len(block) for block in blocks] == [4, 1, 1]
    assert blocks[1][0].startswith(":") and blocks[2][0].startswith(":")


async def test_two_readers_of_one_room_get_the_same_bytes(dev, browse, room):
    writer, epoch = await filled(browse, dev, room, 3)
    path = f"/events/{room}?since={epoch}.0"
    first, second = await asyncio.gather(raw_blocks(dev, path, 4), raw_blocks(dev, path, 4))
    assert first[1:] == second[1:]
    assert first[1][0] == f"id: {epoch}.1"


async def test_headers_let_pages_of_this_machine_read_and_nothing_buffer(dev, room):
    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {"origin": "http://localhost:3000", "accept-encoding": "gzip, br"}
        async with http.stream("GET", f"{dev.http}/events/{room}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["access-control-allow-origin"] == headers["origin"]
            assert answer.headers["cache-control"] == "no-store"
            assert "content-encoding" not in answer.headers and answer.headers["x-accel-buffering"] == "no"
        head = await http.head(f"{dev.http}/events/{room}", timeout=5)
        assert head.status_code in (200, 405) and head.content == b""


async def test_a_reader_that_goes_away_is_let_go(browse, room):
    server = servers.dev()
    streams = [await Events.open(server, f"/events/{room}") for _ in range(20)]

    browser = browse(server)
    assert await browser.readers() == 20
    for stream in streams:
        await stream.close()
    async with asyncio.timeout(10):
        while await browser.readers():
            pass
    server.kill()


async def test_no_stream_lacks_a_message_whatever_cuts_it(dev, browse, room):
    """Ten streams, each cut again and again while a writer writes."""
    writer = browse(dev)

    async def write():
        for number in range(300):
            await writer.publish(room, n=number)

    async def read(step):
        got, position = [], None
        while not got or got[-1] < 300:
            headers = {"last-event-id": position} if position else {}
            query = {} if position else {"since": start}
            stream = await Events.open(dev, f"/events/{room}", headers=headers, **query)
            for _ in range(step):
                if got and got[-1] == 300:
                    break
                got.append((await stream.take({"type": "text"}))["seq"])
            last = got[-1]
            position = stream.position_after(lambda message, last=last: message.get("seq") == last)
            await stream.close()
        return got

    first = await Events.open(dev, f"/events/{room}")
    start = first.position
    await first.close()
    _, *readers = await asyncio.gather(write(), *(read(step) for step in (7, 20, 45, 130)))
    assert all(got == list(range(1, 301)) for got in readers)


def opened(server, request):
    """A stream that has said who is welcome, its head, and what came after it."""
    raw = Raw(server)
    raw.send(request.encode())
    while b"welcome" not in raw.buffer:
        assert raw.fill(), raw.buffer
    head, _, raw.buffer = raw.buffer.partition(b"\r\n\r\n")
    return raw, head.lower()


async def test_a_stream_over_http_1_1_is_chunked_to_its_end(serve, room):
    """It has its head from one hand and its body from another; what was asked for before it is answered before."""
    server = serve(rooms=[OPEN])
    request = f"GET /events/{room} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw, head = opened(server, f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n{request}")
    with raw:
        assert b"content-length" in head, "the first answer"
        _, _, raw.buffer = raw.buffer.partition(b"\r\n\r\n")
        server.terminate()
        while raw.fill():
            pass
    blocks = b""
    while raw.buffer != b"0\r\n\r\n":
        size, _, rest = raw.buffer.partition(b"\r\n")
        chunk, end, raw.buffer = rest[: int(size, 16)], rest[int(size, 16) :][:2], rest[int(size, 16) + 2 :]
        assert end == b"\r\n"
        blocks += chunk
    assert blocks.startswith(b"retry: ") and b'"draining"' in blocks


async def test_a_stream_over_http_1_0_has_no_chunks(dev, browse, room):
    raw, head = opened(dev, f"GET /events/{room} HTTP/1.0\r\nHost: localhost\r\n\r\n")
    with raw:
        assert b"chunked" not in head and raw.buffer.startswith(b"retry: ")
        await browse(dev).publish(room, content="Hello")
        while b"Hello" not in raw.buffer:
            assert raw.fill()


def test_the_head_of_a_stream_can_be_asked_for_alone(dev, room):
    with Raw(dev) as raw:
        status, headers, _ = raw.request(f"HEAD /events/{room}")
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert raw.request("GET /healthz")[0] == 200, "the connection goes on"


async def test_who_talks_into_a_stream_is_hung_up_on(dev, browse, room):
    raw, _ = opened(dev, f"GET /events/{room} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with raw:
        raw.send(b"x" * 1024)
        await browse(dev).publish(room, content="Hello")
        while b"Hello" not in raw.buffer:
            assert raw.fill(), "a little is passed over"
        while raw.send(b"x" * 65_536) and raw.fill():
            pass
        assert not raw.fill()
