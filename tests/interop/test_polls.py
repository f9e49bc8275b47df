"""Rooms by long polling (PROTOCOL sections 4 and 5): each poll is one read at a position."""

import asyncio
import random
import signal
import time
from urllib.parse import quote

import httpx
import pytest

from support import server as servers
from support.clients import PATIENCE, new_session
from support.tokens import mint

OPEN = {"pattern": "*", "anonymous": ["*"]}
PARKED_SECONDS = 20


def seqs(answer):
    return [message["seq"] for message in answer["messages"] if "seq" in message]


async def parked(browser):
    """Waits until a poll is parked, where nobody else reads."""
    async with asyncio.timeout(PATIENCE):
        while await browser.readers() == 0:
            pass


async def filled(browse, server, room, count):
    """Publishes `count` messages; returns the writer and the epoch."""
    writer = browse(server)
    acks = [await writer.publish(room, n=number) for number in range(1, count + 1)]
    return writer, acks[-1]["epoch"]


async def test_without_a_position_it_says_at_once_where_to_begin(dev, browse, room):
    reader, epoch = await filled(browse, dev, room, 3)
    answer = await reader.poll(room)
    standing = {room: {"epoch": epoch, "seq": 3, "from": 3}}
    assert answer == {
        "messages": [], "position": f"{epoch}.3", "recovered": True, "resets": [], "rooms": standing
    }  # fmt: skip


async def test_it_says_who_reads_to_whoever_will_come_again(dev, browse, room):
    bob = browse(dev, user="bob", session=new_session())
    assert (await bob.poll(room))["user"] == "bob"
    assert "user" not in await browse(dev).poll(room), "a guest without a session is another one each time"


async def test_the_newest_n(dev, browse, room):
    reader, epoch = await filled(browse, dev, room, 5)
    answer = await reader.poll(room, last=2)
    assert (seqs(answer), answer["position"]) == ([4, 5], f"{epoch}.5")
    assert seqs(await reader.poll(room, last=2, since=f"{epoch}.1")) == [2, 3, 4, 5], "since wins"


async def test_it_is_parked_until_there_is_something(dev, browse, room):
    reader = browse(dev)
    start = (await reader.poll(room))["position"]
    polling = asyncio.create_task(reader.poll(room, since=start, timeout=PARKED_SECONDS))
    await parked(browse(dev))
    assert not polling.done()
    await browse(dev).publish(room, content="at last")
    answer = await asyncio.wait_for(polling, 5)
    assert seqs(answer) == [1] and answer["messages"][0]["data"]["content"] == "at last"


async def test_after_its_time_it_is_empty_and_the_position_stays(dev, browse, room):
    reader = browse(dev)
    start = (await reader.poll(room))["position"]
    began = time.monotonic()
    answer = await reader.poll(room, since=start, timeout=1)
    assert time.monotonic() - began >= 1
    assert (answer["messages"], answer["position"], answer["recovered"]) == ([], start, True)


async def test_seconds_may_have_fractions(dev, browse, room):
    reader, epoch = await filled(browse, dev, room, 1)
    asked = time.monotonic()
    answer = await reader.poll(room, since=f"{epoch}.1", timeout=0.25)
    assert (answer["messages"], time.monotonic() - asked < 10) == ([], True)


async def test_a_lost_answer_is_asked_for_again(dev, browse, room):
    reader, epoch = await filled(browse, dev, room, 4)
    once, twice = [await reader.poll(room, since=f"{epoch}.1") for _ in range(2)]
    assert once == twice and seqs(once) == [2, 3, 4]


async def test_several_rooms_in_one_poll(dev, browse, room):
    a, b = f"{room}:a=1", f"{room}:b+"
    reader, epoch_a = await filled(browse, dev, a, 3)
    _, epoch_b = await filled(browse, dev, b, 2)
    answer = await reader.poll([a, b])
    position = f"{quote(a, safe='')}={epoch_a}.3,{quote(b, safe='')}={epoch_b}.2"
    assert answer["position"] == position and answer["rooms"].keys() == {a, b}
    await reader.publish(b)
    answer = await reader.poll([a, b], since=position)
    assert [(message["room"], message["seq"]) for message in answer["messages"]] == [(b, 3)]
    await reader.publish(a)
    answer = await reader.poll([a, b], since=answer["position"])
    assert [(message["room"], message["seq"]) for message in answer["messages"]] == [(a, 4)]


