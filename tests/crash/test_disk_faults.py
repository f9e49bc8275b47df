"""A disk that is full, fails, hangs, or loses at a power cut what was not synced: a clear error, never a wrong answer,
and nothing acked lost (SEMANTICS S3, S8, S10)."""

import asyncio
import contextlib
import json
import random
import re

import pytest
import pytest_asyncio

from crash.load import EVERY_END, KILLS, ROOMS, RUNS, epochs, killed_under_load, seed_of
from support import server as servers
from support.clients import Closed
from support.disk import FaultyDisk
from support.streams import Browser, EventsPeer
from support.verdict import judge


# More than SQLite has in memory once it has looked where a room stands.
LARGE_MESSAGES = 20
LARGE_BYTES = 20_000


@pytest.fixture
def disk(tmp_path):
    """A disk in order, until it is told otherwise."""
    return FaultyDisk(tmp_path)


def start_on(disk, **rule):
    """A server on it, for everybody; rooms named `loose:` are synced after their acks."""
    anybody = {"pattern": "*", "anonymous": ["*"], **rule}
    loose = {"pattern": "loose:*", "anonymous": ["*"], "durability": "interval"}
    limits = {
        "sends_per_second": 0,
        "degraded_after_seconds": 1,
        "append_timeout_seconds": 1,
        "idle_room_kept_seconds": 1,
    }
    changes = {
        "server": servers.TLS,
        "rooms": [loose, anybody],
        "limits": limits,
        "disk": {"read_timeout_seconds": 1},
    }
    return servers.serve(disk.folder, environment=disk.environment, **changes)


@pytest.fixture
def machine(disk):
    """A server whose power can be cut, and that starts again then. One thread serves all, so that whoever holds it up is
    noticed."""
    disk.environment["TOKIO_WORKER_THREADS"] = "1"
    with Machine(disk, random.Random(seed_of("machine"))) as machine:
        yield machine


class Machine:
    def __init__(self, disk, rng):
        self.disk, self.rng = disk, rng
        self.server = start_on(disk)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()
        assert "panicked" not in self.server.output, self.server.output

    def lose_power(self):
        """Everything is as after a power cut, and the disk in order again."""
        self.server.kill()
        self.disk.cut_power(self.rng)
        self.disk.order("none")
        self.server = start_on(self.disk)


class Talk:
    """One room: what it was asked to take, and what it has."""

    def __init__(self, machine, room):
        self.machine, self.room, self.acked = machine, room, {}
        self.epoch = None

    async def call(self, method, path, body=None, **query):
        browser = Browser(self.machine.server, **query)
        try:
            return await browser.call(method, path, body, {"authorization": f"Bearer {servers.API_KEY}"})
        finally:
            await browser.close()

    async def say(self, id, content=""):
        message = {"type": "text", "id": id, "data": {"content": content}}
        answer = await self.call("POST", f"/rooms/{self.room}/messages", message)
        said = answer.json()
        if answer.status_code == 200:
            first = self.acked.setdefault(id, (said["epoch"], said["seq"]))
            assert first == (said["epoch"], said["seq"]), "one id, one position"
            self.epoch = said["epoch"]
        return answer.status_code, said

    async def say_until_taken(self, id, content=""):
        """As a client does: again after each refusal that may pass."""
        while True:
            status, said = await self.say(id, content)
            if status == 200:
                return said
            assert said["retryable"], said

    async def history(self):
        """Everything in the room, by its position, after a look whether it is all that was acked, once each."""
        answer = await self.call("GET", f"/rooms/{self.room}/messages", limit=1000)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["complete"]
        found = [(message["id"], message["seq"]) for message in page["messages"]]
        seqs = [seq for _, seq in found]
        assert seqs == sorted(set(seqs)), found
        assert len({id for id, _ in found}) == len(found), f"nothing twice: {found}"
        assert {id: seq for id, seq in found if id in self.acked} == {
            id: seq for id, (_, seq) in self.acked.items()
        }
        return [id for id, _ in found]


@pytest.fixture
def talk(machine, room):
    return Talk(machine, room)


