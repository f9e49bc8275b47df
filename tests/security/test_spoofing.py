"""Pretending to be somebody else, the server, or somewhere else; and names that must never collide or leak."""

import json

import aiohttp
import pytest

from support.clients import new_session
from support.raw import TEXT, Raw, frame
from support.tokens import mint

AUTHORS = [
    '{"author":"eve"}',
    '{"\\u0061uthor":"eve"}',
    '{"auth\\u006fr":"eve","x":1}',
    '{"author":{"name":"eve"}}',
    '{"author":null}',
    '{ "author" : "eve" , "x" : 1 }',
]


@pytest.mark.parametrize("data", AUTHORS)
def test_a_forged_author_is_dropped_however_it_is_written(dev, room, data):
    with Raw.joined(dev, room, user="ada") as raw:
        raw.send(frame(TEXT, f'{{"type":"text","room":"{room}","data":{data}}}'.encode()))
        text = next(payload.decode() for _, payload, _ in iter(raw.next_frame, None) if b'"text"' in payload)
        assert text.count("eve") == 0
        assert text.count("author") == 1 and json.loads(text)["data"]["author"] == "ada"


@pytest.mark.parametrize("field", ["seq", "prev", "timestamp", "epoch", "author", "user"])
async def test_the_server_s_fields_can_not_be_sent(dev, connect, room, field):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    await ada.request("text", room, {"content": "x"}, **{field: 4711})
    message = await bob.take({"type": "text"})
    assert message["seq"] == 1 and "4711" not in json.dumps(message)


async def test_messages_of_the_server_can_not_be_sent(dev, connect, room):
    ada, bob = await connect(dev, user="ada"), await connect(dev, user="bob")
    await ada.join(room)
    await bob.join(room)
    for type in ("ack", "system", "error", "message", "open"):
        error = await ada.request(type, room, {"event": "kicked", "status": "delivered", "user": "bob"})
        assert error["data"]["code"] == "unknown_type"
    for type, data in (
        ("presence", {"event": "leave", "user": "bob"}),
        ("typing", {"author": "bob", "user": "bob"}),
    ):
        await ada.request(type, room, data)
    await ada.text(room, content="end")
    await bob.take({"type": "text"})
    assert bob.all({"type": "presence", "data": {"event": "leave"}}) == []
    assert bob.all({"type": "typing", "data": {"author": "bob"}}) == []
    assert bob.all({"type": "system", "data": {"event": "kicked"}}) == []


async def test_another_s_session_is_not_taken_over(serve, connect, room):
    server, session = serve(), new_session()
    ada = await connect(server, token=mint("ada"), session=session)
    await ada.join(room)
    thief = await connect(server, token=mint("eve"), session=session, attempt=1000)
    assert thief.user == "eve"
    await thief.join(room)
    await thief.request("leave", room)
    await ada.settled()
    await ada.text(room, content="still here")


async def test_a_session_with_a_token_s_name_but_no_token_is_a_guest(serve, connect):
    server, session = serve(rooms=[{"pattern": "*", "users": ["*"], "anonymous": ["join"]}]), new_session()
    ada = await connect(server, token=mint("ada"), session=session)
    guest = await connect(server, session=session)
    assert guest.user.startswith("guest_")
    await ada.settled()


async def test_the_user_is_named_by_the_url_in_dev_alone(serve, connect):
    server = serve(rooms=[{"pattern": "*", "anonymous": ["*"]}])
    assert (await connect(server, user="admin")).user.startswith("guest_")
    assert (await connect(server, user="admin", token=mint("ada"))).user == "ada"


@pytest.mark.parametrize("session", ["short", "x" * 23, "ä" * 22, "=" * 22, "a b" * 7 + "a", "x" * 10_000])
async def test_a_session_that_is_none_is_refused_or_replaced(dev, session):
    with Raw(dev) as raw:
        raw.upgrade(session=session)
        opcode, payload, _ = raw.next_frame()
        if opcode == TEXT:
            assert json.loads(payload)["data"]["session"] != session
        else:
            assert int.from_bytes(payload[:2], "big") == 1008


async def test_a_forged_position_shows_nothing_of_another_room(dev, connect, room):
    ada = await connect(dev)
    epoch = (await ada.join(room))["epoch"]
    await ada.text(room, content="a secret of this room")
    thief = await connect(dev)
    for since in ({"epoch": epoch, "seq": 0}, f"{room}={epoch}.0", f"{epoch}.0"):
        await thief.request("join", room + "-else", {"since": since})
        await thief.request("leave", room + "-else")
        answer = await thief.request("history", room + "-else", {"since": since})
        assert answer["data"].get("messages", []) == []
    await thief.settled()
    assert "a secret of this room" not in json.dumps(thief.seen)


