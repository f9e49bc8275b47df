"""Tokens: bad ones, their rights, their end, and a fresh one in time."""

import time

import pytest

from scenarios.people import as_back_end, publish, refusal
from support.tokens import mint

# Long enough to come in, short enough to wait for.
LIFE_SECONDS = 1.5


def short_lived(user):
    return mint(user, seconds=None, exp=time.time() + LIFE_SECONDS)


@pytest.mark.parametrize(
    "token, code",
    [
        ("nonsense", "unauthorized"),
        (mint(secret="x" * 40), "unauthorized"),
        (mint(info={"x": "y" * 9000}), "unauthorized"),
        (mint(seconds=-1), "token_expired"),
    ],
    ids=["word", "foreign", "over 8 KiB", "expired"],
)
async def test_a_bad_token_opens_nothing(person, room, token, code):
    async def come():
        await (await person("ada", token=token)).join(room)

    assert await refusal(come()) == code


async def test_without_a_token_nobody_comes_in_unless_a_rule_says_so(person, start, room):
    async def come(**keywords):
        guest = await person(None, **keywords)
        await guest.join(room)
        return guest

    assert await refusal(come()) == "unauthorized"
    server = start(rooms=[{"pattern": "*", "anonymous": ["join", "send"]}])
    guest = await come(at=server)
    await guest.send(room)
    author = (await guest.take({"type": "text"}))["data"]["author"]
    assert author.startswith("guest_")
    assert await refusal(guest.history(room)) == "forbidden"
    await guest.cut()
    await guest.resume()
    await guest.send(room)
    assert (await guest.take({"type": "text", "seq": 2}))["data"]["author"] == author


async def test_rights_hold_per_room(person):
    rights = {"read:*": ["join"], "past:*": ["join", "history"], "say:*": ["join", "send"]}
    ada = await person("ada", rooms=rights)
    assert await refusal(ada.join("else:1")) == "forbidden"
    for room in ("read:1", "past:1", "say:1"):
        await ada.join(room)
        may_send, may_look_back = room.startswith("say"), room.startswith("past")
        for may, doing in [
            (may_send, ada.send(room)),
            (may_send, ada.typing(room)),
            (may_look_back, ada.history(room)),
        ]:
            if may:
                await doing
            else:
                assert await refusal(doing) == "forbidden"
        assert await refusal(ada.members(room)) == "forbidden"


async def test_the_newest_n_need_the_right_history(person, room):
    ada = await person("ada", rooms={"*": ["join"]})
    assert await refusal(ada.join(room, last=1)) == "forbidden"
    await ada.join(room)


async def test_a_token_that_ends_ends_the_connection_and_leaves_no_hole(person, room, transport):
    end = time.time() + LIFE_SECONDS
    ada, bob = await person("ada", token=mint("ada", seconds=None, exp=end)), await person("bob")
    await ada.join(room)
    await publish(bob, room)
    await ada.reads(room, 1)
    assert await ada.ended() == "token_expired"
    assert end - 0.1 <= time.time() <= end + 5, "1 s, and time for a busy machine"
    told = ada.all({"type": "system", "data": {"event": "expiring"}})
    if transport.is_leased:
        assert told == [], "a poll has no place for it"
    else:
        assert 0 <= told[0]["data"]["expires_in"] <= LIFE_SECONDS
    if transport.is_duplex:
        assert ada.link.ended.code == 1008
    await publish(bob, room)
    assert await refusal(ada.resume()) == "token_expired"
    ada.token = mint("ada")
    assert (await ada.resume())["recovered"] is True
    await ada.reads(room, 2)
    assert ada.seqs(room) == [1, 2]


async def test_a_fresh_token_in_time_goes_on_without_a_hole_or_a_leave(person, room):
    ada, bob = await person("ada", token=short_lived("ada")), await person("bob")
    await bob.join(room)
    await ada.join(room)
    await bob.sees(room, "ada", "bob")
    await publish(bob, room, 2)
    await ada.refresh(mint("ada"))
    witness = await person("eve", token=short_lived("eve"))
    await witness.join(f"{room}:witness")
    await publish(bob, room, 2)
    await witness.ended()
    await publish(bob, room)
    await ada.reads(room, 5)
    await bob.reads(room, 5)
    assert ada.seqs(room) == [1, 2, 3, 4, 5]
    assert [set(roster) for roster in bob.rosters(room) if roster][-1] == {"ada", "bob"}
    assert sum("ada" not in roster for roster in bob.rosters(room)) <= 2, "nobody, bob alone; then both"


async def test_a_token_of_another_user_is_not_taken_in_place(person, room, transport):
    ada = await person("ada")
    await ada.join(room)
    if transport.is_duplex:
        assert await refusal(ada.refresh(mint("eve"))) == "forbidden"
        assert await refusal(ada.refresh("nonsense")) == "unauthorized"
        author = "ada"
    else:
        await ada.refresh(mint("eve"))
        author = "eve"  # the next request is another user's, who shares nothing but the text of the session
    await ada.send(room)
    await ada.reads(room, 1)
    assert ada.logged(room)[0]["data"]["author"] == author


async def test_fewer_rights_end_the_rooms_lost(person, room, transport):
    lost, kept = f"lost:{room}", f"kept:{room}"
    ada, bob = await person("ada", rooms={"*": ["*"]}), await person("bob")
    await ada.join(lost, kept)
    fewer = mint("ada", rooms={"kept:*": ["*"]})
    if transport.is_duplex:
        await ada.refresh(fewer)
        kicked = await ada.take({"type": "system", "data": {"event": "kicked"}})
        assert kicked["data"]["room"] == lost and kicked["data"]["reason"]
        await publish(bob, lost)
        await publish(bob, kept)
        await ada.reads(kept, 1)
        assert ada.logged(lost) == []
    elif transport.is_leased:
        await ada.refresh(fewer)
        await publish(bob, kept)
        assert await ada.ended() == "forbidden", "what asks for a room that it may not read gets none"
    else:
        assert await refusal(ada.refresh(fewer)) == "forbidden"


async def test_a_back_end_ends_the_connections_of_a_user(person, room, transport):
    ada, bob = await person("ada"), await person("bob")
    await ada.join(room)
    await bob.join(room)
    counted = await as_back_end(bob, "DELETE", "/users/ada/connections")
    if transport.is_leased:
        await publish(bob, room)
        await ada.reads(room, 1)  # its poll ended empty, and the next is as good as any: a ban is the token's
    else:
        assert counted["connections"] == 1
        assert await ada.ended() == "kicked"
    await publish(bob, room)
    await bob.link.until(lambda: bob.logged(room))