@pytest.mark.parametrize("run", RUNS)
async def test_a_power_cut_loses_nothing_that_was_acked_as_synced(disk, room, tmp_path, run):
    seed = seed_of(f"power-{run}")
    rng, unsynced = random.Random(seed), []

    def start():
        unsynced.append(disk.cut_power(rng))
        return start_on(disk)

    history = await killed_under_load(start, room, seed, "synced")
    counts = judge(history, tmp_path)
    assert counts["ended"] == EVERY_END
    assert len(epochs(history)) == ROOMS, "the epoch goes on"
    assert counts["resets"] == 0, "nothing was lost, so nobody is told to reload"
    assert sum(unsynced) > KILLS, "the cuts had something to take"


async def test_after_a_power_cut_what_was_only_written_is_another_epoch(disk, room, tmp_path):
    seed = seed_of("power-interval")
    rng = random.Random(seed)

    def start():
        disk.cut_power(rng)
        return start_on(disk, durability="interval")

    history = await killed_under_load(start, room, seed, "interval")
    counts = judge(history, tmp_path)
    assert counts["ended"] == EVERY_END
    assert len(epochs(history)) > ROOMS * KILLS / 2
    assert counts["resets"] > 0


@pytest.mark.parametrize("run", RUNS)
async def test_a_disk_that_fails_again_and_again_loses_nothing_acked(disk, room, tmp_path, run):
    seed = seed_of(f"storm-{run}")
    rng = random.Random(seed)

    def start():
        disk.cut_power(rng)
        disk.order("none")
        return start_on(disk)

    async def fail(load):
        disk.order(rng.choice(["full", "failing-write", "failing-sync", "hanging-sync"]))
        await load.after_refusal()
        if rng.random() < 0.5:
            return True
        disk.order("none")
        return False

    history = await killed_under_load(start, room, seed, "synced", between=fail)
    counts = judge(history, tmp_path)
    assert counts["ended"] == EVERY_END
    assert len(epochs(history)) == ROOMS, "the epoch goes on"
    assert counts["resets"] == 0, "nothing was lost, so nobody is told to reload"


async def test_a_full_disk_takes_nothing_more_and_keeps_what_it_has(machine, talk):
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("full")
    status, said = await talk.say("too much")
    assert (status, said["code"], said["retryable"]) == (503, "unavailable", True), said
    assert "full" in said["detail"], said
    assert await talk.history() == ["before"]
    machine.disk.order("none")
    await talk.say_until_taken("too much")
    machine.lose_power()
    assert await talk.history() == ["before", "too much"]


@pytest.mark.parametrize("fault", ["failing-sync", "failing-write"])
async def test_a_disk_that_fails_a_commit_leaves_nobody_in_error(machine, talk, connect, fault):
    reader = await connect(machine.server, user="reader")
    assert (await talk.say("before"))[0] == 200
    machine.disk.order(fault)
    for id in ("one", "two"):
        status, said = await talk.say(id)
        assert (status, said["code"] in ("unavailable", "not_durable")) == (503, True), said
    await reader.take({"type": "system", "data": {"event": "degraded"}})
    machine.disk.order("none")
    await reader.take({"type": "system", "data": {"event": "restored"}})
    for id in ("after", "one", "two"):
        await talk.say_until_taken(id)
    machine.lose_power()
    assert sorted(await talk.history()) == ["after", "before", "one", "two"]


async def test_a_position_that_was_told_for_nothing_is_never_given_again(machine, talk):
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("failing-write")
    status, told = await talk.say("lost")
    assert (status, told["code"]) == (503, "not_durable"), told
    machine.disk.order("none")
    machine.server.says("the store is open again")
    while (await talk.call("GET", "/rooms")).json()["rooms"]:
        pass  # The room is put away, and all that memory knew of it.
    said = await talk.say_until_taken("after")
    assert said["seq"] > told["seq"]
    assert await talk.history() == ["before", "after"]


async def test_a_log_that_cannot_be_copied_into_the_database_is_told_and_keeps_what_was_acked(machine, talk):
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("failing-copy")
    large = [{"type": "text", "data": {"content": "x" * 60_000}}] * 15
    for _ in range(100):  # 90 MB; SQLite's log is copied from 65 on
        if (await talk.call("POST", f"/rooms/{talk.room}:large/messages", large)).status_code != 200:
            break
    machine.server.says("can't be copied into the database")
    metrics = (await talk.call("GET", "/metrics")).text
    assert int(re.search(r"^roomcast_log_failures_total (\d+)$", metrics, re.MULTILINE)[1]) > 0
    machine.disk.order("none")
    await talk.say_until_taken("after")
    machine.lose_power()
    assert await talk.history() == ["before", "after"]