async def test_a_position_of_10_mib_is_refused(dev, connect, room):
    ada = await connect(dev, deflate=False)
    assert (await ada.refused("join", room, {"since": "x" * 10 * 1024 * 1024})).code == 1009
    bob = await connect(dev)
    answer = await bob.request("join", room, {"since": "x" * 20_000})
    assert answer["data"]["code"] == "bad_request"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{dev.http}/rooms/{room}/messages?since={'x' * 20_000}") as answer:
            assert answer.status in (400, 414, 431)


async def test_every_way_in_checks_the_same_rights(serve, connect):
    server = serve()
    token = mint("ada", rooms={"open:*": ["join"]})
    ada = await connect(server, token=token)
    for type in ("join", "history"):
        assert (await ada.request(type, "shut:1"))["data"]["code"] == "forbidden"
    bound = await connect(server, "/ws/shut:1", token=token)
    assert (await bound.closed()).reason.startswith("forbidden")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for method, path in (
            ("GET", "messages"),
            ("POST", "messages"),
            ("GET", "presence"),
            ("POST", "presence"),
            ("DELETE", "presence"),
            ("POST", "typing"),
        ):
            body = None if method in ("GET", "DELETE") else {"type": "text"} if path == "messages" else {}
            async with session.request(method, f"{server.http}/rooms/shut:1/{path}", json=body) as answer:
                assert answer.status == 403 and (await answer.json())["code"] == "forbidden", (method, path)


NO_NAMES = [
    "*",
    "?",
    "[a]",
    "{a}",
    "<a>",
    ">",
    "a\rb",
    "a\nb",
    "a\0b",
    "а",
    "ａ",
    "é",
    "../a",
    "a/../b",
    "a\\b",
    "a b",
    "a%b",
    "'",
    '"',
    "`",
    "a\u202eb",
    "\ufeffa",
    ";",
    "#",
    "$",
    "|",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
async def test_what_is_no_room_s_name_is_refused_everywhere(dev, connect, name):
    ada = await connect(dev)
    for type in ("join", "history"):
        assert (await ada.request(type, name))["data"]["code"] == "invalid_room"
    async with aiohttp.ClientSession() as session:
        escaped = "".join(f"%{byte:02x}" for byte in name.encode())
        url = aiohttp.client.URL(f"{dev.http}/rooms/{escaped}/messages", encoded=True)
        for method in ("GET", "POST"):
            async with session.request(
                method, url, json={"type": "text"} if method == "POST" else None
            ) as answer:
                assert answer.status == 400 and (await answer.json())["code"] == "invalid_room"
        with Raw(dev) as raw:
            raw.upgrade(f"/ws/{escaped}")
            code, reason = raw.closed()
            assert code == 1008 and reason.startswith("invalid_room")


async def test_names_that_look_alike_are_different_rooms(dev, connect, room):
    names = [
        f"{room}{end}"
        for end in ("a:b", "a.b", "a-b", "a_b", "a~b", "a@b", "a=b", "a+b", "A:B", "a:b:", ":a:b", ".", "..")
    ]
    ada = await connect(dev)
    for name in names:
        await ada.join(name)
        assert (await ada.text(name, of=name))["seq"] == 1, name
    for name in names:
        assert (await ada.take({"type": "text", "room": name}))["data"]["of"] == name


async def test_a_plus_in_a_path_is_a_plus(dev, connect, room):
    ada = await connect(dev, f"/ws/{room}+x")
    assert (await ada.take({"type": "ack"}))["data"]["room"] == room + "+x"


async def test_a_user_s_name_with_control_characters_reaches_no_log_line(serve, connect, room):
    server = serve()
    with Raw(server) as raw:
        raw.upgrade(token=mint("eve\r\nlevel=ERROR forged line"))
        raw.next_frame()
    await (await connect(server, token=mint("ada"))).settled()
    server.terminate()
    server.wait()
    assert not any(line.startswith("level=ERROR forged") for line in server.output.splitlines())


FORWARDED = ["X-Forwarded-For: 6.6.6.6, 198.51.100.1", "Forwarded: for=6.6.6.6, for=198.51.100.1"]


@pytest.mark.parametrize("header", FORWARDED)
@pytest.mark.parametrize("trusted, client", [([], "127.0.0.1"), (["127.0.0.0/8"], "198.51.100.1")])
def test_a_forwarded_address_is_believed_of_configured_proxies_alone(serve, header, trusted, client):
    server = serve(server={"trusted_proxies": trusted})
    with Raw(server) as raw:
        status, _, _ = raw.request("GET /rooms/x/messages", "Authorization: Bearer forged", header)
        assert status == 401
    with Raw(server) as raw:
        raw.upgrade("/ws", extra=[header], token="forged")
        raw.ended()
    server.kill()
    told = [line for line in server.output.splitlines() if "refused a" in line]
    assert len(told) == 2, server.output
    assert all(client in line and "6.6.6.6" not in line for line in told), told
