"""Who is typing: told to the others, ended by word, by the lease, by going."""

import pytest

from scenarios.people import everybody_reads, publish

# Who says when to wait: less than it takes for the lease of 5 s to end by itself.
AT_ONCE_SECONDS = 4


def shown(one, room):
    return [message["data"]["typing"] for message in one.all({"type": "typing", "room": room})]


async def both(person, room, server=None):
    people = [await person(user, at=server) for user in ("ada", "bob")]
    for one in people:
        await one.join(room, presence=False)
    await everybody_reads(room, *people)
    return people


async def test_typing_is_told_to_the_others_and_ended_by_word(person, room):
    ada, bob = await both(person, room)
    for _ in range(5):
        await ada.typing(room)
    typing = await bob.take({"type": "typing"})
    assert typing["data"] == {"typing": True, "author": "ada"} and "seq" not in typing
    await everybody_reads(room, ada, bob)
    await ada.typing(room, False)
    await bob.link.until(lambda: shown(bob, room) == [True, False], AT_ONCE_SECONDS)
    await publish(bob, room)
    await ada.reads(room, 1)
    await bob.reads(room, 1)
    assert shown(bob, room) == [True, False], "at most once a second"
    assert shown(ada, room) == [], "not what the same session reads with"


async def test_typing_ends_with_its_lease(start, person, room):
    ada, bob = await both(person, room, start(limits={"typing_lease_seconds": 1}))
    await ada.typing(room)
    await bob.link.until(lambda: shown(bob, room) == [True])
    await bob.link.until(lambda: shown(bob, room) == [True, False])


@pytest.mark.parametrize("end", ["leave", "close", "cut"])
async def test_typing_ends_with_who_goes(person, room, transport, end):
    ada, bob = await both(person, room)
    await ada.typing(room)
    await bob.link.until(lambda: shown(bob, room) == [True])
    await everybody_reads(room, ada, bob)
    await (ada.leave(room) if end == "leave" else ada.close() if end == "close" else ada.cut())
    # What is typed by request ends by request, or by its lease; as it does until a loss is noticed.
    is_noticed = end != "cut" or (transport.is_duplex and not transport.is_missed)
    patience = AT_ONCE_SECONDS if is_noticed else 2 * AT_ONCE_SECONDS
    await bob.link.until(lambda: shown(bob, room) == [True, False], patience)