async def test_a_room_that_the_position_lacks_starts_at_its_head(dev, browse, room):
    reader, epoch = await filled(browse, dev, room, 3)
    await filled(browse, dev, f"{room}b", 2)
    answer = await reader.poll([room, f"{room}b"], since=f"{quote(room)}={epoch}.1,unknown=x.1")
    assert {(m["room"], m["seq"]) for m in answer["messages"]} == {(room, 2), (room, 3)}
    assert answer["recovered"] is True


@pytest.mark.parametrize("reason", ["epoch", "future", "too_old"])
async def test_a_reset_is_answered_at_once_and_the_poll_goes_on_from_the_head(serve, browse, room, reason):
    server = serve(rooms=[OPEN | {"history": {"messages": 2}}], engine="memory")
    reader, epoch = await filled(browse, server, room, 5)
    since = {"epoch": "other.1", "future": f"{epoch}.9", "too_old": f"{epoch}.1"}[reason]
    answer = await reader.poll(room, since=since)
    assert answer["recovered"] is False and answer["messages"] == []
    assert answer["resets"] == [{"room": room, "reason": reason, "epoch": epoch, "seq": 5}]
    assert answer["position"] == f"{epoch}.5"
    await reader.publish(room)
    answer = await reader.poll(room, since=answer["position"])
    assert seqs(answer) == [6] and answer["recovered"] is True


@pytest.mark.parametrize("since", ["e", "e.", "e.x", "x" * 17_000 + ".1", "a=b"])
async def test_a_position_that_can_not_be_read_is_refused(dev, browse, room, since):
    answer = await browse(dev).get(f"/poll/{room}", since=since)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "bad_request"


async def test_a_parked_poll_gets_what_is_ephemeral(dev, browse, room):
    reader, epoch = await filled(browse, dev, room, 1)
    polling = asyncio.create_task(reader.poll(room, since=f"{epoch}.1", timeout=PARKED_SECONDS))
    await parked(browse(dev))
    await browse(dev).call("POST", f"/rooms/{room}/messages", {"type": "cursor", "volatile": True, "data": {"x": 1}})
    answer = await asyncio.wait_for(polling, 5)
    assert [(m["type"], "seq" in m) for m in answer["messages"]] == [("cursor", False)]
    assert answer["position"] == f"{epoch}.1"


async def test_presence_is_a_lease_and_told_by_its_version(dev, browse, connect, room):
    ada = await connect(dev, user="ada")
    await ada.join(room)
    bob = browse(dev, user="bob", session=new_session())
    answer = await bob.poll(room, presence=1)
    joined = await ada.take({"type": "presence", "data": {"event": "join", "user": "bob"}})
    sync = answer["presence"]
    assert (sync["event"], sync["v"], sync["count"]) == ("sync", joined["data"]["v"], 2)
    quiet = await bob.poll(room, presence=1, since=answer["position"], v=sync["v"], timeout=1)
    assert "presence" not in quiet
    polling = asyncio.create_task(
        bob.poll(room, presence=1, since=answer["position"], v=sync["v"], timeout=PARKED_SECONDS)
    )
    await ada.request("presence", room, {"state": {"mood": "new"}})
    told = (await asyncio.wait_for(polling, 5))["presence"]
    assert told["v"] == sync["v"] + 1
    assert {"mood": "new"} in [member.get("state") for member in told["members"]]
    assert ada.all({"type": "presence", "data": {"event": "leave"}}) == []


async def test_who_goes_while_a_poll_is_parked_stays_away(dev, browse, room):
    bob = browse(dev, user="bob", session="b" * 22)
    answer = await bob.poll(room, presence=1)
    v = answer["presence"]["v"]
    polling = asyncio.create_task(
        bob.poll(room, presence=1, since=answer["position"], v=v, timeout=PARKED_SECONDS)
    )
    await parked(browse(dev))
    await bob.call("DELETE", f"/rooms/{room}/presence")
    assert (await asyncio.wait_for(polling, 5))["presence"]["members"] == []
    assert (await browse(dev, user="ada").call("GET", f"/rooms/{room}/presence")).json()["count"] == 0


