"""kill -9 under load: nothing acked as durable is lost, and everything else is told (SEMANTICS S1-S5, S10)."""

import asyncio
import itertools
import os
import random

import pytest

from crash.mortal import Mortal
from history.recorder import Run
from support import server as servers
from support.verdict import judge

KILLS = 10
LONG_RUNS = 20  # of 10 kills each, in `cargo xtask test --long`
ROOMS = 3
PUBLISHERS = 3
READERS = ("socket", "events", "poll")
# Acks of the first room from one kill to the next. Where a commit is then, nobody decides.
ACKS_BETWEEN_KILLS = (10, 120)

RUNS = range(LONG_RUNS if os.environ.get("ROOMCAST_LONG") else 1)


def seed_of(name):
    """The seed of one run; a failure shows it."""
    seed = f"{os.environ['ROOMCAST_SEED']}-{name}"
    print(f"seed {seed}")
    return seed


def moments(seed):
    """After how many acks to kill, one number for each kill."""
    chosen = random.Random(seed)
    return list(itertools.accumulate(chosen.randint(*ACKS_BETWEEN_KILLS) for _ in range(KILLS)))


async def killed_under_load(start, room, seed, durability):
    """Several rooms of one server under load, through all kills; the history of all of it."""
    mortal, kills, history = Mortal(start), moments(seed), []
    # Enough that the last kill comes while there is still something to send.
    messages = (kills[-1] + ACKS_BETWEEN_KILLS[1]) // PUBLISHERS + 1
    runs = [
        Run(mortal.address, f"{room}:{n}", f"{seed}-{n}", PUBLISHERS, READERS, messages, 8, durability, history)
        for n in range(ROOMS)
    ]

    async def kill():
        for acks in kills:
            await runs[0].after_acks(acks)
            history.append({"ev": "note", "text": f"kill -9 after {acks} acks", "seed": seed})
            await mortal.die_and_rise()

    try:
        await asyncio.gather(kill(), *(run.carry_out() for run in runs))
    finally:
        mortal.current.kill()
    assert "panicked" not in mortal.current.output, mortal.current.output
    return history


def epochs(history):
    return {(event["room"], event["epoch"]) for event in history if event["ev"] == "ack"}


def on_disk(folder, **rule):
    """Starts servers on one directory."""
    rule = {"pattern": "*", "anonymous": ["*"], **rule}
    return lambda: servers.serve(folder, rooms=[rule], limits={"sends_per_second": 0})


@pytest.mark.parametrize("run", RUNS)
async def test_what_is_synced_outlives_every_kill(room, tmp_path, run):
    history = await killed_under_load(on_disk(tmp_path), room, seed_of(f"synced-{run}"), "synced")
    counts = judge(history, tmp_path)
    assert counts["ended"] == ROOMS * len(READERS)
    assert counts["resumed"] > KILLS
    assert len(epochs(history)) == ROOMS, "the epoch goes on"
    assert counts["resets"] == 0, "nothing was lost, so nobody is told to reload"


async def test_what_was_only_written_gets_a_new_epoch_and_every_reader_is_told(room, tmp_path):
    start = on_disk(tmp_path, durability="interval")
    history = await killed_under_load(start, room, seed_of("interval"), "interval")
    counts = judge(history, tmp_path)
    assert counts["ended"] == ROOMS * len(READERS)
    assert len(epochs(history)) > ROOMS * KILLS / 2
    assert counts["resets"] > 0


async def test_what_is_in_memory_ends_with_its_process_and_every_reader_is_told(room, tmp_path):
    history = await killed_under_load(servers.dev, room, seed_of("memory"), "memory")
    counts = judge(history, tmp_path)
    assert counts["ended"] == ROOMS * len(READERS)
    assert len(epochs(history)) > ROOMS * KILLS / 2, "hardly a kill came while messages were acked"
    assert counts["resets"] > 0
