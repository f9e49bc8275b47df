"""Every limit that somebody who takes part can run into, with its named answer (PROTOCOL section 7)."""

import asyncio
import itertools
import json
import time

import pytest

from scenarios.people import publish, refusal
from support.clients import PATIENCE, Closed
from support.participants import RESET, EventStream, Refused, WebSocket, WebSocketInHttp2

FRAMED = (WebSocket, WebSocketInHttp2)


def sized(room, size):
    """An envelope of exactly so many bytes."""
    head, tail = f'{{"type":"text","id":"said","room":"{room}","data":{{"x":"', '"}}'
    return head + "x" * (size - len(head) - len(tail)) + tail


async def test_a_message(start, person, room, transport):
    server = start(limits={"message_bytes_max": 512})
    ada = await person("ada", at=server)
    await ada.join(room)
    assert (await ada.say(room, sized(room, 512)))["seq"] == 1
    with pytest.raises(Refused) as refused:
        await ada.say(room, sized(room, 513))
    assert refused.value.code == "too_large"
    assert refused.value.closed == (1009 if transport.is_duplex else None)
    bob = await person("bob", at=server)
    await bob.join(room)
    assert (await bob.send(room))["seq"] == 2


async def test_fragments_of_a_message(start, person, room, transport):
    ada = await person("ada", at=start(limits={"fragments_max": 4}))
    await ada.join(room)
    envelope = sized(room, 100)
    for count in (2, 5):
        size = 100 // count
        pieces = [envelope[at : at + size] for at in range(0, 100, size)]
        if count == 5 and issubclass(transport, FRAMED):
            with pytest.raises(Refused) as refused:
                await ada.say_in_pieces(room, pieces)
            assert (refused.value.code, refused.value.closed) == ("too_large", 1009)
        else:
            # A stream of bytes has no fragments: however it comes, it is one message.
            assert (await ada.say_in_pieces(room, pieces))["seq"] == 1


async def test_levels_of_data(start, person, room):
    ada = await person("ada", at=start(limits={"json_depth_max": 4}))
    await ada.join(room)

    def nested(levels):
        data = '{"a":' * levels + "1" + "}" * levels
        return f'{{"type":"text","id":"said","room":"{room}","data":{data}}}'

    assert (await ada.say(room, nested(4)))["seq"] == 1
    assert await refusal(ada.say(room, nested(5))) == "bad_request"
    assert (await ada.send(room))["seq"] == 2


async def test_signals_that_are_no_messages(start, person, room, transport):
    ada = await person("ada", at=start(limits={"control_frames_per_second": 5}))
    await ada.join(room)
    await ada.signal(4)
    assert (await ada.send(room))["seq"] == 1
    if issubclass(transport, FRAMED):
        with pytest.raises((Closed, Refused)):
            await ada.signal(100)
            await ada.send(room)
        assert await ada.ended() == "rate_limited"
        assert ada.link.ended.code == 1008
    else:
        # Pings are QUIC's own, and requests have none: what they cost is bounded by their rate or not at all.
        await ada.signal(20)
        assert (await ada.send(room))["seq"] == 2


async def test_rooms_of_a_connection(start, person, room, transport):
    limits = {"rooms_per_connection_max": 2, "rooms_per_stream_max": 2}
    ada = await person("ada", at=start(limits=limits))
    rooms = [f"{room}:{number}" for number in range(3)]
    with pytest.raises(Refused) as refused:
        await ada.join(*rooms)
    assert refused.value.code == "too_many_rooms" and refused.value.retry_after > 0
    if transport.is_duplex:
        await ada.leave(rooms[0])
        await ada.join(rooms[2])
    else:
        await ada.join(*rooms[1:])
    for name in rooms[1:]:
        await publish(ada, name)
        await ada.reads(name, 1)


@pytest.mark.parametrize("since", ["x" * 200 + ".1", "e.", "e.x", "e.1.2.x"], ids=lambda since: since[-8:])
async def test_a_position(start, person, room, transport, since):
    ada = await person("ada", at=start(limits={"position_bytes_max": 128}))
    await publish(ada, room)
    if issubclass(transport, EventStream):
        told = await ada.join(room, since=since)  # an EventSource gives up for good on anything but 200
        assert (told["reset"], told["from"]) == ("epoch", 1)
    else:
        assert await refusal(ada.join(room, since=since)) == "bad_request"
        await ada.join(room)
    await publish(ada, room)
    await ada.reads(room, 2)
    assert len(ada.all(RESET)) == issubclass(transport, EventStream)


async def test_the_rate_of_sends(start, person, room):
    server = start(limits={"sends_per_second": 2, "sends_burst": 5})
    ada, bob = await person("ada", at=server), await person("bob", at=server)
    await ada.join(room)
    with pytest.raises(Refused) as refused:
        for number in itertools.count():
            await ada.send(room, "text", {"n": number})
    began, wait = time.monotonic(), refused.value.retry_after
    assert refused.value.code == "rate_limited" and wait >= 1 and number >= 4
    await bob.join(room)
    await bob.send(room, "text", {"n": "another's"})
    refusals = 0
    while True:
        try:
            await ada.send(room, "text", {"n": "after"})
            break
        except Refused as again:
            assert again.code == "rate_limited" and again.retry_after > 0
            refusals += 1
    assert time.monotonic() - began >= wait - 0.2 and refusals > 0, "all are refused until the time is over"
    await ada.reads(room, number + 2)
    assert [message["data"]["n"] for message in ada.logged(room)] == [*range(number), "another's", "after"]


