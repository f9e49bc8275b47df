"""Who is here: joins, leaves, the grace after a loss, leases, states and what a roster shows."""

import asyncio
import time

from scenarios.people import connections, publish, refusal
from support.clients import new_session

GRACE_SECONDS = 1
LEASE_SECONDS = 5
# A leave at once comes well before the grace of 10 s that a loss has.
AT_ONCE_SECONDS = 5
BRIEF = [
    {
        "pattern": "*",
        "users": ["*"],
        "presence": {"grace_seconds": GRACE_SECONDS, "lease_seconds": LEASE_SECONDS},
    }
]


def users(one, room):
    """Each set of users that it was shown, from nobody on."""
    shown = [set(roster) for roster in one.rosters(room)]
    return [now for before, now in zip([None, *shown], shown, strict=False) if now != before]


async def test_a_join_and_a_leave_are_told_at_once(person, room):
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room)
    await ada.sees(room, "ada")
    await bob.join(room, state={"mood": "new"})
    await ada.sees(room, "ada", "bob")
    await bob.sees(room, "ada", "bob")
    assert ada.roster(room)["bob"] == {"mood": "new"}
    async with asyncio.timeout(AT_ONCE_SECONDS):
        await bob.leave(room)
        await ada.sees(room, "ada")
    assert users(ada, room) == [set(), {"ada"}, {"ada", "bob"}, {"ada"}]


async def test_a_good_bye_is_a_leave_at_once(person, room):
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room)
    await bob.join(room)
    await ada.sees(room, "ada", "bob")
    async with asyncio.timeout(AT_ONCE_SECONDS):
        await bob.close()
        await ada.sees(room, "ada")


async def test_a_loss_is_told_after_the_grace(start, person, room, transport):
    server = start(rooms=BRIEF, limits={"ping_interval_seconds": 1, "pong_timeout_seconds": 1})
    ada, bob = await person("ada", at=server), await person("bob", at=server)
    await ada.join(room)
    await bob.join(room)
    await ada.sees(room, "ada", "bob")
    lost = time.monotonic()
    await bob.cut()
    await ada.sees(room, "ada")
    least = LEASE_SECONDS - 2 if transport.is_leased else GRACE_SECONDS
    assert least - 0.2 <= time.monotonic() - lost


async def test_coming_back_in_time_is_neither_leave_nor_join(person, room):
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room)
    await bob.join(room)
    await ada.sees(room, "ada", "bob")
    await bob.cut()
    await bob.resume()
    await bob.leave(room)
    await ada.sees(room, "ada")
    assert users(ada, room)[1:] == [{"ada"}, {"ada", "bob"}, {"ada"}]


async def test_who_stays_quietly_outlasts_the_lease(start, person, room):
    server = start(rooms=BRIEF)
    ada, bob, clock = [await person(user, at=server) for user in ("ada", "bob", "clock")]
    await ada.join(room)
    await bob.join(room)
    await ada.sees(room, "ada", "bob")
    await clock.join(f"{room}:clock")
    # Somebody without a connection, who says nothing more, shows that the time is over.
    await ada.http("POST", f"/rooms/{room}:clock/presence", {})
    await clock.sees(f"{room}:clock", "ada", "clock")
    await clock.sees(f"{room}:clock", "clock")
    members = (await ada.members(room))["members"]
    assert {member["user"] for member in members} == {"ada", "bob"}
    assert users(ada, room)[-1] == {"ada", "bob"}
    assert {"ada"} not in users(ada, room)[2:]


async def test_a_member_without_a_connection_has_a_lease(start, person, room, transport):
    server = start(rooms=BRIEF)
    ada, bob = await person("ada", at=server), await person("bob", at=server)
    await ada.join(room)
    if transport.is_duplex:
        assert await refusal(bob.show(room, {})) == "not_joined"
    else:
        await bob.show(room, {"away": True})
        await ada.sees(room, "ada", "bob")
        assert ada.roster(room)["bob"] == {"away": True}
    await ada.sees(room, "ada")


async def test_a_second_tab_is_no_second_join(person, room):
    ada = await person("ada")
    await ada.join(room)
    first, second = [await person("bob", session=new_session()) for _ in range(2)]
    await first.join(room)
    await second.join(room)
    await ada.sees(room, "ada", "bob")
    await connections(ada, room, {"ada": 1, "bob": 2})
    await first.close()
    await connections(ada, room, {"ada": 1, "bob": 1})
    await second.close()
    await ada.sees(room, "ada")
    assert users(ada, room)[1:] == [{"ada"}, {"ada", "bob"}, {"ada"}]


async def test_a_state_is_told_and_kept(person, room):
    ada, bob, eve = [await person(user) for user in ("ada", "bob", "eve")]
    await ada.join(room)
    await bob.join(room)
    for away in (True, False):
        await bob.show(room, {"away": away})
        await ada.link.until(lambda away=away: ada.roster(room).get("bob") == {"away": away})
    await eve.join(room)
    await eve.sees(room, "ada", "bob", "eve")
    assert eve.roster(room)["bob"] == {"away": False}


async def test_the_versions_of_a_roster_have_no_hole(person, room, transport):
    ada = await person("ada")
    await ada.join(room)
    await ada.sees(room, "ada")
    for number in range(5):
        guest = await person(f"guest{number}")
        await guest.join(room)
        await ada.sees(room, "ada", guest.user)
        await guest.leave(room)
        await ada.sees(room, "ada")
    told = [message["data"] for message in ada.all({"type": "presence"})]
    versions = [data["v"] for data in told if data["event"] != "sync"]
    if transport.is_leased:
        versions = [data["v"] for data in told]
        assert versions == sorted(versions), "a poll is told the whole roster, as often as it has changed"
    else:
        assert versions == list(range(versions[0], versions[0] + len(versions)))
    assert versions[-1] == (await ada.members(room))["v"]


async def test_who_may_not_see_the_roster_is_seen_and_shown_nobody(person, room):
    ada, eve = await person("ada"), await person("eve", rooms={"*": ["join"]})
    await ada.join(room)
    await eve.join(room)
    await ada.sees(room, "ada", "eve")
    await publish(ada, room)
    await eve.reads(room, 1)
    assert eve.all({"type": "presence"}) == []


async def test_who_only_reads_is_no_member(person, room):
    ada, ghost = await person("ada"), await person("ghost")
    await ghost.join(room, presence=False)
    await ada.join(room)
    await ada.sees(room, "ada")
    await publish(ada, room)
    await ghost.reads(room, 1)
    assert (await ada.members(room))["count"] == 1
    assert "ghost" not in {user for roster in ada.rosters(room) for user in roster}


async def test_beyond_roster_max_only_the_number_is_told(start, person, room):
    server = start(rooms=[{"pattern": "*", "users": ["*"], "presence": {"roster_max": 3}}])
    ada = await person("ada", at=server)
    await ada.join(room)
    for number in range(5):
        await (await person(f"user{number}", at=server)).join(room)
    counted = await ada.take(lambda m: m["type"] == "presence" and m["data"].get("count") == 6)
    assert "user" not in counted["data"]
    assert len(counted["data"].get("members", [])) <= 6
