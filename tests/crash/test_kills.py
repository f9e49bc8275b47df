"""kill -9 under load: nothing acked as durable is lost, and everything else is told (SEMANTICS S1-S5, S10)."""

import pytest

from crash.load import EVERY_END, KILLS, ROOMS, RUNS, epochs, killed_under_load, seed_of
from support import server as servers
from support.verdict import judge


def on_disk(folder, **rule):
    """Starts servers on one directory."""
    rule = {"pattern": "*", "anonymous": ["*"], **rule}
    changes = {"server": servers.TLS, "limits": {"sends_per_second": 0}}
    return lambda: servers.serve(folder, rooms=[rule], **changes)


@pytest.mark.parametrize("run", RUNS)
async def test_what_is_synced_outlives_every_kill(room, tmp_path, run):
    history = await killed_under_load(on_disk(tmp_path), room, seed_of(f"synced-{run}"), "synced")
    counts = judge(history, tmp_path)
    assert counts["ended"] == EVERY_END
    assert counts["resumed"] > KILLS
    assert len(epochs(history)) == ROOMS, "the epoch goes on"
    assert counts["resets"] == 0, "nothing was lost, so nobody is told to reload"


async def test_what_was_only_written_gets_a_new_epoch_and_every_reader_is_told(room, tmp_path):
    start = on_disk(tmp_path, durability="interval")
    history = await killed_under_load(start, room, seed_of("interval"), "interval")
    counts = judge(history, tmp_path)
    assert counts["ended"] == EVERY_END
    assert len(epochs(history)) > ROOMS * KILLS / 2
    assert counts["resets"] > 0


async def test_what_is_in_memory_ends_with_its_process_and_every_reader_is_told(room, tmp_path):
    history = await killed_under_load(servers.dev, room, seed_of("memory"), "memory")
    counts = judge(history, tmp_path)
    assert counts["ended"] == EVERY_END
    assert len(epochs(history)) > ROOMS * KILLS / 2, "hardly a kill came while messages were acked"
    assert counts["resets"] > 0
