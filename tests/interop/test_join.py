"""Welcome, join, leave, and the connection bound to one room (PROTOCOL sections 1 to 4)."""

import asyncio
import base64
import hashlib
import re

from support.clients import both_peers, new_session

EPOCH = re.compile(r"[A-Za-z0-9_-]{1,32}")


@both_peers
async def test_welcome_comes_first_and_says_who_one_is(dev, connect):
    client = await connect(dev, user="ada")
    first = client.seen[0]
    assert first["type"] == "system" and first["data"]["event"] == "welcome"
    welcome = client.welcome
    assert welcome["user"] == "ada"
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", welcome["session"])
    assert isinstance(welcome["version"], (int, str)) and welcome["ping_interval"] == 20


async def test_a_session_minted_by_the_client_is_kept(dev, connect):
    session = new_session()
    assert (await connect(dev, session=session)).welcome["session"] == session


async def test_a_session_may_come_in_a_header(dev, connect):
    session = new_session()
    client = await connect(dev, headers={"Roomcast-Session": session})
    assert client.welcome["session"] == session


async def test_a_guest_is_named_after_the_session(dev, connect):
    session = new_session()
    digest = hashlib.sha256(session.encode()).digest()
    name = (await connect(dev, session=session)).user
    assert name.lower() == "guest_" + base64.b32encode(digest).decode()[:10].lower()
    assert (await connect(dev, session=session)).user == name
    assert (await connect(dev)).user != name


@both_peers
async def test_the_sub_protocol_is_agreed_on(dev, connect):
    client = await connect(dev, protocols=["roomcast.v1"])
    assert client.peer.protocol == "roomcast.v1"


@both_peers
async def test_a_join_is_acked_with_the_state_of_the_room(dev, connect, room):
    ada = await connect(dev, user="ada")
    ack = await ada.request("join", room, id="first-join")
    assert ack["type"] == "ack" and ack["room"] == room
    data = ack["data"]
    assert data["status"] == "joined" and data["room"] == room
    assert EPOCH.fullmatch(data["epoch"]) and data["epoch"] != "0"
    assert (data["seq"], data["from"], data["recovered"]) == (0, 0, False)
    assert "reset" not in data
    assert 0 <= data["v"] < 2**48 + 1000
    assert data["count"] == 1
    assert [member["user"] for member in data["members"]] == ["ada"]


async def test_members_in_the_ack_carry_state_and_connections(dev, connect, room):
    ada = await connect(dev, user="ada")
    await ada.join(room, state={"mood": "fine"})
    joined = await (await connect(dev, user="bob")).join(room)
    members = {member["user"]: member for member in joined["members"]}
    assert set(members) == {"ada", "bob"} and joined["count"] == 2
    assert members["ada"]["state"] == {"mood": "fine"} and members["ada"]["connections"] == 1


async def test_joining_twice_is_idempotent(dev, connect, room):
    ada = await connect(dev, user="ada")
    first = await ada.join(room)
    again = await ada.join(room)
    assert again["epoch"] == first["epoch"] and again["count"] == 1
    await ada.text(room, content="once")
    await ada.settled()
    assert len(ada.logged(room)) == 1


async def test_join_leave_and_ping_are_acked_without_an_id(dev, connect, room):
    ada = await connect(dev)
    await ada.send("join", room)
    await ada.send("ping")
    await ada.send("leave", room)
    for status in ("joined", "pong", "left"):
        ack = await ada.take({"type": "ack", "data": {"status": status}})
        assert "id" not in ack


@both_peers
async def test_a_connection_bound_to_one_room(dev, connect, room):
    ada = await connect(dev, f"/ws/{room}", user="ada")
    ack = await ada.take({"type": "ack"})
    assert "id" not in ack and ack["data"]["status"] == "joined" and ack["data"]["room"] == room
    assert ada.seen[1] == ack, "the ack comes right after welcome"
    delivered = await ada.text(None, content="no room named")
    assert delivered["room"] == room
    assert (await ada.take({"type": "text"}))["room"] == room


async def test_what_is_not_a_room_s_name(dev, connect):
    ada = await connect(dev)
    for name in ("", "a b", "a/b", "ä", "r" * 129, "a*", "a\n", 'a"'):
        answer = await ada.request("join", name)
        assert answer["type"] == "error" and answer["data"]["code"] == "invalid_room", name
    everything = "Az09_.:@~=+-" + "x" * 116
    assert (await ada.join(everything))["room"] == everything


async def test_many_join_at_once(dev, connect, room):
    clients = await asyncio.gather(*(connect(dev, user=f"user{n}") for n in range(50)))
    acks = await asyncio.gather(*(client.join(room) for client in clients))
    assert len({ack["epoch"] for ack in acks}) == 1
    assert max(ack["count"] for ack in acks) == 50
