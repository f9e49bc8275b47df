"""Joining, sending, acks, order, repeats and what is ephemeral."""

import asyncio
import re

import pytest

from scenarios.people import everybody_reads, publish, refusal
from support.participants import TRANSPORTS, Refused, WebTransport

EPOCH = re.compile(r"[A-Za-z0-9_-]{1,32}")


async def test_a_join_is_told_where_the_room_stands(person, room):
    ada = await person("ada")
    told = await ada.join(room)
    assert EPOCH.fullmatch(told["epoch"]) and told["epoch"] != "0"
    assert (told["seq"], told["from"], told["recovered"]) == (0, 0, False)
    assert "reset" not in told
    await ada.send(room)
    bob = await person("bob")
    assert (await bob.join(room))["seq"] == 1
    await bob.send(room)
    await bob.reads(room, 2)
    assert bob.seqs(room) == [2], "without a position it starts at the head"


async def test_everybody_gets_what_is_sent_and_the_sender_an_ack(person, room):
    ada, bob = await person("ada"), await person("bob")
    told = await ada.join(room)
    await bob.join(room)
    ack = await ada.send(room, "text", {"content": "Hello"}, id="msg_123")
    timestamp = ack.pop("timestamp")
    assert ack == {"status": "delivered", "room": room, "seq": 1, "epoch": told["epoch"]}
    for one in (ada, bob):
        message = await one.take({"type": "text"})
        assert message == {
            "type": "text", "id": "msg_123", "room": room, "seq": 1,
            "data": {"content": "Hello", "author": "ada"}, "timestamp": timestamp,
        }  # fmt: skip


async def test_an_application_s_own_type_is_like_text(person, room):
    ada = await person("ada")
    await ada.join(room)
    assert (await ada.send(room, "game.move_2-b", {"to": "e4"}))["seq"] == 1
    assert (await ada.take({"type": "game.move_2-b"}))["data"] == {"to": "e4", "author": "ada"}


async def test_the_newest_n_come_first(person, room):
    ada, bob = await person("ada"), await person("bob")
    for _ in range(5):
        await say(ada, room)
    told = await bob.join(room, last=2)
    assert (told["seq"], told["from"], told["recovered"]) == (5, 3, False)
    await say(ada, room)
    await bob.reads(room, 6)
    assert bob.seqs(room) == [4, 5, 6]


async def say(one, room, **data):
    """Says something, having come into the room if it must."""
    if one.is_duplex and room not in one.rooms:
        await one.join(room)
    return await one.send(room, "text", data)


async def test_several_rooms_on_one_connection(person, room):
    rooms = [f"{room}:a=1", f"{room}:b+@~", f"{room}:c"]
    ada, bob = await person("ada"), await person("bob")
    told = await ada.join(*rooms)
    assert told.keys() == set(rooms)
    for name in rooms:
        await say(bob, name)
    for name in rooms:
        await ada.reads(name, 1)
    await ada.cut()
    for name in rooms:
        await say(bob, name)
    await ada.resume()
    for name in rooms:
        await ada.reads(name, 2)
        assert ada.seqs(name) == [1, 2]


async def test_after_leaving_nothing_of_the_room_comes(person, room):
    kept = f"{room}:kept"
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room, kept)
    await bob.join(room)
    await ada.leave(room)
    await bob.send(room)
    await bob.reads(room, 1)
    await say(bob, kept)
    await ada.reads(kept, 1)
    assert ada.logged(room) == []


async def test_concurrent_senders_make_one_order_without_gaps(person, room):
    people = [await person(f"user{number}") for number in range(4)]
    for one in people:
        await one.join(room)

    async def send(one):
        return [(await one.send(room, "text", {"n": number}))["seq"] for number in range(25)]

    acked = await asyncio.gather(*map(send, people))
    assert all(seqs == sorted(seqs) for seqs in acked)
    assert sorted(seq for seqs in acked for seq in seqs) == list(range(1, 101))
    for one in people:
        await one.reads(room, 100)
        assert one.seqs(room) == list(range(1, 101))
        assert one.logged(room) == people[0].logged(room)


async def test_a_repeat_gets_the_first_position(person, room):
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room)
    await bob.join(room)
    first = await ada.send(room, "text", {"content": "once"}, id="same")
    for is_cut in (False, True):
        if is_cut:
            await ada.cut()
            await ada.resume()
        again = await ada.send(room, "text", {"content": "once"}, id="same")
        assert again["duplicate"] is True
        assert (again["seq"], again["epoch"]) == (first["seq"], first["epoch"])
    assert await refusal(ada.send(room, "text", {"content": "else"}, id="same")) == "conflict"
    await ada.send(room, "text", {"content": "after"})
    await bob.reads(room, 2)
    assert [message["data"]["content"] for message in bob.logged(room)] == ["once", "after"]


