"""Who is here and who is typing (PROTOCOL sections 2 and 3, SEMANTICS S12)."""

import aiohttp
import pytest

from support.clients import both_peers, new_session

AT_ONCE = 5  # seconds; well under the grace of 10 s that an abrupt loss has


def presence(event, user=None):
    shape = {"type": "presence", "data": {"event": event}}
    if user:
        shape["data"]["user"] = user
    return shape


def versions(client, room):
    """The roster's versions as told by changes, in the order they came."""
    changes = ("join", "leave", "update")
    messages = client.all({"type": "presence", "room": room})
    return [message["data"]["v"] for message in messages if message["data"]["event"] in changes]


@both_peers
async def test_a_join_and_a_leave_are_told_to_the_others(dev, connect, room):
    ada = await connect(dev, user="ada")
    v = (await ada.join(room))["v"]
    bob = await connect(dev, user="bob")
    await bob.join(room, state={"mood": "new"})
    joined = (await ada.take(presence("join", "bob")))["data"]
    assert joined["v"] == v + 1 and joined["count"] == 2
    assert joined["state"] == {"mood": "new"} and joined["connections"] == 1
    await bob.request("leave", room)
    left = (await ada.take(presence("leave", "bob"), AT_ONCE))["data"]
    assert left["v"] == v + 2 and left["count"] == 1


