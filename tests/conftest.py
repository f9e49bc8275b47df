"""Fixtures: a server per file, a room per test, clients that are closed at the end."""

import secrets

import pytest
import pytest_asyncio

from support import server as servers
from support.clients import Client
from support.streams import Browser, Events


@pytest.fixture(scope="module")
def dev():
    """`roomcast dev`, shared by the tests of one file."""
    server = servers.dev()
    yield server
    stop(server)


@pytest.fixture
def serve(tmp_path):
    """Starts `roomcast serve` with changes to its configuration: `serve(limits={…})`."""
    started = []

    def start(**changes):
        started.append(servers.serve(tmp_path, **changes))
        return started[-1]

    yield start
    for server in started:
        stop(server)


def stop(server):
    """Every test also asserts that nothing brought the server down."""
    survived = server.alive or server.told_to_stop
    server.kill()
    assert survived, f"the server ended by itself:\n{server.output}"
    assert "panicked" not in server.output, server.output


@pytest.fixture
def room():
    """A room that nobody else uses."""
    return f"room:{secrets.token_hex(6)}"


@pytest.fixture
def peer():
    """Which third-party client `connect` uses; `both_peers` runs a test with each."""
    return "websockets"


@pytest_asyncio.fixture
async def connect(peer):
    """Opens clients: `await connect(server, user="ada")`. They are closed when the test ends."""
    opened = []

    async def open_one(server, path="/ws", welcomed=True, **keywords):
        opening = Client.welcomed if welcomed else Client.open
        opened.append(await opening(server, path, peer=peer, **keywords))
        return opened[-1]

    yield open_one
    for client in opened:
        await client.cut()


@pytest_asyncio.fixture
async def events():
    """Opens streams of events: `await events(server, "/events/general", since=…)`."""
    opened = []

    async def open_one(server, path, **keywords):
        opened.append(await Events.open(server, path, **keywords))
        return opened[-1]

    yield open_one
    for stream in opened:
        await stream.close()


@pytest_asyncio.fixture
async def browse():
    """Makes what asks by requests: `browse(server, user="ada")`."""
    opened = []

    def one(server, **query):
        opened.append(Browser(server, **query))
        return opened[-1]

    yield one
    for browser in opened:
        await browser.close()
