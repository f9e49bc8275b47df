"""TLS (`server.tls_certificate`): WebSocket, HTTP and events inside it, and a certificate exchanged while it runs."""

import asyncio
import datetime
import ipaddress
import json
import socket
import ssl

import aiohttp
import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import server as servers
from support.clients import PATIENCE
from support.tokens import mint


def write_certificate(folder, name):
    """A self-signed certificate for 127.0.0.1 under this common name; returns its serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate.serial_number


@pytest.fixture
def secure(serve, tmp_path):
    """A server with TLS, its first certificate's serial number beside it."""
    serial = write_certificate(tmp_path, "first")
    server = serve(server={"tls_certificate": "certificate.pem", "tls_key": "key.pem"})
    return server, serial


def trusting(folder, protocol="http/1.1"):
    context = ssl.create_default_context(cafile=folder / "certificate.pem")
    context.set_alpn_protocols([protocol])
    return context


def shown_serial(port):
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    return x509.load_der_x509_certificate(der).serial_number


async def test_a_websocket_inside_tls(secure, tmp_path, room):
    server, _ = secure
    url = f"wss://127.0.0.1:{server.port}/ws?token={mint('ada')}"
    async with websockets.connect(url, ssl=trusting(tmp_path), proxy=None, max_size=None) as socket:
        assert json.loads(await socket.recv())["data"]["event"] == "welcome"
        await socket.send(json.dumps({"type": "join", "room": room, "id": "j"}))
        for number in range(200):
            await socket.send(json.dumps({"type": "text", "room": room, "data": {"n": number, "pad": "x" * 1000}}))
        numbers = []
        while len(numbers) < 200:
            message = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
            if message["type"] == "text":
                numbers.append(message["data"]["n"])
        assert numbers == list(range(200))


async def test_http_and_events_inside_tls(secure, tmp_path, room):
    server, _ = secure
    headers = {"Authorization": f"Bearer {mint('ada')}"}
    base = f"https://127.0.0.1:{server.port}"
    connector = aiohttp.TCPConnector(ssl=trusting(tmp_path))
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        async with http.get(f"{base}/events/{room}") as events:
            assert events.status == 200
            await http.post(f"{base}/rooms/{room}/messages", json={"type": "text", "data": {"n": 1}})
            async for line in events.content:
                if line.startswith(b'data: {"type":"text"'):
                    break
            else:
                raise AssertionError("the stream ended without the message")


async def test_a_new_certificate_is_shown_without_a_restart(secure, tmp_path, room):
    server, first = secure
    assert shown_serial(server.port) == first
    url = f"wss://127.0.0.1:{server.port}/ws?token={mint('ada')}"
    async with websockets.connect(url, ssl=trusting(tmp_path), proxy=None) as standing:
        await standing.recv()
        second = write_certificate(tmp_path, "second")
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(shown_serial, server.port) == first:
                pass
        assert shown_serial(server.port) == second
        await standing.send(json.dumps({"type": "ping", "id": "p"}))
        assert json.loads(await standing.recv())["id"] == "p"


@pytest.mark.parametrize("missing", ["tls_key", "tls_certificate"])
def test_one_file_without_the_other_stops_the_start(tmp_path, missing):
    write_certificate(tmp_path, "half")
    files = {"tls_certificate": "certificate.pem", "tls_key": "key.pem"}
    del files[missing]
    with pytest.raises(RuntimeError, match=f"{missing}. is missing"):
        servers.serve(tmp_path, server=files)


def test_a_key_of_another_certificate_stops_the_start(tmp_path):
    write_certificate(tmp_path, "one")
    other = (tmp_path / "key.pem").read_bytes()
    write_certificate(tmp_path, "two")
    (tmp_path / "key.pem").write_bytes(other)
    with pytest.raises(RuntimeError, match="don't make a pair"):
        servers.serve(tmp_path, server={"tls_certificate": "certificate.pem", "tls_key": "key.pem"})


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_silence_inside_tls_is_cut(serve, tmp_path, protocol):
    write_certificate(tmp_path, "first")
    server = serve(
        server={"tls_certificate": "certificate.pem", "tls_key": "key.pem", "first_byte_timeout_seconds": 1}
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as peer:
        with trusting(tmp_path, protocol).wrap_socket(peer, server_hostname="127.0.0.1") as inside:
            assert inside.selected_alpn_protocol() == protocol
            assert inside.recv(1) == b"", "a peer that says nothing is not waited for"


def test_a_silent_handshake_is_cut(serve, tmp_path):
    write_certificate(tmp_path, "first")
    server = serve(
        server={"tls_certificate": "certificate.pem", "tls_key": "key.pem", "headers_timeout_seconds": 1}
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as peer:
        peer.sendall(b"\x16\x03\x01")
        assert peer.recv(1) == b"", "half a hello is not waited for"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM", id="half the preface"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", id="no request"),
        pytest.param(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\1\1\0\0\0\0\1\x82", id="half a head"
        ),
    ],
)
def test_who_never_asks_over_http_2_is_cut(serve, tmp_path, said):
    write_certificate(tmp_path, "first")
    tls = {"tls_certificate": "certificate.pem", "tls_key": "key.pem"}
    server = serve(server=tls | {"headers_timeout_seconds": 1})
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as peer:
        with trusting(tmp_path, "h2").wrap_socket(peer, server_hostname="127.0.0.1") as inside:
            inside.sendall(said)
            while inside.recv(4096):
                pass
