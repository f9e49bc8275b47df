"""Positions, resume, reset, history (PROTOCOL sections 2 and 5, SEMANTICS S5)."""

import pytest

from support.clients import both_peers


async def filled(connect, server, room, count):
    """A client that has joined and published `count` messages; and the epoch."""
    client = await connect(server)
    epoch = (await client.join(room))["epoch"]
    for number in range(1, count + 1):
        await client.text(room, n=number)
    return client, epoch


async def next_seqs(client, count):
    return [(await client.take(lambda m: "seq" in m and m["type"] == "text"))["seq"] for _ in range(count)]


@both_peers
@pytest.mark.parametrize("form", ["object", "text"])
async def test_a_reader_resumes_where_it_was(dev, connect, room, form):
    writer, epoch = await filled(connect, dev, room, 5)
    reader = await connect(dev)
    since = {"epoch": epoch, "seq": 2} if form == "object" else f"{epoch}.2"
    ack = await reader.join(room, since=since)
    assert (ack["recovered"], ack["from"], ack["seq"], ack["epoch"]) == (True, 2, 5, epoch)
    assert "reset" not in ack
    assert await next_seqs(reader, 3) == [3, 4, 5]
    await writer.text(room, n=6)
    assert await next_seqs(reader, 1) == [6]
    assert reader.all({"type": "system", "data": {"event": "reset"}}) == []


async def test_a_future_position_changes_nothing_for_others(dev, connect, room):
    writer, epoch = await filled(connect, dev, room, 2)
    await (await connect(dev)).join(room, since={"epoch": epoch, "seq": 10**15})
    assert (await writer.text(room, n=3))["seq"] == 3


async def test_ack_reset_missed_live_is_the_order(dev, connect, room):
    _, epoch = await filled(connect, dev, room, 3)
    reader = await connect(dev)
    await reader.join(room, since="elsewhere.9")
    await reader.take({"type": "system", "data": {"event": "reset"}})
    ours = [m for m in reader.seen if m.get("room") == room or m["data"].get("event") == "reset"]
    kinds = [m["type"] for m in ours if m["type"] != "presence"]
    assert kinds == ["ack", "system"]


async def test_missed_messages_are_followed_by_live_ones_under_load(dev, connect, room):
    writer, epoch = await filled(connect, dev, room, 200)
    for number in range(201, 401):
        await writer.send("text", room, {"n": number})
    reader = await connect(dev)
    await reader.join(room, since={"epoch": epoch, "seq": 0})
    for number in range(401, 601):
        await writer.send("text", room, {"n": number})
    await reader.take({"type": "text", "seq": 600})
    assert [message["seq"] for message in reader.logged(room)] == list(range(1, 601))
    assert [message["data"]["n"] for message in reader.logged(room)] == list(range(1, 601))


@pytest.mark.parametrize("since", ["e", "e.", ".1", "e.x", "e.-1", "x" * 33 + ".1", "ä.1", "e.1.2.x"])
async def test_an_unreadable_position_in_a_join_is_refused(dev, connect, room, since):
    client = await connect(dev)
    answer = await client.request("join", room, {"since": since})
    assert answer["type"] == "error" and answer["data"]["code"] == "bad_request"


async def test_an_unreadable_position_in_the_path_is_a_reset(dev, connect, room):
    client = await connect(dev, path=f"/ws/{room}", since="nonsense")
    joined = await client.take({"type": "ack"})
    assert (joined["data"]["recovered"], joined["data"]["reset"]) == (False, "epoch")
    assert (await client.take({"type": "system"}))["data"]["event"] == "reset"


def page(answer):
    assert answer["type"] == "ack" and answer["data"]["status"] == "history", answer
    return [message["seq"] for message in answer["data"]["messages"]], answer["data"]["complete"]


@both_peers
async def test_pages_of_history(dev, connect, room):
    _, epoch = await filled(connect, dev, room, 10)
    reader = await connect(dev)

    async def history(**data):
        return page(await reader.request("history", room, data))

    assert await history() == (list(range(1, 11)), True)
    assert await history(limit=3) == ([8, 9, 10], False)
    assert await history(limit=3, before={"epoch": epoch, "seq": 8}) == ([5, 6, 7], False)
    assert await history(limit=4, before={"epoch": epoch, "seq": 5}) == ([1, 2, 3, 4], True)
    assert await history(limit=3, since={"epoch": epoch, "seq": 4}) == ([5, 6, 7], False)
    assert await history(limit=3, since=f"{epoch}.7") == ([8, 9, 10], True)
    assert await history(since={"epoch": epoch, "seq": 10}) == ([], True)
    assert await history(before=f"{epoch}.1") == ([], True)


async def test_history_of_a_foreign_epoch_is_a_reset(dev, connect, room):
    _, epoch = await filled(connect, dev, room, 3)
    reader = await connect(dev)
    answer = await reader.request("history", room, {"since": {"epoch": "another", "seq": 1}})
    assert answer["type"] == "ack" and answer["data"]["messages"] == []
    reset = answer["data"]["reset"]
    assert reset == "epoch" or reset["reason"] == "epoch"


async def test_a_page_is_bounded(dev, connect, room):
    await filled(connect, dev, room, 130)
    reader = await connect(dev)
    seqs, complete = page(await reader.request("history", room))
    assert seqs == list(range(31, 131)) and complete is False
    seqs, complete = page(await reader.request("history", room, {"limit": 100_000}))
    assert seqs == list(range(1, 131)) and complete is True


async def test_a_room_outlives_a_blink_of_its_readers(dev, connect, room):
    writer, epoch = await filled(connect, dev, room, 2)
    await writer.close()
    reader = await connect(dev)
    assert (await reader.join(room, since={"epoch": epoch, "seq": 1}))["recovered"] is True