async def test_a_volatile_message_has_no_position(person, room, transport):
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room)
    await bob.join(room)
    await everybody_reads(room, ada, bob)
    ack = await ada.send(room, "cursor", {"x": 1}, volatile=True)
    assert (ack["status"], ack["room"]) == ("delivered", room)
    assert "seq" not in ack and "epoch" not in ack
    message = await bob.take({"type": "cursor"})
    assert "seq" not in message and message["data"] == {"x": 1, "author": "ada"}
    if transport is WebTransport:
        assert bob.link.peer.datagrams == 1
    assert (await ada.send(room))["seq"] == 1
    kept = (await ada.history(room))["messages"]
    assert [message["type"] for message in kept] == ["text"]


async def test_history_is_the_messages_as_they_were(person, room):
    ada = await person("ada")
    told = await ada.join(room)
    for _ in range(5):
        await ada.send(room)
    await ada.reads(room, 5)
    page = await ada.history(room)
    assert (page["messages"], page["complete"]) == (ada.logged(room), True)
    page = await ada.history(room, limit=2, before=f"{told['epoch']}.4")
    assert ([message["seq"] for message in page["messages"]], page["complete"]) == ([2, 3], False)
    page = await ada.history(room, limit=3, since=f"{told['epoch']}.2")
    assert ([message["seq"] for message in page["messages"]], page["complete"]) == ([3, 4, 5], True)


async def test_what_can_not_be_read_is_told_and_harms_nothing(person, room):
    ada = await person("ada")
    await ada.join(room)
    head = f'{{"id":"said","room":"{room}",'
    for rest, code in [
        ('"type":"system"}', "unknown_type"),
        ('"type":"Text"}', "unknown_type"),
        ('"type":"text","data":[]}', "bad_request"),
        ('"type":"text","data":{"a":1,"\\u0061":2}}', "bad_request"),
    ]:
        assert await refusal(ada.say(room, head + rest)) == code, rest
    assert (await ada.send(room))["seq"] == 1


@pytest.mark.parametrize("name", ["a b", "ä", "r" * 129, "a*", 'a"'])
async def test_what_is_no_room_s_name_is_told(person, name):
    ada = await person("ada")
    assert await refusal(ada.join(name)) == "invalid_room"


async def test_every_transport_tells_the_same(person, room, transport, shared):
    """One of the transports says it; all of the same server read it."""
    others = [one for one in TRANSPORTS.values() if one.secure == transport.secure]
    people = [await person(f"user{number}", by=one) for number, one in enumerate(others)]
    for one in people:
        await one.join(room)
    speaker = await person("speaker")
    for number in range(20):
        await say(speaker, room, n=number)
    for one in people:
        await one.reads(room, 20)
        assert one.logged(room) == people[0].logged(room)
        assert one.seqs(room) == list(range(1, 21))


async def test_one_room_by_its_path(person, room, transport):
    ada, bob = await person("ada"), await person("bob")
    epoch = (await publish(bob, room, 3))["epoch"]
    told = await ada.enter(room, since=f"{epoch}.1", presence=0)
    assert (told["recovered"], told["from"], told["seq"]) == (True, 1, 3)
    await ada.reads(room, 3)
    assert ada.seqs(room) == [2, 3]
    assert (await ada.members(room))["count"] == 0, "it only reads"
    told = await bob.enter(room, last=1)
    await bob.reads(room, 3)
    assert (bob.seqs(room), told["from"]) == ([3], 2)
    if transport.is_duplex:
        assert (await bob.send(None, "text", {"x": 1}))["room"] == room, "which room need not be said"


async def test_a_path_that_leads_nowhere(person, room, transport):
    rights = {"mine:*": ["join"]}
    for path, wants, code in [
        (f"else:{room}", {}, "forbidden"),
        (f"mine:{room}", {"last": 1}, "forbidden"),
        ("no room", {}, "invalid_room"),
    ]:
        ada = await person("ada", rooms=rights)
        with pytest.raises(Refused) as refused:
            await ada.enter(path, **wants)
        assert (refused.value.code, refused.value.closed) == (code, 1008 if transport.is_duplex else None)
        if transport.is_duplex:
            assert ada.link.welcome["user"] == "ada", "welcome comes before the close"
