"""Limits and their named answers (PROTOCOL section 7), and compression (section 6)."""


import pytest

from support.clients import both_peers

KIB = 1024
ANYBODY = [{"pattern": "*", "anonymous": ["*"]}]


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
