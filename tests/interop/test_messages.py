"""Sending: acks, fan-out, order, authors, repeats, ephemeral messages, and what is refused (PROTOCOL 1 to 3)."""

import asyncio
import re
import time

import pytest

from support.clients import both_peers


async def members(connect, server, room, *users):
    """One joined client per user."""
    clients = [await connect(server, user=user) for user in users]
    for client in clients:
        await client.join(room)
    return clients


@both_peers
async def test_everybody_gets_what_is_sent_and_the_sender_an_ack(dev, connect, room):
    ada, bob = await members(connect, dev, room, "ada", "bob")
    before = time.time()
    ack = await ada.request("text", room, {"content": "Hello"}, id="msg_123")
    delivered = ack["data"]
    assert delivered["status"] == "delivered" and delivered["room"] == room and delivered["seq"] == 1
    assert isinstance(delivered["epoch"], str) and "duplicate" not in delivered
    for client in (ada, bob):
        message = await client.take({"type": "text"})
        assert message["id"] == "msg_123" and message["room"] == room and message["seq"] == 1
        assert message["data"] == {"content": "Hello", "author": "ada"}
        assert isinstance(message["timestamp"], float | int)
        assert before - 60 < message["timestamp"] < time.time() + 60
        assert "prev" not in message, "left out when it is seq - 1"
        assert "epoch" not in message


async def test_one_message_is_the_same_for_all(dev, connect, room):
    clients = await members(connect, dev, room, "ada", "bob", "eve")
    await clients[0].text(room, content="Hello", nested={"a": [1, 2.50, None, "ü"]})
    copies = [await client.take({"type": "text"}) for client in clients]
    assert copies[0] == copies[1] == copies[2]
    assert copies[0]["data"]["nested"] == {"a": [1, 2.5, None, "ü"]}


async def test_the_server_writes_without_white_space(dev, connect, room):
    client = await connect(dev)
    raw = []
    receive = client.peer.receive

    async def recorded():
        raw.append(await receive())
        return raw[-1]

    client.peer.receive = recorded
    await client.settled()
    await client.join(room)
    await client.text(room, a={"b": [1, 2]})
    await client.request("nonsense of a type", room)
    assert len(raw) >= 3
    for text in raw:
        outside_strings = re.sub(r'"(\\.|[^"\\])*"', "", text)
        assert not re.search(r"\s", outside_strings), text


async def test_fields_of_the_server_are_not_the_client_s(dev, connect, room):
    (ada,) = await members(connect, dev, room, "ada")
    await ada.send("text", room, {"content": "x"}, seq=99, prev=7, timestamp=1, id="forged")
    message = await ada.take({"type": "text"})
    assert message["seq"] == 1 and "prev" not in message and message["timestamp"] > 1_000_000_000


async def test_absent_data_is_an_empty_object(dev, connect, room):
    (ada,) = await members(connect, dev, room, "ada")
    await ada.send("text", room)
    assert (await ada.take({"type": "text"}))["data"] == {"author": "ada"}


async def test_a_send_without_id_is_not_acked(dev, connect, room):
    (ada,) = await members(connect, dev, room, "ada")
    await ada.send("text", room, {"content": "quiet"})
    message = await ada.take({"type": "text"})
    await ada.settled()
    assert "id" not in message
    assert ada.all({"type": "ack", "data": {"status": "delivered"}}) == []


@both_peers
async def test_concurrent_senders_make_one_order_without_gaps(dev, connect, room):
    users = [f"user{n}" for n in range(8)]
    clients = await members(connect, dev, room, *users)
    each = 50

    async def send(client):
        for number in range(each):
            await client.send("text", room, {"n": number}, id=f"{client.user}-{number}")
        return [(await client.answer(f"{client.user}-{number}"))["data"]["seq"] for number in range(each)]

    positions = await asyncio.gather(*map(send, clients))
    for seqs in positions:
        assert seqs == sorted(seqs), "what one connection sends is sequenced in the order sent"
    expected = list(range(1, len(clients) * each + 1))
    assert sorted(seq for seqs in positions for seq in seqs) == expected
    for client in clients:
        await client.take({"type": "text", "seq": expected[-1]})
        logged = client.logged(room)
        assert [message["seq"] for message in logged] == expected
        assert [message["id"] for message in logged] == [message["id"] for message in clients[0].logged(room)]


async def test_a_repeat_is_known_on_another_connection_of_the_user(dev, connect, room):
    ada, other = await members(connect, dev, room, "ada", "ada")
    await ada.request("text", room, {"content": "once"}, id="same")
    again = await other.request("text", room, {"content": "once"}, id="same")
    assert again["data"]["duplicate"] is True and again["data"]["seq"] == 1


