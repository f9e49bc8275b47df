"""Limits and their named answers (PROTOCOL section 7), and compression (section 6)."""

import asyncio

import pytest

from support.clients import both_peers
from support.raw import Raw

KIB = 1024
ANYBODY = [{"pattern": "*", "anonymous": ["*"]}]


@both_peers
async def test_a_message_over_the_limit_closes_1009(dev, connect, room):
    ada = await connect(dev, deflate=False)
    await ada.join(room)
    await ada.send("text", room, {"content": "x" * 64 * KIB})
    assert (await ada.closed()).code == 1009


@both_peers
@pytest.mark.parametrize("deflate", [False, True])
async def test_a_message_at_the_limit_passes(dev, connect, room, deflate):
    ada = await connect(dev, deflate=deflate)
    await ada.join(room)
    frame = f'{{"type":"text","room":"{room}","data":{{"content":"@"}}}}'
    await ada.send_raw(frame.replace("@", "x" * (64 * KIB - len(frame) + 1)))
    assert (await ada.take({"type": "text"}))["seq"] == 1


@both_peers
async def test_a_binary_frame_closes_1003(dev, connect):
    ada = await connect(dev)
    await ada.send_raw(b'{"type":"ping"}')
    assert (await ada.closed()).code == 1003


async def test_a_connection_joins_a_hundred_rooms_and_no_more(dev, connect, room):
    ada = await connect(dev)
    for number in range(100):
        await ada.send("join", f"{room}:{number}", id=str(number))
    for number in range(100):
        assert (await ada.answer(str(number)))["type"] == "ack"
    error = await ada.request("join", f"{room}:one-more")
    assert error["type"] == "error" and error["data"]["code"] == "too_many_rooms"
    assert error["data"]["retryable"] in (True, False) and error["data"]["retry_after"] > 0
    await ada.request("leave", f"{room}:7")
    await ada.join(f"{room}:one-more")


async def test_over_the_rate_all_sends_are_refused_until_the_time_is_up(serve, connect, room):
    server = serve(rooms=ANYBODY, limits={"sends_per_second": 5, "sends_burst": 5})
    ada = await connect(server)
    await ada.join(room)
    for number in range(20):
        await ada.send("text", room, {"n": number}, id=f"n{number}")
    answers = [await ada.answer(f"n{number}") for number in range(20)]
    kinds = [answer["type"] for answer in answers]
    accepted = kinds.index("error")
    assert accepted >= 5 and kinds == ["ack"] * accepted + ["error"] * (20 - accepted)
    refusal = answers[-1]["data"]
    assert refusal["code"] == "rate_limited" and refusal["retryable"] is True
    assert answers[accepted]["data"]["retry_after"] >= 1 and refusal["retry_after"] > 0
    assert [message["data"]["n"] for message in ada.logged(room)] == list(range(accepted))
    await ada.settled()


async def test_dev_has_no_rate(dev, connect, room):
    ada = await connect(dev)
    await ada.join(room)
    for number in range(1000):
        await ada.send("text", room, {"n": number})
    await ada.take({"type": "text", "seq": 1000})


@both_peers
async def test_more_unacked_sends_than_allowed_are_only_read_later(serve, connect, room):
    server = serve(rooms=ANYBODY, limits={"unacked_sends_max": 4, "sends_per_second": 0})
    ada = await connect(server)
    await ada.join(room)
    for number in range(100):
        await ada.send("text", room, {"n": number}, id=f"n{number}")
    seqs = [(await ada.answer(f"n{number}"))["data"]["seq"] for number in range(100)]
    assert seqs == list(range(1, 101))


async def test_a_peer_that_answers_no_ping_is_let_go(serve, connect, room):
    server = serve(rooms=ANYBODY, limits={"ping_interval_seconds": 1, "pong_timeout_seconds": 1})
    watcher = await connect(server)
    assert watcher.welcome["ping_interval"] == 1
    await watcher.join(room)
    with Raw.joined(server, room) as mute:
        await asyncio.to_thread(mute.ended)
    await watcher.settled()


async def test_limits_are_keys_of_the_configuration(serve, connect, room):
    server = serve(
        rooms=ANYBODY, limits={"message_bytes_max": 512, "json_depth_max": 8, "rooms_per_connection_max": 1}
    )
    ada = await connect(server)
    await ada.join(room)
    error = await ada.request("join", room + "2")
    assert error["data"]["code"] == "too_many_rooms"
    await ada.send_raw(f'{{"type":"text","room":"{room}","data":' + '{"a":' * 9 + "1" + "}" * 10)
    assert (await ada.take({"type": "error"}))["data"]["code"] == "bad_request"
    await ada.send("text", room, {"x": "y" * 600})
    assert (await ada.closed()).code == 1009