async def test_a_crowd_is_told_at_most_once_a_second(serve, browse, connect, room):
    rule = OPEN | {"presence": {"roster_max": 2, "grace_seconds": 0}}
    server = serve(rooms=[rule], engine="memory", limits={"sends_per_second": 0})
    for _ in range(2):
        await (await connect(server)).join(room)
    restless = await connect(server)

    async def come_and_go():
        while True:
            await restless.join(room)
            await restless.request("leave", room)

    coming = asyncio.create_task(come_and_go())
    poller = browse(server, session=new_session())
    answer, begun = await poller.poll(room, presence=1), time.monotonic()
    for _ in range(2):
        v = answer["presence"]["v"]
        answer = await poller.poll(room, presence=1, since=answer["position"], v=v, timeout=PARKED_SECONDS)
        assert answer["presence"]["count"] > 2
    assert time.monotonic() - begun >= 2
    assert not coming.done(), coming
    coming.cancel()


async def test_presence_of_several_rooms_is_told_by_name(dev, browse, room):
    rooms = [f"{room}a=1", f"{room}b+@~"]
    reader = browse(dev, user="bob", session=new_session())
    answer = await reader.poll(rooms, presence=1)
    assert answer["presence"].keys() == set(rooms)
    v = ",".join(f"{name}={sync['v']}" for name, sync in answer["presence"].items())
    again = await reader.poll(rooms, presence=1, v=v)
    assert "presence" not in again
    stale = await reader.poll(rooms, presence=1, v=f"{v}1")
    assert stale["presence"].keys() == {rooms[1]}


async def test_what_is_refused(serve, browse, room):
    server = serve()
    anyone = browse(server)

    async def answer(path, **query):
        response = await anyone.get(path, **query)
        return response.status_code, response.json()["code"]

    good = mint(rooms={"r*": ["join"]})
    assert await answer(f"/poll/{room}") == (401, "unauthorized")
    assert await answer("/poll/other", token=good) == (403, "forbidden")
    assert await answer(f"/poll/{room}", token=good, last=1) == (403, "forbidden")
    assert await answer("/poll/no%20room", token=good) == (400, "invalid_room")
    many = "&".join(f"room=r{number}" for number in range(33))
    response = await anyone.http.get(f"/poll?{many}&token={good}")
    assert (response.status_code, response.json()["code"]) == (429, "too_many_rooms")
    assert await answer(f"/poll/{room}", token=mint(seconds=-1)) == (401, "token_expired")


async def test_a_token_that_ends_while_parked_ends_the_poll_empty(serve, browse, room):
    server = serve()
    reader = browse(server, token=mint("ada", seconds=None, exp=time.time() + 2))
    start = (await reader.poll(room))["position"]
    answer = await asyncio.wait_for(reader.poll(room, since=start, timeout=PARKED_SECONDS), 10)
    assert (answer["messages"], answer["position"]) == ([], start)
    refused = await reader.get(f"/poll/{room}", since=start)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")


async def test_a_stop_ends_a_parked_poll(browse, room):
    server = servers.dev()
    reader = browse(server)
    start = (await reader.poll(room))["position"]
    polling = asyncio.create_task(reader.poll(room, since=start, timeout=PARKED_SECONDS))
    await parked(browse(server))
    server.terminate(signal.SIGTERM)
    answer = await asyncio.wait_for(polling, 12)
    assert (answer["messages"], answer["position"]) == ([], start)
    assert await asyncio.to_thread(server.wait) == 0


async def test_a_thousand_messages_with_random_cuts_come_once_and_in_order(dev, browse, room):
    """The reader loses every third answer, some while parked, and asks again."""
    writer, reader, chance = browse(dev), browse(dev), random.Random(7)
    position, got = (await reader.poll(room))["position"], []

    async def write():
        for first in range(0, 1000, 4):
            batch = [{"type": "text", "data": {"n": first + n}} for n in range(4)]
            answer = await writer.call("POST", f"/rooms/{room}/messages", batch)
            assert answer.status_code == 200

    writing = asyncio.create_task(write())
    while len(got) < 1000:
        cut = chance.random() < 0.3
        try:
            patience = chance.random() / 50 if cut else PATIENCE
            answer = await asyncio.wait_for(reader.poll(room, since=position), patience)
        except (TimeoutError, httpx.HTTPError):
            assert cut
            continue
        if chance.random() < 0.3:
            continue
        position = answer["position"]
        got += [(message["seq"], message["data"]["n"]) for message in answer["messages"]]
        assert answer["recovered"] is True
    await writing
    assert got == [(n + 1, n) for n in range(1000)]
