"""Fixtures: each transport, a server that speaks it, and people who come by it."""

import pytest
import pytest_asyncio

from conftest import stop
from support import server as servers
from support.participants import TRANSPORTS

# What all scenarios start from; in memory, so that only those that ask for a disk wait for one.
CONFIG = {"engine": "memory", "limits": {"sends_per_second": 0}}


def started(folder, transport, port=0, **changes):
    """`serve`, as this transport needs it."""
    config = CONFIG | changes
    config["limits"] = CONFIG["limits"] | changes.get("limits", {})
    if transport.secure:
        config["server"] = servers.TLS | changes.get("server", {})
    return servers.serve(folder, port=port, **config)


@pytest.fixture(params=TRANSPORTS.values(), ids=TRANSPORTS)
def transport(request):
    return request.param


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Servers for scenarios that need nothing of their own, one in the clear and one with TLS."""
    running = {}

    def of(transport):
        if transport.secure not in running:
            running[transport.secure] = started(tmp_path_factory.mktemp("shared"), transport)
        return running[transport.secure]

    yield of
    for server in running.values():
        stop(server)


@pytest.fixture
def server(shared, transport):
    return shared(transport)


@pytest.fixture
def start(tmp_path, transport):
    """Starts a server of the scenario's own: `start(limits={…})`."""
    running = []

    def one(port=0, **changes):
        running.append(started(tmp_path, transport, port, **changes))
        return running[-1]

    yield one
    for server in running:
        stop(server)


@pytest_asyncio.fixture
async def person(transport, server):
    """Somebody who comes by the transport: `await person("ada")`, or `at=` another server, `by=` another transport."""
    came = []

    async def come(user, at=None, by=transport, **keywords):
        came.append(by(at or server, user, **keywords))
        return await came[-1].open()

    yield come
    for one in came:
        await one.release()
