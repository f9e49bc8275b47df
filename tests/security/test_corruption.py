"""Bytes that arrive other than they were sent: each connection ends with a code or goes on, and costs nobody else
anything. What TLS would have noticed is told in `scenarios/test_noise.py`."""

import json

import pytest

from support.raw import CLOSE, TEXT, Raw, frame
from support.wire import Noise

SEEDS = range(80)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
# Codes with which somebody may be sent away whose bytes make no sense.
SENT_AWAY = {1000, 1002, 1003, 1007, 1008, 1009}
# Whatever length a spoilt frame claims, so many bytes fill it: a message's limit and more.
FRAME_BYTES = 70_000
# The same for the head and the body of a request.
FILLING = b"\r\n\r\n" + b" " * 1000 + b"\r\n\r\n"


def said(**message):
    return frame(TEXT, json.dumps(message).encode())


def conversation(room):
    """What somebody says who takes part, in many frames."""
    texts = [said(type="text", room=room, id=f"n{n}", data={"content": "x" * n}) for n in range(1, 130, 3)]
    long = said(type="text", room=room, data={"content": "long " * 100})
    return b"".join([said(type="join", room=room), *texts, long, said(type="typing", room=room)])


def outcome(raw):
    """The close code, or "goes on" if everything said is answered in the end; both as well-formed frames."""
    while found := raw.next_frame():
        if found[0] == CLOSE:
            return int.from_bytes(found[1][:2], "big")
        assert found[0] <= 0xA, found
        if b'"last"' in found[1]:
            return "goes on"
    return "a bare end"


@pytest.mark.parametrize("extra", [[], [DEFLATE]], ids=["plain", "deflate"])
async def test_a_spoilt_websocket_ends_with_a_code_or_goes_on(dev, connect, room, extra):
    reader = await connect(dev, user="reader")
    await reader.join(room, presence=False)
    outcomes = set()
    for seed in SEEDS:
        with Raw(dev) as raw:
            raw.upgrade(extra=extra, user="spoilt")
            noise = Noise(seed, every=2000 if seed % 2 else 100)
            ping = said(type="ping", id="pass")
            filling = ping * (FRAME_BYTES // len(ping)) + said(type="ping", id="last")
            raw.send(noise(conversation(f"spoilt:{seed}")) + filling)
            assert noise.turned > 0
            outcomes.add(outcome(raw))
        await reader.text(room, seed=seed)
    assert outcomes - {"goes on"} <= SENT_AWAY, outcomes
    assert {"goes on", 1002} <= outcomes, "the noise is neither harmless nor deadly"
    assert [message["data"]["seed"] for message in reader.logged(room)] == list(SEEDS)
    assert {message["data"]["author"] for message in reader.logged(room)} == {"reader"}


def requests(room):
    body = json.dumps({"type": "text", "id": "one", "data": {"content": "x" * 200}})
    head = "Host: localhost\r\nRoomcast-Session: AAAAAAAAAAAAAAAAAAAAAA\r\n"
    sized = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    return [
        f"POST /rooms/{room}/messages HTTP/1.1\r\n{sized}",
        f"GET /poll/{room}?since=abc.1&timeout=0&presence=1 HTTP/1.1\r\n{head}\r\n",
        f"GET /rooms/{room}/messages?limit=10 HTTP/1.1\r\n{head}\r\n",
        f"GET /events/{room}?last=3 HTTP/1.1\r\n{head}Last-Event-ID: abc.1\r\n\r\n",
        f"GET /ws/{room}?since=abc.1 HTTP/1.1\r\n{head}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ]


async def test_a_spoilt_request_is_answered_as_http_or_not_at_all(dev, connect, room):
    reader = await connect(dev, user="reader")
    await reader.join(room, presence=False)
    statuses = set()
    for seed in SEEDS:
        noise = Noise(seed, every=100)
        for request in requests(f"spoilt:{seed}"):
            with Raw(dev) as raw:
                raw.send(noise(request.encode()) + FILLING)
                status, _, body = raw.response()
                statuses.add(status)
                assert status is None or status < 500, (seed, request, status, body)
        await reader.text(room, seed=seed)
    assert {101, 200, 400} <= statuses, statuses
    assert [message["data"]["seed"] for message in reader.logged(room)] == list(SEEDS)