@both_peers
async def test_a_clean_close_is_a_leave_at_once(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    await bob.close(1000)
    await ada.take(presence("leave", "bob"), AT_ONCE)


@pytest.mark.parametrize("way", ["cut", "reload"])
async def test_an_abrupt_loss_is_told_after_the_grace(serve, connect, room, way):
    rules = [{"pattern": "*", "anonymous": ["*"], "presence": {"grace_seconds": 1}}]
    server = serve(rooms=rules)
    ada, bob = await connect(server), await connect(server)
    await ada.join(room)
    await bob.join(room)
    await (bob.cut() if way == "cut" else bob.close(1001))
    left = await ada.take(presence("leave", bob.user))
    assert left["data"]["count"] == 1


async def test_coming_back_within_the_grace_is_neither_leave_nor_join(dev, connect, room):
    ada, session = await connect(dev, user="ada"), new_session()
    await ada.join(room)
    bob = await connect(dev, user="bob", session=session)
    await bob.join(room)
    await ada.take(presence("join", "bob"))
    await bob.cut()
    bob = await connect(dev, user="bob", session=session)
    await bob.join(room)
    await bob.request("leave", room)
    await ada.take(presence("leave", "bob"), AT_ONCE)
    assert len(ada.all(presence("join", "bob"))) == 1
    assert len(ada.all(presence("leave", "bob"))) == 1


async def test_a_second_tab_is_no_second_join(dev, connect, room):
    ada = await connect(dev, user="ada")
    await ada.join(room)
    first, second = await connect(dev, user="bob"), await connect(dev, user="bob")
    await first.join(room)
    joined = await second.join(room)
    assert joined["count"] == 2
    assert {member["user"]: member["connections"] for member in joined["members"]} == {"ada": 1, "bob": 2}
    await first.close(1000)
    await second.text(room, content="still here")
    await ada.take({"type": "text"})
    await ada.settled()
    assert len(ada.all(presence("join", "bob"))) == 1
    assert ada.all(presence("leave", "bob")) == []
    await second.close(1000)
    await ada.take(presence("leave", "bob"), AT_ONCE)


@both_peers
async def test_a_state_is_told_and_kept(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    v = (await ada.join(room))["v"]
    await bob.join(room)
    ack = await bob.request("presence", room, {"state": {"away": True}})
    assert ack["type"] == "ack" and ack["data"]["status"] == "ok"
    update = (await ada.take(presence("update", "bob")))["data"]
    assert update["state"] == {"away": True} and update["v"] == v + 2
    joined = await (await connect(dev, user="eve")).join(room)
    assert {"away": True} in [member.get("state") for member in joined["members"]]


async def test_the_roster_s_versions_have_no_hole(dev, connect, room):
    ada = await connect(dev, user="ada")
    v = (await ada.join(room))["v"]
    for number in range(10):
        guest = await connect(dev, user=f"guest{number}")
        await guest.join(room)
        await guest.request("presence", room, {"state": {"n": number}})
        await guest.request("leave", room)
        await ada.take(presence("leave", f"guest{number}"))
    assert versions(ada, room) == list(range(v + 1, v + 31))


async def test_a_sync_after_joining_replaces_all_that_was_known(dev, connect, room):
    ada = await connect(dev, user="ada")
    joined = await ada.join(room)
    sync = (await ada.take(presence("sync")))["data"]
    assert sync["v"] == joined["v"] and sync["count"] == 1
    assert [member["user"] for member in sync["members"]] == ["ada"]


async def test_a_state_too_large_is_refused(dev, connect, room):
    ada = await connect(dev)
    await ada.join(room)
    error = await ada.request("presence", room, {"state": {"x": "y" * 1100}})
    assert error["type"] == "error" and error["data"]["code"] == "too_large"
    assert (await ada.request("presence", room, {"state": {"x": "y" * 900}}))["type"] == "ack"


async def test_nobody_speaks_for_another(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    await bob.request("presence", room, {"user": "ada", "state": {"x": 1}})
    assert (await ada.take(presence("update")))["data"]["user"] == "bob"
    await bob.request("typing", room, {"author": "ada", "user": "ada"})
    assert (await ada.take({"type": "typing"}))["data"]["author"] == "bob"


async def test_beyond_roster_max_only_the_number_is_told(serve, connect, room):
    server = serve(rooms=[{"pattern": "*", "anonymous": ["*"], "presence": {"roster_max": 3}}])
    watcher = await connect(server)
    await watcher.join(room)
    others = [await connect(server) for _ in range(5)]
    for other in others:
        await other.join(room)
    counted = await watcher.take(lambda m: m["type"] == "presence" and m["data"].get("count") == 6)
    assert counted["data"]["event"] == "count"


@both_peers
async def test_typing_is_told_to_the_others_only(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    ack = await ada.request("typing", room)
    assert ack["data"]["status"] == "ok"
    typing = await bob.take({"type": "typing"})
    assert typing["room"] == room and typing["data"]["author"] == "ada" and typing["data"]["typing"] is True
    assert "seq" not in typing
    await ada.settled()
    assert ada.all({"type": "typing"}) == []


async def test_typing_renewed_at_once_is_told_once_and_ended_by_word(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    for _ in range(5):
        await ada.request("typing", room)
    await ada.request("typing", room, {"typing": False})
    await bob.take({"type": "typing", "data": {"typing": False}})
    assert [message["data"]["typing"] for message in bob.all({"type": "typing"})] == [True, False]


@pytest.mark.parametrize("end", ["lease", "leave", "close"])
async def test_typing_ends_by_itself(dev, connect, room, end):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    await ada.request("typing", room)
    await bob.take({"type": "typing", "data": {"author": "ada", "typing": True}})
    if end == "leave":
        await ada.request("leave", room)
    elif end == "close":
        await ada.close(1000)
    patience = 8 if end == "lease" else 3
    await bob.take({"type": "typing", "data": {"author": "ada", "typing": False}}, patience)


async def test_the_end_of_a_poll_says_nothing_of_typing(dev, connect, room):
    reader = await connect(dev)
    ack = await reader.join(room)
    session = new_session()
    async with aiohttp.ClientSession(dev.http, headers={"Roomcast-Session": session}) as http:
        await http.post(f"/rooms/{room}/typing", json={"typing": True})
        await reader.take({"type": "typing", "data": {"typing": True}})
        await reader.text(room, n=1)
        async with http.get(f"/poll/{room}?since={ack['epoch']}.0") as poll:
            assert [message["seq"] for message in (await poll.json())["messages"]] == [1]
        await reader.text(room, n=2)
        await reader.take({"type": "text", "data": {"n": 2}})
    assert reader.all({"type": "typing", "data": {"typing": False}}) == []