async def test_power_that_goes_while_the_disk_fails_takes_nothing_acked(machine, talk):
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("failing-sync")
    assert (await talk.say("lost"))[0] == 503
    machine.lose_power()
    assert "before" in await talk.history()
    assert (await talk.say("lost"))[0] == 200
    assert (await talk.say("after"))[0] == 200
    assert sorted(await talk.history()) == ["after", "before", "lost"]


async def test_a_sync_that_failed_behind_an_ack_takes_nothing_of_other_rooms(machine, talk):
    loose = Talk(machine, f"loose:{talk.room}")
    assert (await loose.say("first"))[0] == 200
    machine.disk.order("failing-sync")
    assert (await loose.say("second"))[0] == 200, "it is acked before it is synced"
    machine.server.says("may not be on the disk yet")
    machine.disk.order("none")
    assert (await talk.say("synced"))[0] == 200
    machine.lose_power()
    assert await talk.history() == ["synced"]


async def test_a_disk_that_hangs_is_told_in_time_and_what_it_took_is_there_once(machine, talk, connect):
    reader = await connect(machine.server, user="reader")
    await reader.join(talk.room)
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("hanging-sync")
    status, said = await talk.say("late")
    assert (status, said["code"], said["retryable"]) == (503, "unavailable", True), said
    assert "retry_after" in said
    assert (await talk.call("GET", "/healthz")).status_code == 200, "the rest goes on"
    assert await talk.history() == ["before"]
    elsewhere = await talk.call("GET", f"/rooms/{talk.room}:elsewhere/messages")
    assert elsewhere.json()["messages"] == [], "rooms can still be looked up"
    await reader.take({"type": "system", "data": {"event": "degraded"}})
    machine.disk.order("none")
    await reader.take({"type": "text", "id": "late"})
    await reader.take({"type": "system", "data": {"event": "restored"}})
    status, said = await talk.say("late")
    assert (status, said["duplicate"]) == (200, True), said
    machine.lose_power()
    assert await talk.history() == ["before", "late"]


async def test_many_rooms_wait_for_a_disk_that_hangs_together(machine, talk):
    rooms = [f"{talk.room}:{number}" for number in range(100)]
    message = {"rooms": rooms, "message": {"type": "text", "id": "late", "data": {}}}
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("hanging-sync")
    answers = (await talk.call("POST", "/publish", message)).json()
    assert {answer.get("code") for answer in answers} == {"unavailable"}, answers
    machine.disk.order("none")
    answers = (await talk.call("POST", "/publish", message)).json()
    assert [(answer["room"], answer["seq"]) for answer in answers] == [(room, 1) for room in rooms], "once each"


async def test_a_stop_does_not_wait_for_a_disk_that_hangs(machine, talk):
    assert (await talk.say("before"))[0] == 200
    machine.disk.order("hanging-sync")
    assert (await talk.say("late"))[0] == 503
    machine.server.terminate()
    machine.server.wait()
    assert "the disk doesn't answer" in machine.server.output
    machine.lose_power()
    assert "before" in await talk.history()


async def told_by(stream):
    """All that a stream says, which ends by itself."""
    with contextlib.suppress(Closed):
        while True:
            yield json.loads(await stream.receive())


async def stream_of(machine, talk, since):
    stream = await EventsPeer.open(f"{machine.server.http}/events/{talk.room}?since={since}")
    try:
        return [message async for message in told_by(stream)]
    finally:
        await stream.release()


async def test_a_room_that_cannot_be_looked_up_is_unavailable_on_every_transport(machine, talk, connect):
    for id in ("one", "two"):
        assert (await talk.say(id))[0] == 200
    start = f"{talk.epoch}.0"
    machine.lose_power()
    machine.disk.order("absent-read")
    for path in (f"/rooms/{talk.room}/messages", f"/poll/{talk.room}"):
        answer = await talk.call("GET", path, since=start)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    (told,) = await stream_of(machine, talk, start)
    assert (told["type"], told["data"]["code"]) == ("error", "unavailable")
    bound = await connect(machine.server, path=f"/ws/{talk.room}", since=start)
    assert (await bound.closed()).code == 1013
    reader = await connect(machine.server)
    refused = await reader.request("join", talk.room, {"since": start})
    assert (refused["type"], refused["data"]["code"]) == ("error", "unavailable"), refused
    machine.disk.order("none")
    assert (await reader.join(talk.room, since=start))["recovered"]
    for id in ("one", "two"):
        await reader.take({"type": "text", "id": id})


