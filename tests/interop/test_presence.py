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


async def test_a_sync_after_joining_replaces_all_that_was_known(dev, connect, room):
    ada = await connect(dev, user="ada")
    joined = await ada.join(room)
    sync = (await ada.take(presence("sync")))["data"]
    assert sync["v"] == joined["v"] and sync["count"] == 1
    assert [member["user"] for member in sync["members"]] == ["ada"]


async def test_nobody_speaks_for_another(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    await bob.request("presence", room, {"user": "ada", "state": {"x": 1}})
    assert (await ada.take(presence("update")))["data"]["user"] == "bob"
    await bob.request("typing", room, {"author": "ada", "user": "ada"})
    assert (await ada.take({"type": "typing"}))["data"]["author"] == "bob"


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
