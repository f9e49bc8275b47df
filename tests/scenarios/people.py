"""What scenarios ask of people again and again."""

import asyncio

import pytest

from support.clients import PATIENCE
from support.participants import Refused
from support.server import API_KEY


async def refusal(doing):
    """The code that this is refused with."""
    with pytest.raises(Refused) as refused:
        await doing
    return refused.value.code


async def publish(one, room, count=1, **data):
    """Publishes without being in the room; returns the last ack."""
    for _ in range(count):
        ack = await one.http("POST", f"/rooms/{room}/messages", {"type": "text", "data": data})
    return ack


async def as_back_end(one, method, path):
    """Asks with the API key."""
    token, one.token = one.token, API_KEY
    try:
        return await one.http(method, path)
    finally:
        one.token = token


async def everybody_reads(room, *people):
    """Waits until the server has all of them at the tip: what is ephemeral reaches nobody else."""
    async with asyncio.timeout(PATIENCE):
        while (await as_back_end(people[0], "GET", f"/rooms/{room}"))["readers"] < len(people):
            pass


async def connections(one, room, wanted):
    """Waits until each user has this many connections in the room."""
    async with asyncio.timeout(PATIENCE):
        while True:
            members = (await one.members(room))["members"]
            if {member["user"]: member["connections"] for member in members} == wanted:
                return