async def test_the_rate_of_what_is_asked(start, person, room):
    ada = await person("ada", at=start(limits={"sends_per_second": 2, "sends_burst": 5}))
    await ada.join(room)
    with pytest.raises(Refused) as refused:
        for _ in range(50):
            await ada.history(room)
    assert refused.value.code == "rate_limited" and refused.value.retry_after >= 1


async def test_sends_without_an_ack(start, person, room, transport):
    ada = await person("ada", at=start(limits={"unacked_sends_max": 4, "sends_per_second": 0}, engine="disk"))
    await ada.join(room)
    acks = await asyncio.gather(*(ada.send(room, "text", {"n": number}) for number in range(100)))
    seqs = [ack["seq"] for ack in acks]
    assert sorted(seqs) == list(range(1, 101)), "they are read later, not refused"
    if transport.is_duplex:
        assert seqs == sorted(seqs), "what goes on one connection is in order"
    await ada.reads(room, 100)


async def test_a_page_of_history(start, person, room):
    limits = {"history_page_default": 3, "history_page_max": 5, "history_page_bytes_max": 1024}
    ada = await person("ada", at=start(limits=limits))

    async def page(**query):
        messages = (await ada.history(room, **query))["messages"]
        return [message["seq"] for message in messages]

    await publish(ada, room, 8)
    assert await page() == [6, 7, 8]
    assert await page(limit=100) == [4, 5, 6, 7, 8]
    told = await ada.join(room, last=100)
    assert told["from"] == 3
    await publish(ada, room, 5, pad="x" * 400)
    newest = await page(limit=100)
    assert newest in ([12, 13], [13]), "no more than fit"


async def test_members_that_are_listed(start, person, room):
    server = start(limits={"members_listed_max": 2})
    people = [await person(f"user{number}", at=server) for number in range(4)]
    for one in people:
        await one.join(room)
    told = await people[0].members(room)
    assert [member["user"] for member in told["members"]] == ["user0", "user1"]
    assert told["count"] == 4, "the rest is a number"
    sync = await people[3].take({"type": "presence", "data": {"event": "sync"}})
    assert sync["data"]["members"] == told["members"] and sync["data"]["count"] == 4


async def test_a_state(start, person, room):
    ada = await person("ada", at=start(limits={"presence_state_bytes_max": 64}))
    assert await refusal(ada.join(room, state={"x": "y" * 80})) == "too_large"
    await ada.join(room)
    assert await refusal(ada.show(room, {"x": "y" * 80})) == "too_large"
    await ada.show(room, {"x": "y" * 40})


async def test_a_token(start, person, room):
    server = start(limits={"token_bytes_max": 512})
    ada = await person("ada", at=server)
    await ada.join(room)

    async def come():
        await (await person("bob", at=server, info={"x": "y" * 512})).join(room)

    assert await refusal(come()) == "unauthorized"


async def test_typists_of_a_room(start, person, room):
    server = start(limits={"typists_per_room_max": 1})
    people = [await person(user, at=server) for user in ("ada", "bob")]
    for one in people:
        await one.join(room, presence=False)
        await one.typing(room)
    await publish(people[0], room)
    for one in people:
        await one.reads(room, 1)
        assert "bob" not in {message["data"]["author"] for message in one.all({"type": "typing"})}


async def test_a_batch_and_a_body_by_request(start, person, room):
    ada = await person("ada", at=start(limits={"batch_max": 3, "body_bytes_max": 1024}))
    await ada.join(room)
    path, text = f"/rooms/{room}/messages", {"type": "text"}
    assert [ack["seq"] for ack in await ada.http("POST", path, [text] * 3)] == [1, 2, 3]
    assert await refusal(ada.http("POST", path, [text] * 4)) == "too_large"
    assert await refusal(ada.http("POST", path, json.dumps([text]) + " " * 1024)) == "too_large"
    await publish(ada, room)
    await ada.reads(room, 4)
    assert ada.seqs(room) == [1, 2, 3, 4]


async def test_connections(start, person, room):
    server = start(server={"connections_max": 3})
    came = []
    with pytest.raises((Refused, Closed)) as refused:
        for number in range(5):
            came.append(await person(f"user{number}", at=server))
            await came[-1].join(room)
    assert 2 <= len(came) <= 4
    if isinstance(refused.value, Refused):
        assert refused.value.code == "503"
    for one in came:
        await one.release()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                late = await person("late", at=server)
                await late.join(room)
                break
            except (Refused, Closed):
                pass


async def test_a_silent_peer(start, person, room, transport):
    quick = {"ping_interval_seconds": 1, "pong_timeout_seconds": 1, "poll_timeout_seconds": 1}
    rules = [{"pattern": "*", "users": ["*"], "presence": {"grace_seconds": 0, "lease_seconds": 5}}]
    server = start(limits=quick | {"keep_alive_interval_seconds": 1}, rooms=rules)
    wire = await transport.wire.open(server)
    ada, bob = await person("ada", at=server, port=wire.port), await person("bob", at=server)
    await ada.join(room)
    await bob.join(room)
    await bob.sees(room, "ada", "bob")
    wire.stall()
    if transport is EventStream:
        # Nothing has to be answered there: it ends when it takes nothing of what waits for it. A lease is the clock.
        # (HTTP/2 has pings of its own.)
        await bob.http("POST", f"/rooms/{room}/presence", {}, session="x" * 22)
        await bob.link.until(lambda: bob.all({"type": "presence", "data": {"connections": 2}}))
        await bob.link.until(
            lambda: bob.all({"type": "presence", "data": {"event": "update", "connections": 1}})
        )
        assert bob.roster(room).keys() == {"ada", "bob"}
    else:
        await bob.sees(room, "bob")
    wire.close()