async def test_the_same_id_of_another_user_is_another_message(dev, connect, room):
    ada, bob = await members(connect, dev, room, "ada", "bob")
    await ada.request("text", room, {"content": "x"}, id="same")
    theirs = await bob.request("text", room, {"content": "x"}, id="same")
    assert theirs["data"]["seq"] == 2 and "duplicate" not in theirs["data"]


@pytest.mark.parametrize(
    "type, data",
    [("text", {"content": "else"}), ("note", {"content": "x"}), ("text", {"content": "x", "a": 1})],
)
async def test_the_same_id_with_other_content_is_a_conflict(dev, connect, room, type, data):
    (ada,) = await members(connect, dev, room, "ada")
    await ada.request("text", room, {"content": "x"}, id="same")
    answer = await ada.request(type, room, data, id="same")
    assert answer["type"] == "error" and answer["data"]["code"] == "conflict"
    assert answer["data"]["retryable"] is False
    assert (await ada.text(room, content="next"))["seq"] == 2


@pytest.mark.parametrize(
    "type", ["ack", "system", "error", "message", "open", "Text", "9lives", "a" * 65, "with space", "", "ä"]
)
async def test_types_that_a_client_may_not_send(dev, connect, room, type):
    (ada,) = await members(connect, dev, room, "ada")
    answer = await ada.request(type, room)
    assert answer["type"] == "error" and answer["data"]["code"] == "unknown_type"
    assert answer["data"]["message"] and answer["data"]["retryable"] is False
    await ada.settled()


@pytest.mark.parametrize("type", ["text", "move", "typing", "presence"])
async def test_speaking_in_a_room_needs_a_join(dev, connect, room, type):
    ada = await connect(dev)
    answer = await ada.request(type, room)
    assert answer["type"] == "error" and answer["data"]["code"] == "not_joined"


BAD = [
    "",
    "{",
    "[]",
    "null",
    '"text"',
    "{} {}",
    '{"type":5,"room":"r"}',
    '{"room":"r"}',
    '{"type":"text","room":"ROOM","data":[]}',
    '{"type":"text","room":"ROOM","data":"x"}',
    '{"type":"text","room":"ROOM","data":{"a":1,"a":2}}',
    '{"type":"text","room":"ROOM","data":{"a":1,"\\u0061":2}}',
    '{"type":"text","room":"ROOM","id":5}',
    '{"type":"text","room":"ROOM","id":""}',
    '{"type":"text","room":"ROOM","id":"' + "i" * 65 + '"}',
    '{"type":"text","room":"ROOM","id":"ä"}',
    '{"type":"text","room":"ROOM","id":"a\\u0007b"}',
    '{"type":"text","type":"text","room":"ROOM"}',
    '{"type":"join","room":"ROOM","data":{"since":7}}',
    '{"type":"join","room":"ROOM","data":{"since":{"epoch":"e","seq":-1}}}',
    '{"type":"join","room":"ROOM","data":{"last":-1}}',
    '{"type":"history","room":"ROOM","id":"h","data":{"limit":"many"}}',
    '{"type":"text","room":"ROOM","data":' + '{"a":' * 65 + "1" + "}" * 65 + "}",
]


@pytest.mark.parametrize("frame", BAD, ids=lambda frame: frame[:60])
async def test_what_can_not_be_read_is_told_and_the_connection_lives(dev, connect, room, frame):
    (ada,) = await members(connect, dev, room, "ada")
    await ada.send_raw(frame.replace("ROOM", room))
    error = await ada.take({"type": "error"})
    assert error["data"]["code"] == "bad_request", error
    assert error["data"]["retryable"] is False and len(error["data"]["message"]) > 10
    await ada.settled()
    assert ada.logged(room) == []


@pytest.mark.parametrize("frame", ['{"type":"join","id":"j"}', '{"type":"join","room":5,"id":"j"}'])
async def test_a_room_must_be_named(dev, connect, frame):
    ada = await connect(dev)
    await ada.send_raw(frame)
    assert (await ada.answer("j"))["data"]["code"] in ("bad_request", "invalid_room")


async def test_unknown_fields_are_ignored(dev, connect, room):
    (ada,) = await members(connect, dev, room, "ada")
    ack = await ada.request("text", room, {"content": "x"}, later_version={"a": 1})
    assert ack["data"]["seq"] == 1


async def test_an_error_carries_the_request_s_id_and_room(dev, connect, room):
    ada = await connect(dev)
    error = await ada.request("text", room, id="my-id")
    assert error["id"] == "my-id" and error["room"] == room
