"""A connection that is cut after any of its bytes: nothing is lost, and nothing comes twice."""

import asyncio
import contextlib
import os
import secrets

from support.clients import Closed
from support.participants import Refused

# Who only reads is told little, so that there are few bytes to cut after.
RIGHTS = {"*": ["join"]}
AT_ONCE = 60
# How long what is over UDP waits for what doesn't come.
IDLE_SECONDS = 1
RECORD_HEADER_BYTES = 5


class Reader:
    """Somebody whose first connection ends after a number of bytes, or of datagrams."""

    def __init__(self, server, transport, whole):
        self.server, self.transport, self.whole = server, transport, whole

    async def begin(self, room, since):
        """Comes into the room, or is cut before."""
        self.room, self.since = room, since
        self.wire = await self.transport.wire.open(self.server, self.whole)
        self.one = self.transport(self.server, "ada", port=self.wire.port, rooms=RIGHTS)
        self.one.idle_seconds = IDLE_SECONDS
        with contextlib.suppress(Closed, Refused):
            await self.come()

    async def come(self):
        await self.one.open()
        return await self.one.join(self.room, since=self.since, presence=False)

    async def end(self):
        """Reads until it is cut, then goes on from where it stands; returns all it has read."""
        if self.one.links:
            with contextlib.suppress(Closed):
                await self.one.reads(self.room, 3)
        await self.one.cut()
        self.one.address = f"127.0.0.1:{self.server.port}"
        told = await (self.one.resume() if self.one.rooms else self.come())
        assert told["recovered"] is True
        await self.one.reads(self.room, 3)
        await self.one.release()
        self.wire.close()
        return self.one.seqs(self.room)


async def exchange(writer, readers):
    """A room that all of these read: one message waits for them, two come while they read."""
    room = f"cut:{secrets.token_hex(4)}"
    path, text = f"/rooms/{room}/messages", {"type": "text"}
    start = (await writer.http("GET", f"/poll/{room}"))["position"]
    await writer.http("POST", path, text)
    await asyncio.gather(*(reader.begin(room, start) for reader in readers))
    await writer.http("POST", path, [text, text])
    return await asyncio.gather(*(reader.end() for reader in readers))


def cuts(transport, passed):
    """After how many bytes, or datagrams, to cut: each number of them. A record of TLS is read whole or not at all:
    unless there is time, its edges stand for all that lies between."""
    if not transport.secure or transport.is_missed or os.environ.get("ROOMCAST_LONG"):
        return list(range(len(passed) + 1))
    ends = [0]
    while len(passed) - ends[-1] > RECORD_HEADER_BYTES:
        size = int.from_bytes(passed[ends[-1] + 3 : ends[-1] + RECORD_HEADER_BYTES])
        ends.append(ends[-1] + RECORD_HEADER_BYTES + size)
    return sorted({count + by for count in ends for by in (-1, 0, 1) if count + by >= 0})


async def test_a_cut_after_any_byte_loses_and_repeats_nothing(server, transport, person):
    writer = await person("writer")
    whole = Reader(server, transport, None)
    assert await exchange(writer, [whole]) == [[1, 2, 3]]
    counts = cuts(transport, whole.wire.passed)
    assert len(counts) > 5
    for first in range(0, len(counts), AT_ONCE):
        batch = counts[first : first + AT_ONCE]
        seen = await exchange(writer, [Reader(server, transport, count) for count in batch])
        for count, seqs in zip(batch, seen, strict=True):
            assert seqs == [1, 2, 3], f"cut after {count}"
