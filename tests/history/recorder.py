"""Publishers that cut their own connections at random, and a run of them with readers, who record what they saw.

Everything random comes from one seed. Nothing sleeps: a cut comes after a number of messages, not of seconds.
"""

import asyncio
import random
from dataclasses import dataclass, field

from history.readers import DONE_SECONDS, LOST, READERS
from support.clients import Client, Closed, new_session

REACHED_SECONDS = 40


@dataclass
class Run:
    """One room, some publishers and readers, and the history they make. `server()` waits for a server and names it."""

    server: object
    room: str
    seed: int
    publishers: int = 4
    readers: tuple = ("socket",) * 4
    messages: int = 150
    window: int = 8
    durability: str = "memory"
    history: list = field(default_factory=list)
    acks: int = 0
    refusals: int = 0
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    def record(self, ev, client, **fields):
        self.history.append({"ev": ev, "client": client, "room": self.room, **fields})

    async def after_acks(self, count):
        """Waits until that many acks have been seen."""
        async with self.moved:
            await self.moved.wait_for(lambda: self.acks >= count)

    async def after_refusal(self):
        """Waits until one more message is refused."""
        before = self.refusals
        async with self.moved:
            await self.moved.wait_for(lambda: self.refusals > before)

    async def carry_out(self):
        """Publishes everything, lets every reader reach the head, and returns the history."""
        readers = [READERS[kind](self, f"reader{n}") for n, kind in enumerate(self.readers)]
        async with asyncio.timeout(DONE_SECONDS), asyncio.TaskGroup() as group:
            reading = [group.create_task(reader.run()) for reader in readers]
            await asyncio.gather(*(Publisher(self, f"writer{n}").run() for n in range(self.publishers)))
            head = await self.head()
            await self.all_reach(head, readers)
            await stop(reading)
        for reader in readers:
            self.record("end", reader.name, epoch=head[0], seq=head[1])
        return self.history

    async def all_reach(self, head, readers):
        try:
            async with asyncio.timeout(REACHED_SECONDS):
                await asyncio.gather(*(reader.reached(head) for reader in readers))
        except TimeoutError:
            # Whoever hangs behind is the verdict's to name: each reader's `end` says where the head is.
            pass

    async def head(self):
        client = await self.connect()
        ack = await client.join(self.room, presence=False)
        await client.close()
        return ack["epoch"], ack["seq"]

    async def connect(self, **query):
        """A connection to wherever the server is; one that is just going down is tried again."""
        while True:
            try:
                return await Client.welcomed(await self.server(), **query)
            except LOST:
                await asyncio.sleep(0)


async def stop(tasks):
    """Cancels until all have ended: before Python 3.12 `wait_for` may swallow a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1)


class Publisher:
    """Sends its messages with a few in flight; after a cut sends what wasn't acked again, oldest first, same ids."""

    def __init__(self, whole, name):
        self.whole, self.name = whole, name
        self.random = random.Random(f"{whole.seed} {name}")
        self.unsent = [f"{name}-{n}" for n in range(whole.messages)]
        self.session = new_session()

    async def run(self):
        while self.unsent:
            client = await self.whole.connect(user=self.name, session=self.session)
            try:
                await client.join(self.whole.room, presence=False)
                await self.publish(client, lifetime=self.random.randint(2, 8) * self.whole.window)
            except LOST:
                pass  # cut from the other side; what wasn't acked goes again
            await client.cut()

    async def publish(self, client, lifetime):
        """Sends up to `lifetime` messages, and leaves the last few of them without waiting for their acks."""
        sent = []
        for id in self.unsent[:lifetime]:
            content = f"{id} of {self.whole.seed}"
            self.whole.record("pub", self.name, id=id, content=content)
            await client.send("text", self.whole.room, {"content": content}, id=id)
            sent.append(id)
            if len(sent) >= self.whole.window:
                await self.acked(client, sent.pop(0))
        if len(self.unsent) <= len(sent):
            for id in sent:
                await self.acked(client, id)

    async def acked(self, client, id):
        answer = await client.answer(id)
        if answer["type"] == "error" and answer["data"]["retryable"]:
            async with self.whole.moved:
                self.whole.refusals += 1
                self.whole.moved.notify_all()
            raise Closed(1006, context=f"refused, so that it goes again: {answer}")
        assert answer["type"] == "ack", answer
        data = answer["data"]
        at = {"epoch": data["epoch"], "seq": data["seq"]}
        self.whole.record("ack", self.name, id=id, **at, durability=self.whole.durability)
        self.unsent.remove(id)
        async with self.whole.moved:
            self.whole.acks += 1
            self.whole.moved.notify_all()
