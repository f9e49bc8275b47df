"""Tokens, rights, guests and origins in `serve` (PROTOCOL section 4)."""

import asyncio
import time

import pytest

from support.clients import both_peers
from support.tokens import mint

ORIGIN = "https://app.example"


@pytest.fixture
def server(serve):
    return serve(server={"origins": [ORIGIN]})


async def refused(connect, server, **keywords):
    """The close of a connection that must not get a welcome."""
    client = await connect(server, welcomed=False, **keywords)
    closed = await client.closed()
    assert client.seen == [], "a refused connection gets no welcome, only the close"
    return closed


@both_peers
async def test_a_token_names_the_user(server, connect, room):
    ada = await connect(server, token=mint("ada"))
    assert ada.user == "ada"
    await ada.join(room)
    await ada.text(room, content="x")
    assert (await ada.take({"type": "text"}))["data"]["author"] == "ada"


async def test_a_token_may_come_in_a_header(server, connect):
    assert (await connect(server, headers={"Authorization": f"Bearer {mint('ada')}"})).user == "ada"


async def test_a_token_may_come_in_the_cookie_named_in_the_config(serve, connect):
    server = serve(auth={"cookie": "roomcast_token"})
    client = await connect(server, headers={"Cookie": f"a=b; roomcast_token={mint('ada')}; c=d"})
    assert client.user == "ada"


@both_peers
@pytest.mark.parametrize(
    "token", ["", "nonsense", "a.b.c", mint(secret="x" * 40)], ids=["empty", "word", "dots", "foreign"]
)
async def test_a_bad_token_is_accepted_then_closed(server, connect, token):
    closed = await refused(connect, server, token=token)
    assert closed.code == 1008 and closed.reason.startswith("unauthorized: ")
    assert len(closed.reason.encode()) <= 123


async def test_no_token_where_nobody_is_anonymous(server, connect):
    closed = await refused(connect, server)
    assert closed.code == 1008 and closed.reason.startswith("unauthorized: ")


async def test_an_expired_token(server, connect):
    closed = await refused(connect, server, token=mint(seconds=-1))
    assert closed.code == 1008 and closed.reason.startswith("token_expired")


async def test_why_is_in_the_log_without_the_token(server, connect):
    token = mint(secret="x" * 40)
    await refused(connect, server, token=token)
    server.terminate()
    server.wait()
    assert "unauthorized" in server.output or "signature" in server.output.lower()
    assert token not in server.output and token.split(".")[2] not in server.output


async def test_a_guest_where_a_rule_allows_one(serve, connect, room):
    server = serve(rooms=[{"pattern": "open:*", "anonymous": ["join"]}, {"pattern": "*", "users": ["*"]}])
    guest = await connect(server)
    assert guest.user.startswith("guest_")
    await guest.join("open:" + room)
    assert (await guest.request("join", room))["data"]["code"] == "forbidden"
    assert (await guest.request("text", "open:" + room, {"x": 1}))["data"]["code"] == "forbidden"


async def test_without_the_right_presence_the_roster_is_hidden(server, connect):
    ada = await connect(server, token=mint("ada", rooms={"*": ["join"]}))
    joined = await ada.join("hall")
    assert joined["members"] == [] and "v" not in joined
    bob = await connect(server, token=mint("bob"))
    await bob.join("hall")
    await bob.text("hall", content="x")
    await ada.take({"type": "text"})
    assert ada.all({"type": "presence"}) == []


async def test_info_is_shown_in_presence(server, connect, room):
    ada = await connect(server, token=mint("ada", info={"name": "Ada L."}))
    assert (await ada.join(room))["members"][0]["info"] == {"name": "Ada L."}


async def test_the_end_of_a_token_is_told_in_time_and_not_before(serve, connect):
    end = int(time.time()) + 5
    server = serve(limits={"token_expiring_notice_seconds": 2})
    ada = await connect(server, token=mint("ada", exp=end))
    expiring = await ada.take({"type": "system", "data": {"event": "expiring"}})
    assert end - 3.2 <= time.time() <= end
    assert 0 < expiring["data"]["expires_in"] <= 3


async def test_a_token_is_refreshed_in_place(server, connect, room):
    end = int(time.time()) + 3
    ada = await connect(server, token=mint("ada", exp=end))
    await ada.join(room)
    ack = await ada.request("auth", data={"token": mint("ada", exp=end + 600)})
    assert ack["type"] == "ack" and ack["data"]["status"] == "authenticated"
    assert ack["data"]["user"] == "ada" and ack["data"]["expires_at"] == end + 600
    witness = await connect(server, token=mint("bob", exp=end + 1))
    assert (await witness.closed()).reason.startswith("token_expired")
    await ada.text(room, content="still here, in the same room")


@both_peers
async def test_pages_of_the_allow_list_and_programs_pass(server, connect):
    for headers in ({"Origin": ORIGIN}, {}):
        await (await connect(server, token=mint(), headers=headers)).settled()


@both_peers
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"]
)
async def test_a_foreign_page_is_accepted_then_closed(server, connect, origin):
    closed = await refused(connect, server, token=mint(), headers={"Origin": origin})
    assert closed.code == 1008 and closed.reason.startswith("origin: ")


async def test_in_dev_pages_of_this_machine_pass(dev, connect):
    for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080"):
        await (await connect(dev, headers={"Origin": origin})).settled()
    closed = await refused(connect, dev, headers={"Origin": "https://evil.example"})
    assert closed.code == 1008 and closed.reason.startswith("origin: ")


async def test_many_tokens_end_at_once(server, connect):
    end = int(time.time()) + 3
    clients = await asyncio.gather(*(connect(server, token=mint(f"user{n}", exp=end)) for n in range(100)))
    closes = await asyncio.gather(*(client.closed() for client in clients))
    assert all(closed.reason.startswith("token_expired") for closed in closes)
    assert time.time() <= end + 3
