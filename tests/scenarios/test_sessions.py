"""One session presented twice: what is one connection takes over, what is requests shares."""

import pytest

from scenarios.people import connections
from support.clients import new_session
from support.participants import Refused


async def test_a_session_presented_again(person, room, transport):
    session, watcher = new_session(), await person("watcher")
    await watcher.join(room)
    old = await person("bob", session=session)
    await old.join(room)
    await watcher.sees(room, "watcher", "bob")
    new = await person("bob", session=session)
    if transport.is_duplex:
        assert await old.ended() == "taken_over"
        assert old.link.ended.code == 4009
    await new.join(room)
    await new.send(room)
    for one in (new, watcher) if transport.is_duplex else (new, watcher, old):
        await one.reads(room, 1)
    await connections(new, room, {"watcher": 1, "bob": 1})
    assert [set(roster) for roster in watcher.rosters(room)][-2:] == [{"watcher"}, {"watcher", "bob"}]


async def test_a_lower_attempt_never_displaces_a_higher_one(person, room, transport):
    session = new_session()
    winner = await person("bob", session=session, attempt=5)
    await winner.join(room)
    if transport.is_duplex:
        with pytest.raises(Refused) as refused:
            await person("bob", session=session, attempt=4)
        assert (refused.value.code, refused.value.closed) == ("taken_over", 4009)
    else:
        late = await person("bob", session=session, attempt=4)
        await late.join(room)  # requests don't race: each is served
    await winner.send(room)
    await winner.reads(room, 1)
    newer = await person("bob", session=session, attempt=6)
    await newer.join(room)
    if transport.is_duplex:
        assert await winner.ended() == "taken_over"
    await newer.send(room)
    await newer.reads(room, 2)


async def test_a_session_of_another_user_is_another_session(person, room):
    session = new_session()
    ada, bob = await person("ada", session=session), await person("bob", session=session)
    await ada.join(room)
    await bob.join(room)
    await ada.send(room)
    for one in (ada, bob):
        await one.reads(room, 1)
        await one.sees(room, "ada", "bob")
        assert session not in str(one.seen[1:])
