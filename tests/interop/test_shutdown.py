"""An orderly stop (SEMANTICS S14): told, then closed in waves, nothing acked is undecided."""

import asyncio
import signal
import time

import pytest
from websockets.exceptions import WebSocketException

from support import server as servers
from support.clients import Closed, both_peers


@pytest.fixture
def stopping():
    server = servers.dev()
    yield server
    if server.alive:
        server.kill()


@both_peers
@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_told_then_closed_1012(stopping, connect, room, word):
    clients = [await connect(stopping) for _ in range(10)]
    for client in clients:
        await client.join(room)
    stopping.terminate(word)
    told = [
        (await client.take({"type": "system", "data": {"event": "draining"}}))["data"] for client in clients
    ]
    assert all(draining["reconnect_in"] >= 0 for draining in told)
    assert len({draining["reconnect_in"] for draining in told}) > 1, (
        "spread, so that not all come back at once"
    )
    closes = await asyncio.gather(*(client.closed() for client in clients))
    assert {closed.code for closed in closes} == {1012}
    assert stopping.wait() == 0


async def test_it_ends_once_the_last_connection_has(stopping, connect):
    ada = await connect(stopping)
    started = time.monotonic()
    stopping.terminate()
    await ada.closed()
    await asyncio.to_thread(stopping.wait)
    assert time.monotonic() - started < 5, "well before the 10 s that an orderly stop may take"


async def test_every_publish_in_flight_is_decided(stopping, connect, room):
    ada, bob = await connect(stopping), await connect(stopping)
    await ada.join(room)
    await bob.join(room)
    for number in range(200):
        await ada.send("text", room, {"n": number}, id=f"n{number}")
    await ada.answer("n0")
    stopping.terminate()
    for client in (ada, bob):
        await client.closed()
    acked = {m["data"]["seq"] for m in ada.all({"type": "ack", "data": {"status": "delivered"}})}
    delivered = {message["seq"] for message in bob.logged(room)}
    assert acked <= delivered, "what was acked has been handed to fan-out"


async def test_a_stopping_server_takes_nobody_in(stopping, connect, room):
    ada = await connect(stopping)
    stopping.terminate()
    await ada.take({"type": "system", "data": {"event": "draining"}})
    with pytest.raises((OSError, EOFError, Closed, WebSocketException)):
        await connect(stopping)
    await ada.closed()
    assert stopping.wait() == 0
