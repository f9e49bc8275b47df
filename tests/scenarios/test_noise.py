"""A wire that turns bits, both ways. What TLS carries is whole or is told as an end; what goes in the clear may say
anything, but only of whom it spoils: the others' rooms stay as they are."""

import asyncio

from scenarios.people import publish
from support.wire import Noise

SPOILT = 6
MESSAGES = 20


class Spoilt:
    """Somebody who is well until noise begins."""

    def __init__(self, server, transport, seed):
        self.server, self.transport, self.seed = server, transport, seed

    async def come(self, room):
        self.wire = await self.transport.wire.open(self.server)
        self.one = self.transport(self.server, f"spoilt{self.seed}", port=self.wire.port)
        await self.one.open()
        await self.one.join(room)
        self.since = self.one.where(room)

    def begin(self, room):
        """Says and hears much that doesn't arrive as it was said."""
        self.wire.up, self.wire.down = (Noise(f"{self.seed} {way}", every=400) for way in ("up", "down"))
        self.saying = [asyncio.ensure_future(self.one.send(f"{room}:{self.seed}")) for _ in range(MESSAGES)]

    async def end(self):
        """Goes; what their client makes of nonsense is its own affair."""
        for saying in self.saying:
            saying.cancel()
        await asyncio.gather(*self.saying, return_exceptions=True)
        assert self.wire.up.turned > 0
        self.wire.close()
        await self.one.link.drop()

    async def come_again(self, room, head):
        """Reads over a wire that is well all that came meanwhile."""
        again = self.transport(self.server, self.one.user, session=self.one.session, attempt=1000)
        await again.open()
        assert (await again.join(room, since=self.since))["recovered"] is True
        await again.reads(room, head)
        await again.release()
        return texts(again, room)


def texts(one, room):
    return [(message["seq"], message["data"]) for message in one.logged(room)]


async def test_bits_that_turn_on_the_way_spoil_nothing_for_others(server, transport, person, room):
    writer, reader = await person("writer"), await person("reader")
    await reader.join(room)
    spoilt = [Spoilt(server, transport, seed) for seed in range(SPOILT)]
    await asyncio.gather(*(one.come(room) for one in spoilt))
    for one in spoilt:
        one.begin(room)
    for number in range(MESSAGES):
        ack = await publish(writer, room, n=number)
    await reader.reads(room, ack["seq"])
    whole = texts(reader, room)
    assert whole == [(n + 1, {"n": n, "author": "writer"}) for n in range(MESSAGES)]
    await asyncio.gather(*(one.end() for one in spoilt))
    if transport.secure:
        heard = [text for one in spoilt for text in texts(one.one, room)]
        assert all(text in whole for text in heard), "TLS lets nothing through that was turned"
    for seen in await asyncio.gather(*(one.come_again(room, ack["seq"]) for one in spoilt)):
        assert seen == whole
