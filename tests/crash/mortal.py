"""A server that is killed and started again on what it left behind. Holds no assertion."""

import asyncio


class Mortal:
    """`start()` starts a server process; each one comes after the last one's end."""

    def __init__(self, start):
        self.start = start
        self.current = start()
        self.up = asyncio.Event()
        self.up.set()

    async def address(self):
        """The running server, as soon as there is one."""
        await self.up.wait()
        return self.current

    async def die_and_rise(self):
        """kill -9, and a successor."""
        assert self.current.alive, f"the server ended by itself:\n{self.current.output}"
        self.up.clear()
        self.current.kill()
        self.current = await asyncio.to_thread(self.start)
        self.up.set()
