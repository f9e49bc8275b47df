"""A reader that takes nothing for a while: it costs the others nothing, and lacks nothing that it isn't told of."""

import asyncio
import secrets

from scenarios.people import publish
from support.clients import PATIENCE
from support.participants import RESET

# Little is on the way; what else waits, waits in the log.
SMALL = {"send_buffer_bytes": 4096}
# Nothing that can be compressed.
PAD = secrets.token_urlsafe(3750)


async def stalled(person, server, room, transport):
    """Somebody who has read one message and is stalled, and somebody who isn't."""
    wire = await transport.wire.open(server)
    ada, bob = await person("ada", at=server, port=wire.port), await person("bob", at=server)
    await ada.join(room)
    await bob.join(room)
    await publish(bob, room)
    await ada.reads(room, 1)
    wire.stall()
    return wire, ada, bob


async def publish_much(one, room, batches):
    """Ten messages of 5 KB to a batch."""
    for _ in range(batches):
        await one.http("POST", f"/rooms/{room}/messages", [{"type": "text", "data": {"pad": PAD}}] * 10)


async def test_it_catches_up_with_all_it_missed(start, person, room, transport):
    server = start(server=SMALL)
    wire, ada, bob = await stalled(person, server, room, transport)
    await publish_much(bob, room, 20)
    await bob.reads(room, 201)
    wire.flow()
    await ada.reads(room, 201)
    for one in (ada, bob):
        assert one.seqs(room) == list(range(1, 202))
        assert one.all(RESET) == []
    wire.close()


async def test_what_the_log_no_longer_has_is_told(start, person, room, transport):
    server = start(server=SMALL, rooms=[{"pattern": "*", "users": ["*"], "history": {"messages": 10}}])
    wire, ada, bob = await stalled(person, server, room, transport)
    await publish_much(bob, room, 60)
    wire.flow()
    await ada.link.until(lambda: ada.where(room).endswith(".601"))
    await publish(bob, room)
    await ada.reads(room, 602)
    resets = ada.all(RESET)
    assert resets and {reset["data"]["reason"] for reset in resets} == {"too_old"}
    at = 0
    for message in ada.seen:
        if message in resets:
            assert message["data"]["seq"] >= at
            at = message["data"]["seq"]
        elif message.get("room") == room and "seq" in message:
            assert message["seq"] == at + 1, "never a silent skip"
            at += 1
    await ada.sees(room, "ada", "bob")
    wire.close()


async def test_who_takes_nothing_for_too_long_is_cut_and_goes_on_later(start, person, room, transport):
    rules = [{"pattern": "*", "users": ["*"], "presence": {"grace_seconds": 0}}]
    server = start(server=SMALL, rooms=rules, limits={"write_stall_timeout_seconds": 1})
    wire, ada, bob = await stalled(person, server, room, transport)
    open_files = server.open_files
    await publish_much(bob, room, 20)
    # It is cut while it still takes nothing. Who polls stays a member for its lease; its connection goes.
    if transport.is_leased:
        async with asyncio.timeout(PATIENCE):
            while server.open_files >= open_files:
                await bob.http("GET", "/healthz")
    else:
        await bob.sees(room, "bob")
    wire.flow()
    await bob.reads(room, 201)
    if not transport.is_missed:
        await ada.link.closed()
    await ada.cut()
    told = await ada.resume()
    assert told["recovered"] is True
    await ada.reads(room, 201)
    assert ada.seqs(room) == list(range(1, 202))
    wire.close()
