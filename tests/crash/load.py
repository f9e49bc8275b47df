"""The load under which servers are killed, and the history that their clients make. The verdict is others'."""

import asyncio
import itertools
import os
import random

from crash.mortal import Mortal
from history.recorder import Run

KILLS = 10
LONG_RUNS = 20  # of 10 kills each, in `cargo xtask test --long`
ROOMS = 3
PUBLISHERS = 3
READERS = ("socket", "events", "poll", "webtransport")
# Acks of the first room from one kill to the next. Where a commit is then, nobody decides.
ACKS_BETWEEN_KILLS = (10, 120)

RUNS = range(LONG_RUNS if os.environ.get("ROOMCAST_LONG") else 1)
EVERY_END = ROOMS * len(READERS)


def seed_of(name):
    """The seed of one run; a failure shows it."""
    seed = f"{os.environ['ROOMCAST_SEED']}-{name}"
    print(f"seed {seed}")
    return seed


def moments(seed):
    """After how many acks to kill, one number for each kill."""
    chosen = random.Random(seed)
    return list(itertools.accumulate(chosen.randint(*ACKS_BETWEEN_KILLS) for _ in range(KILLS)))


async def killed_under_load(start, room, seed, durability, between=None):
    """Several rooms of one server under load, through all kills; the history of all of it. `between(run)` may do
    something worse before each, and says whether to kill."""
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
            if between and not await between(runs[0]):
                continue
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
