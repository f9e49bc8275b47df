"""What the guide says of nginx and Caddy is true of them: every transport gets through at once, silence is not cut, and
who is cut comes back with their position."""

import asyncio
import os
import re

import pytest

from proxies.fronts import block
from support.clients import PATIENCE, Client, Closed
from support.participants import EventStreamInHttp2, LongPoll, SecureWebSocket
from support.streams import Browser
from support.tokens import mint

# The longest that a poll is parked; without much time, less than that.
SILENT_SECONDS = 60 if os.environ.get("ROOMCAST_LONG") else 12


class LongPollInHttp2(LongPoll):
    secure, protocols = True, ("h2",)


TRANSPORTS = (SecureWebSocket, EventStreamInHttp2, LongPollInHttp2)


async def readers(person, room):
    """One by each transport, all in the room."""
    every = [await person(transport, transport.__name__) for transport in TRANSPORTS]
    for one in every:
        await one.join(room)
    return every


async def test_every_transport_gets_through_at_once(front, person, room):
    every = await readers(person, room)
    for number, writer in enumerate(every, 1):
        ack = await writer.send(room, data={"from": writer.user})
        assert ack["seq"] == number
        # Nothing comes after it that would push it out of a buffer.
        await asyncio.gather(*(one.reads(room, number) for one in every))
    for one in every:
        assert [message["data"]["author"] for message in one.logged(room)] == [one.user for one in every]
    assert every[1].link.peer.response.http_version == "HTTP/2"
    assert every[2].link.peer.answered_in == "HTTP/2"
    assert every[1].link.peer.response.headers["content-type"].startswith("text/event-stream")


async def test_pages_of_the_same_host_connect_and_no_others(front, server):
    host = "127.0.0.1" if front.name == "nginx" else f"127.0.0.1:{front.port}"
    token = mint("ada")
    own = await Client.open(front, token=token, headers={"Origin": f"https://{host}"})
    assert (await own.take({"type": "system"}))["data"]["user"] == "ada"
    await own.cut()
    foreign = await Client.open(front, token=token, headers={"Origin": "https://elsewhere.example"})
    closed = await foreign.closed()
    assert (closed.code, closed.reason.partition(":")[0]) == (1008, "origin")
    await foreign.drop()


async def test_the_server_hears_who_asks(front, server):
    browser = Browser(front, token="forged")
    answer = await browser.get("/rooms/x/messages", headers={"X-Forwarded-For": "198.51.100.7"})
    assert answer.status_code == 401
    await browser.close()
    server.kill()
    (told,) = [line for line in server.output.splitlines() if "refused a" in line]
    # nginx adds whom it sees, which is one of the trusted here, to what the client claims; Caddy passes no claim on.
    assert ("198.51.100.7" in told) == (front.name == "nginx"), told


async def test_silence_is_not_cut(front, person, room):
    every = await readers(person, room)
    browser = Browser(front, token=mint("waiting"))
    browser.http.timeout = SILENT_SECONDS + PATIENCE
    waiting = await browser.poll(room)
    answer = await browser.poll(room, since=waiting["position"], timeout=SILENT_SECONDS)
    assert answer["messages"] == [], "the poll was parked for all of its time"
    await browser.close()
    last = await every[0].send(room)
    await asyncio.gather(*(one.reads(room, last["seq"]) for one in every))
    assert [len(one.links) for one in every] == [1, 1, 1], "nobody had to come again"


def test_the_proxy_waits_longer_than_any_silence():
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", block("nginx"))
    assert int(seconds) > 60, "the longest that a poll is parked"


async def goes_on(one, room, seq):
    """Reads up to here, as any client does: if it was cut, from where it was."""
    try:
        await one.reads(room, seq)
    except Closed:
        assert (await one.resume())["recovered"] is True
        await one.reads(room, seq)


@pytest.mark.parametrize("how", ["reload", "restart"])
async def test_who_is_cut_by_the_proxy_reads_on(front, server, person, room, how):
    every = await readers(person, room)
    browser = Browser(server, token=mint("writer"))
    await browser.publish(room, n=1)
    await asyncio.gather(*(one.reads(room, 1) for one in every))
    if how == "reload":
        front.reload()
    else:
        front.stop()
        await browser.publish(room, n=2)
        front.start()
    for _ in range(3):
        last = await browser.publish(room)
    await asyncio.gather(*(goes_on(one, room, last["seq"]) for one in every))
    # Whoever was kept comes again as well, through what the proxy is now.
    for one in every:
        await one.cut()
        assert (await one.resume())["recovered"] is True
    last = await browser.publish(room)
    await asyncio.gather(*(one.reads(room, last["seq"]) for one in every))
    assert [one.seqs(room) for one in every] == [list(range(1, last["seq"] + 1))] * 3
    await browser.close()
