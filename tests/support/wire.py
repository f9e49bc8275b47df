"""Proxies in front of a server that cut after a number of bytes, or of datagrams, stall, or spoil what passes. They know
nothing of what it is."""

import asyncio
import random
import socket

# Little, so that what is stalled waits in the server and not on the way.
STALLING_BUFFER_BYTES = 4096


class Noise:
    """Turns one bit of about one byte in `every`, the same ones for the same seed. `turned` is how many it has."""

    def __init__(self, seed, every):
        self.random, self.every, self.turned = random.Random(seed), every, 0
        self.next = self._distance()

    def __call__(self, data):
        data = bytearray(data)
        while self.next < len(data):
            data[self.next] ^= 1 << self.random.randrange(8)
            self.turned += 1
            self.next += self._distance()
        self.next -= len(data)
        return bytes(data)

    def _distance(self):
        return self.random.randint(1, 2 * self.every)


class Wire:
    """`port` leads to the server. `passed` is what that has said; after `budget` bytes of it a connection is cut.
    `up` and `down` make of what passes what arrives, such as `Noise`."""

    up = down = staticmethod(bytes)

    def __init__(self, server, budget=None):
        self.server, self.budget = server, budget
        self.passed = bytearray()
        self.flows = set()
        self.is_stalled = False

    @classmethod
    async def open(cls, server, budget=None):
        wire = cls(server, budget)
        wire.listener = await asyncio.get_running_loop().create_server(lambda: Near(wire), "127.0.0.1", 0)
        wire.port = wire.listener.sockets[0].getsockname()[1]
        return wire

    def stall(self):
        """Lets nothing more through to anybody, until it is told to flow."""
        self.is_stalled = True
        for flow in self.flows:
            flow.pause()

    def flow(self):
        self.is_stalled = False
        for flow in self.flows:
            flow.resume()

    def close(self):
        self.listener.close()
        for flow in list(self.flows):
            flow.near.transport.abort()


class UdpWire(asyncio.DatagramProtocol):
    """The same for one client over UDP: `passed` are datagrams, and `budget` is a number of them."""

    up = down = staticmethod(bytes)

    def __init__(self, budget):
        self.budget, self.passed = budget, []
        self.client, self.far = None, None
        self.is_stalled = False

    @classmethod
    async def open(cls, server, budget=None):
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_datagram_endpoint(lambda: cls(budget), local_addr=("127.0.0.1", 0))
        address = ("127.0.0.1", server.port)
        await loop.create_datagram_endpoint(lambda: FarUdp(wire), remote_addr=address)
        wire.port = wire.near.get_extra_info("sockname")[1]
        return wire

    @property
    def is_cut(self):
        return self.is_stalled or (self.budget is not None and len(self.passed) >= self.budget)

    def stall(self):
        """Loses what comes from either side, until it is told to flow."""
        self.is_stalled = True

    def flow(self):
        self.is_stalled = False

    def connection_made(self, transport):
        self.near = transport

    def datagram_received(self, data, address):
        self.client = address
        if not self.is_cut:
            self.far.sendto(self.up(data))

    def told(self, data):
        """The server says something."""
        if not self.is_cut:
            self.passed.append(data)
            self.near.sendto(self.down(data), self.client)

    def close(self):
        self.near.abort()
        self.far.abort()


class FarUdp(asyncio.DatagramProtocol):
    """The server's end."""

    def __init__(self, wire):
        self.wire = wire

    def connection_made(self, transport):
        self.wire.far = transport

    def datagram_received(self, data, _):
        self.wire.told(data)


class Near(asyncio.Protocol):
    """A client's end. What it says waits until the server's end is there."""

    def __init__(self, wire):
        self.wire, self.far, self.early = wire, None, []

    def connection_made(self, transport):
        self.transport = transport
        self.connecting = asyncio.ensure_future(self.connect())

    async def connect(self):
        loop, far = asyncio.get_running_loop(), socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLING_BUFFER_BYTES)
        far.setblocking(False)
        try:
            await loop.sock_connect(far, ("127.0.0.1", self.wire.server.port))
            await loop.create_connection(lambda: Far(self), sock=far)
        except OSError:
            far.close()
            self.transport.abort()

    def data_received(self, data):
        data = self.wire.up(data)
        if self.far:
            self.far.transport.write(data)
        else:
            self.early.append(data)

    def eof_received(self):
        self.connection_lost(None)

    def connection_lost(self, _):
        self.connecting.cancel()
        if self.far:
            self.far.transport.abort()


class Far(asyncio.Protocol):
    """The server's end."""

    def __init__(self, near):
        self.near, self.wire, self.left = near, near.wire, near.wire.budget

    def connection_made(self, transport):
        self.transport, self.near.far = transport, self
        self.wire.flows.add(self)
        transport.write(b"".join(self.near.early))
        if self.wire.is_stalled:
            self.pause()
        if self.left == 0:
            self.cut()

    def data_received(self, data):
        data = self.wire.down(data)
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        self.wire.passed += data
        self.near.transport.write(data)
        if self.left == 0:
            self.cut()

    def cut(self):
        """Exactly what came through reaches the client, then the end; what it still says goes nowhere."""
        self.near.transport.write_eof()
        self.transport.abort()

    def pause(self):
        self.transport.pause_reading()

    def resume(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self):
        self.near.transport.close()

    def connection_lost(self, _):
        self.wire.flows.discard(self)
        if self.left != 0:
            self.near.transport.close()
