"""Fixtures: each proxy of the guide before a server of its own, and people who come through it."""

import pytest
import pytest_asyncio

from conftest import stop
from proxies.fronts import FRONTS
from support import server as servers


@pytest.fixture
def server(tmp_path):
    """As the guide has it: it listens on this machine alone, and believes its proxy about addresses."""
    running = servers.serve(tmp_path, engine="memory", server={"trusted_proxies": ["127.0.0.1"]})
    yield running
    stop(running)


@pytest.fixture(params=FRONTS.values(), ids=FRONTS)
def front(request, server, tmp_path):
    folder = tmp_path / "front"
    folder.mkdir()
    one = request.param(folder, server).start()
    yield one
    one.release()


@pytest_asyncio.fixture
async def person(front):
    """Somebody who comes through the proxy: `await person(SecureWebSocket, "ada")`."""
    came = []

    async def come(transport, user, **keywords):
        came.append(transport(front, user, **keywords))
        return await came[-1].open()

    yield come
    for one in came:
        await one.release()