@pytest_asyncio.fixture
async def live(machine, talk, connect):
    """Who was there when messages that only the disk has now could still be read."""
    for number in range(LARGE_MESSAGES):
        assert (await talk.say(str(number), "x" * LARGE_BYTES))[0] == 200
    machine.lose_power()
    live = await connect(machine.server)
    await live.join(talk.room)
    return live


async def goes_on(machine, talk, connect, live):
    """Once the disk is in order who was at the tip is still there, and nothing is missing."""
    machine.disk.order("none")
    await talk.say_until_taken("live")
    await live.take({"type": "text", "id": "live"})
    back = await connect(machine.server)
    assert (await back.join(talk.room, since=f"{talk.epoch}.0"))["recovered"]
    for id in [*map(str, range(LARGE_MESSAGES)), "live"]:
        await back.take({"type": "text", "id": id})


async def sent_away(machine, talk, connect):
    """A reader from the beginning that is told to come back later, and the position it came with."""
    start = f"{talk.epoch}.0"
    reader = await connect(machine.server)
    await reader.join(talk.room, since=start)
    assert (await reader.take({"type": "error"}))["data"]["code"] == "unavailable"
    assert (await reader.closed()).code == 1013
    return reader, start


async def others_go_on(talk, waits):
    """What something comes to that waits for the disk; others don't wait meanwhile, though one thread serves all."""
    waiting, others = asyncio.ensure_future(waits), 0
    while not waiting.done():
        assert (await talk.call("GET", "/healthz")).status_code == 200
        others += 1
    assert others > 5, "they were answered meanwhile"
    return await waiting


async def test_a_stretch_that_cannot_be_read_now_sends_its_reader_away(machine, talk, connect, live):
    machine.disk.order("absent-read")
    reader, start = await sent_away(machine, talk, connect)
    told = await stream_of(machine, talk, start)
    assert told[-1]["data"]["code"] == "unavailable"
    answer = await talk.call("GET", f"/poll/{talk.room}", since=start)
    assert answer.status_code == 503, answer.text
    assert not [message for message in reader.seen + told if message["data"].get("event") == "reset"]
    await goes_on(machine, talk, connect, live)


async def test_a_stretch_that_hangs_sends_its_reader_away_in_time_and_holds_up_nobody(machine, talk, connect, live):
    assert (await talk.say("before"))[0] == 200, "now what is written next needs nothing read"
    machine.disk.order("hanging-read")
    meanwhile = asyncio.ensure_future(talk.say("meanwhile"))
    _, start = await others_go_on(talk, sent_away(machine, talk, connect))
    assert (await meanwhile)[0] == 200
    # From here on nobody waits for it any more.
    for path in (f"/rooms/{talk.room}/messages", f"/poll/{talk.room}"):
        answer = await talk.call("GET", path, since=start)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    elsewhere = await talk.call("GET", f"/rooms/{talk.room}:elsewhere/messages")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (503, "unavailable"), elsewhere.text
    assert (await talk.call("GET", "/healthz")).status_code == 200, "the rest goes on"
    await live.take({"type": "system", "data": {"event": "degraded"}})
    await goes_on(machine, talk, connect, live)


async def test_who_waits_for_a_room_to_be_looked_up_holds_up_nobody(machine, talk, connect):
    assert (await talk.say("before"))[0] == 200
    machine.lose_power()
    readers = [await connect(machine.server) for _ in range(4)]
    machine.disk.order("hanging-read")
    joins = [reader.request("join", talk.room, {"since": f"{talk.epoch}.0"}) for reader in readers]
    answers = await others_go_on(talk, asyncio.gather(*joins))
    assert {answer["data"]["code"] for answer in answers} == {"unavailable"}


async def test_a_stretch_that_is_damaged_is_a_reset(machine, talk, connect, live):
    machine.disk.order("failing-read")
    start = f"{talk.epoch}.0"
    reader = await connect(machine.server)
    await reader.join(talk.room, since=start)
    reset = await reader.take({"type": "system", "data": {"event": "reset"}})
    assert (reset["data"]["reason"], reset["data"]["seq"]) == ("too_old", LARGE_MESSAGES)
    for path in (f"/rooms/{talk.room}/messages", f"/poll/{talk.room}"):
        answer = await talk.call("GET", path, since=start)
        assert answer.status_code == 500, answer.text
        assert answer.json()["code"] == "internal"
    await goes_on(machine, talk, connect, live)
