"""Positions: resumed, or reset with a reason; on every transport, and over an end of the server."""

import asyncio
import signal

import pytest

from scenarios.people import publish
from support.participants import RESET, TRANSPORTS, EventStreamInHttp2

SHORT = [{"pattern": "*", "users": ["*"], "history": {"messages": 2}}]


async def reset_of(one):
    """Waits until it is told to reload; returns what it is told."""
    await one.link.until(lambda: one.all(RESET))
    [reset] = one.all(RESET)
    return {key: reset["data"][key] for key in ("room", "reason", "epoch", "seq")}


async def test_a_reader_goes_on_where_it_was(person, room):
    ada, bob = await person("ada"), await person("bob")
    epoch = (await publish(bob, room, 2))["epoch"]
    told = await ada.join(room, since=f"{epoch}.0")
    assert (told["recovered"], told["from"], told["seq"]) == (True, 0, 2)
    await ada.reads(room, 2)
    await ada.cut()
    await publish(bob, room, 3)
    told = await ada.resume()
    assert (told["recovered"], told["from"], told["seq"]) == (True, 2, 5)
    await publish(bob, room)
    await ada.reads(room, 6)
    assert ada.seqs(room) == [1, 2, 3, 4, 5, 6]
    assert ada.all(RESET) == []


async def test_at_the_head_nothing_comes_twice(person, room):
    ada = await person("ada")
    await ada.join(room)
    await publish(ada, room, 3)
    await ada.reads(room, 3)
    await ada.cut()
    told = await ada.resume()
    assert (told["recovered"], told["from"], told["seq"]) == (True, 3, 3)
    await publish(ada, room)
    await ada.reads(room, 4)
    assert ada.seqs(room) == [1, 2, 3, 4]


async def test_since_wins_over_last(person, room):
    ada = await person("ada")
    epoch = (await publish(ada, room, 5))["epoch"]
    told = await ada.join(room, since=f"{epoch}.1", last=1)
    assert (told["recovered"], told["from"]) == (True, 1)
    await ada.reads(room, 5)
    assert ada.seqs(room) == [2, 3, 4, 5]


async def test_a_position_of_every_other_transport_is_good(person, room, transport):
    for number, other in enumerate(one for one in TRANSPORTS.values() if one.secure == transport.secure):
        here = f"{room}:{number}"
        ada, bob = await person("ada", by=other), await person("bob")
        await ada.join(here)
        await publish(bob, here)
        await ada.reads(here, 1)
        await publish(bob, here, 2)
        told = await bob.join(here, since=f"{ada.where(here).partition('.')[0]}.1")
        assert told["recovered"] is True
        await bob.reads(here, 3)
        assert bob.seqs(here) == [2, 3]


@pytest.mark.parametrize("reason", ["epoch", "future", "too_old"])
async def test_what_can_not_be_resumed_is_told_with_its_reason(start, person, room, reason):
    server = start(rooms=SHORT)
    ada, bob = await person("ada", at=server), await person("bob", at=server)
    epoch = (await publish(ada, room, 5))["epoch"]
    since = {"epoch": "another.1", "future": f"{epoch}.9", "too_old": f"{epoch}.1"}[reason]
    told = await ada.join(room, since=since)
    assert (told["recovered"], told["reset"], told["from"], told["epoch"]) == (False, reason, 5, epoch)
    assert await reset_of(ada) == {"room": room, "reason": reason, "epoch": epoch, "seq": 5}
    assert (await bob.join(room, since=f"{epoch}.4"))["recovered"] is True
    await publish(bob, room)
    for one, seqs in ((ada, [6]), (bob, [5, 6])):
        await one.reads(room, 6)
        assert one.seqs(room) == seqs, "and it is for that reader alone"
    await ada.cut()
    await publish(bob, room)
    assert (await ada.resume())["recovered"] is True
    await ada.reads(room, 7)
    assert ada.seqs(room) == [6, 7]


async def test_a_position_of_another_room_shows_nothing_of_it(person, room):
    ada = await person("ada")
    epoch = (await publish(ada, room, 5))["epoch"]
    told = await ada.join(f"{room}:x", since=f"{epoch}.1")
    assert (told["recovered"], told["reset"]) == (False, "epoch")
    await publish(ada, f"{room}:x")
    await ada.reads(f"{room}:x", 1)
    assert ada.logged(room) == []


async def test_a_restart_in_memory_is_a_reset(start, person, room, transport):
    server = start()
    ada = await person("ada", at=server)
    await ada.join(room)
    await publish(ada, room)
    await ada.reads(room, 1)
    server.kill()
    if not transport.is_missed:
        await ada.ended()
    await ada.cut()
    start(port=server.port)
    told = await ada.resume()
    assert (told["recovered"], told["reset"], told["from"]) == (False, "epoch", 0)
    await publish(ada, room)
    await ada.link.until(lambda: ada.seqs(room) == [1, 1])
    assert (await reset_of(ada))["reason"] == "epoch"


async def test_after_a_kill_a_room_on_disk_goes_on_without_a_hole(start, person, room):
    server = start(engine="disk")
    ada, bob = await person("ada", at=server), await person("bob", at=server)
    await ada.join(room)
    await publish(bob, room, 2)
    await ada.reads(room, 2)
    await ada.cut()
    await publish(bob, room, 2)
    server.kill()
    await bob.release()
    start(port=server.port, engine="disk")
    assert (await ada.resume())["recovered"] is True
    again = await person("bob", at=server)
    await publish(again, room)
    await ada.reads(room, 5)
    assert ada.seqs(room) == [1, 2, 3, 4, 5]


async def test_a_stop_is_told_and_a_restart_on_disk_has_no_hole(start, person, room, transport):
    server = start(engine="disk")
    ada, bob = await person("ada", at=server), await person("bob", at=server)
    await ada.join(room)
    await publish(bob, room, 3)
    await ada.reads(room, 3)
    await bob.release()
    server.terminate(signal.SIGTERM)
    why = await ada.ended()
    draining = ada.all({"type": "system", "data": {"event": "draining"}})
    if transport.is_leased:
        assert draining == [] and why in ("unavailable", ""), "a poll ends empty, and the next is not taken"
    elif transport is EventStreamInHttp2:
        assert why in ("draining", "welcome", None), (
            "httpx takes the GOAWAY that announces the end for the end"
        )
    else:
        assert draining, (ada.link.ended, ada.seen)
        assert draining[0]["data"]["reconnect_in"] >= 0
        assert why == ("restart" if transport.is_duplex else "draining")
    await ada.cut()
    assert await asyncio.to_thread(server.wait) == 0
    start(port=server.port, engine="disk")
    assert (await ada.resume())["recovered"] is True
    await publish(ada, room)
    await ada.reads(room, 4)
    assert ada.seqs(room) == [1, 2, 3, 4]
