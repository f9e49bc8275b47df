"""What QUIC and HTTP/3 open to an attacker, with `aioquic`: handshakes, streams and datagrams are all bounded."""

import asyncio
import json
import os
import socket

import pytest
import pytest_asyncio
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from support import server as servers
from support.clients import PATIENCE, Client, Closed
from support.server import TLS
from support.tokens import mint
from support.webtransport import WebTransport

MIB = 1024 * 1024
OPEN = {"pattern": "*", "anonymous": ["*"]}


@pytest.fixture
def secure(serve):
    """`serve` with TLS, and so with QUIC."""
    return lambda server=None, **changes: serve(rooms=[OPEN], server=TLS | (server or {}), engine="memory", **changes)


@pytest_asyncio.fixture
async def visit():
    """Opens sessions: `await visit(server, "/wt")`. They are gone when the test ends."""
    opened = []

    async def open_one(server, path="/wt", **query):
        text = "&".join(f"{key}={value}" for key, value in query.items())
        url = f"https://127.0.0.1:{server.port}{path}?{text}"
        opened.append(await asyncio.wait_for(WebTransport.open(url, TLS["tls_certificate"]), PATIENCE))
        return opened[-1]

    yield open_one
    for peer in opened:
        await peer.release()


async def welcomed(peer):
    """A client over a session that was let in."""
    client = Client(peer)
    client.welcome = (await client.take({"type": "system"}))["data"]
    return client


def half_a_handshake(server, sockets):
    """The first packets of a client that is never heard of again."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="127.0.0.1")
    quic = QuicConnection(configuration=configuration)
    quic.connect(("127.0.0.1", server.port), now=0.0)
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    for data, address in quic.datagrams_to_send(now=0.0):
        sockets[-1].sendto(data, address)


async def test_handshakes_that_are_never_ended_shut_nobody_out(secure, visit, room):
    """Each takes a place until its deadline; from half of them on, only who proves its address gets one."""
    server = secure({"quic_handshakes_max": 8, "headers_timeout_seconds": 300})
    sockets = []
    for _ in range(500):
        half_a_handshake(server, sockets)
    client = await welcomed(await visit(server))
    await client.join(room)
    for open_socket in sockets:
        open_socket.close()


async def test_an_unfinished_handshake_ends_at_its_deadline(secure, visit):
    server = secure({"quic_handshakes_max": 1, "headers_timeout_seconds": 1})
    sockets = []
    half_a_handshake(server, sockets)
    while True:
        try:
            await welcomed(await visit(server))
            break
        except (Closed, ConnectionError):
            continue
    sockets[0].close()


async def test_a_session_without_a_stream_is_closed(secure, visit, monkeypatch):
    monkeypatch.setattr("aioquic.h3.connection.H3Connection.create_webtransport_stream", lambda *_: -1)
    peer = await visit(secure({"first_byte_timeout_seconds": 1}))
    with pytest.raises(Closed) as closed:
        await asyncio.wait_for(peer.receive(), PATIENCE)
    assert closed.value.code == 1002
    assert "no stream was opened" in closed.value.reason


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        pytest.param(b"\x80\x01\x00\x01", 1009, id="a length above the limit, and nothing after it"),
        pytest.param(b"\xff" * 8, 1009, id="the largest length there is"),
        pytest.param(b"\x02\xff\xfe", 1007, id="not UTF-8"),
    ],
)
async def test_what_is_no_message_ends_the_session(secure, visit, bytes_sent, code):
    peer = await visit(secure())
    peer._quic.send_stream_data(peer.stream, bytes_sent)
    peer.transmit()
    with pytest.raises(Closed) as closed:
        while True:
            await asyncio.wait_for(peer.receive(), PATIENCE)
    assert closed.value.code == code


async def test_streams_beyond_the_limit_are_not_given(secure, visit, room):
    """The client may want a thousand; it has three, and what it writes on the others stays with it."""
    server = secure()
    peer = await visit(server)
    client = await welcomed(peer)
    before = server.resident_bytes
    for _ in range(1000):
        stream = peer.http.create_webtransport_stream(peer.session)
        peer._quic.send_stream_data(stream, b"x" * 10_000)
    peer.transmit()
    await client.join(room)
    assert server.resident_bytes - before < 8 * MIB
    assert peer._quic._remote_max_streams_bidi <= 8, "what the server granted"


async def test_who_acknowledges_packets_but_grants_no_room_for_more_is_cut(secure, visit, room, monkeypatch):
    """Flow control stalls the stream while QUIC sees that the peer is alive."""
    server = secure(limits={"write_stall_timeout_seconds": 1, "sends_per_second": 0})
    for grant in ("_write_stream_limits", "_write_connection_limits"):
        monkeypatch.setattr(f"aioquic.quic.connection.QuicConnection.{grant}", lambda *_, **__: None)
    peer = await visit(server)
    stalled, writer = await welcomed(peer), await Client.welcomed(server)
    for client in (stalled, writer):
        await client.join(room)
    for _ in range(100):
        await writer.request("text", room, {"content": "x" * 30_000})
    async with asyncio.timeout(PATIENCE):
        while not peer.ended:
            await writer.settled()
    await writer.cut()


async def test_a_flood_of_datagrams_costs_what_is_counted(secure, visit, room):
    """They are messages like others, under the rate of others; the answers go on."""
    server = secure(limits={"sends_per_second": 10, "sends_burst": 10})
    peer = await visit(server)
    client = await welcomed(peer)
    await client.join(room)
    before = server.resident_bytes
    flood = json.dumps({"type": "cursor", "volatile": True, "room": room, "data": {"x": "y" * 800}})
    for _ in range(200):
        for _ in range(20):
            await peer.send_datagram(flood)
        await asyncio.sleep(0)
    await client.take({"type": "error", "data": {"code": "rate_limited"}})
    await client.send("ping", id="p")
    await client.take({"type": "ack", "id": "p"})
    assert server.resident_bytes - before < 16 * MIB


async def test_a_datagram_that_is_no_message_is_answered(secure, visit):
    peer = await visit(secure())
    client = await welcomed(peer)
    await peer.send_datagram("{")
    await client.take({"type": "error", "data": {"code": "bad_request"}})
    peer.http.send_datagram(peer.session, b"\xff\xfe")
    peer.transmit()
    assert (await client.closed()).code == 1007


async def test_garbage_and_plain_http_3_are_survived(secure, visit, room):
    server = secure()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for size in (1, 20, 1200, 1472):
            noise.sendto(os.urandom(size), ("127.0.0.1", server.port))
            noise.sendto(b"\xc0\x00\x00\x00\x01" + os.urandom(size), ("127.0.0.1", server.port))
    peer = await visit(server)
    asked = peer._quic.get_next_available_stream_id()
    head = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": "/healthz"}
    peer.http.send_headers(asked, [(name.encode(), value.encode()) for name, value in head.items()], end_stream=True)
    peer.transmit()
    client = await welcomed(await visit(server))
    await client.join(room)


async def test_a_path_that_is_not_ours_is_refused(secure, visit):
    server = secure()
    for path in ("/ws", "/wt/a/b", "/"):
        with pytest.raises(AssertionError, match="404"):
            await visit(server, path)


async def test_no_token_is_logged_however_much_is(tmp_path, visit):
    server = servers.serve(tmp_path, server=TLS, log="trace")
    token = mint("ada")
    await welcomed(await visit(server, token=token))
    session = "abcdefghijklmnopqrstuv"
    await welcomed(await visit(server, token=token, session=session))
    server.terminate()
    assert server.wait() == 0
    assert token not in server.output and token.split(".")[2] not in server.output
    assert session not in server.output
