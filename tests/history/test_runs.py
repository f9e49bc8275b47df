"""Recorded runs against the real server, judged by `roomcast verify` (SEMANTICS S1, S2, S4, S5)."""

import pytest

from history.readers import READERS
from history.recorder import Run
from support.server import TLS
from support.verdict import judge

EVERY_KIND = tuple(READERS)
ANYBODY = {"pattern": "*", "anonymous": ["*"]}


def steady(server):
    """A server that stays where it is."""

    async def found():
        return server

    return found


def kinds(history):
    return {event["ev"] for event in history}


@pytest.mark.parametrize("readers", [*((kind,) * 4 for kind in READERS), EVERY_KIND], ids=" ".join)
async def test_cuts_and_resumes(dev, room, tmp_path, readers):
    run = Run(steady(dev), room, seed=1, readers=readers)
    history = await run.carry_out()
    judge(history, tmp_path)
    assert sum(event["ev"] == "join" and event["recovered"] for event in history) > len(run.readers)
    acked = {event["id"] for event in history if event["ev"] == "ack"}
    assert len(acked) == run.publishers * run.messages
    assert "reset" not in kinds(history), "nothing was lost, so nobody is told to reload"


async def test_readers_that_fall_out_of_the_window_are_told(serve, room, tmp_path):
    server = serve(
        rooms=[ANYBODY | {"history": {"messages": 20}}], server=TLS, limits={"sends_per_second": 0}
    )
    history = await Run(steady(server), room, seed=4, window=32, readers=EVERY_KIND).carry_out()
    judge(history, tmp_path)
    assert "reset" in kinds(history), "the run was meant to lose readers"
