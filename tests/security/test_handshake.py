"""Attacks on the way in: malformed upgrades, oversized headers, slow and silent peers."""

import threading
import time

import pytest

from support import server as servers
from support.raw import Raw, upgrade_headers
from support.tokens import mint

HALF_A_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.mark.parametrize("version", ["8", "12", "99", ""])
def test_a_wrong_version_is_426_with_the_right_one(dev, version):
    with Raw(dev) as raw:
        status, headers, _ = raw.request("GET /ws", *upgrade_headers(version=version))
        assert status == 426 and headers["sec-websocket-version"] == "13"


KEYS = ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "not*base64*at*all*12345=", "AAAAAAAAAAAAAAAAAAAAAAAAAA=="]


@pytest.mark.parametrize("key", KEYS, ids=["missing", "short", "unpadded", "no base64", "long"])
def test_a_bad_key_is_400(dev, key):
    with Raw(dev) as raw:
        assert raw.request("GET /ws", *upgrade_headers(key=key))[0] == 400


def test_an_upgrade_by_another_method_is_refused(dev):
    with Raw(dev) as raw:
        assert raw.request("POST /ws", *upgrade_headers(), "Content-Length: 0")[0] in (400, 405)


def test_a_plain_request_to_the_socket_s_path_says_what_is_missing(dev):
    with Raw(dev) as raw:
        status, _, body = raw.request("GET /ws")
        assert status in (400, 426) and b"upgrade" in body.lower()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_foreign_origin_is_refused_where_there_is_an_allow_list(serve, origin):
    server = serve(server={"origins": ["https://app.example"]})
    with Raw(server) as raw:
        raw.upgrade(extra=[f"Origin: {origin}"], token=mint())
        code, reason = raw.closed()
        assert code == 1008 and reason.startswith("origin: ")


def test_a_page_of_this_machine_is_allowed_in_dev(dev):
    with Raw(dev) as raw:
        raw.upgrade(extra=["Origin: http://localhost:3000"])
        assert raw.lives()


def at_once(work):
    """Runs it and asserts that it took nothing like the deadline of a header."""
    started = time.monotonic()
    result = work()
    assert time.monotonic() - started < 8
    return result


HEADERS = {"1 MiB": [f"X-Large: {'x' * 1_048_576}"], "5,000": [f"X-{n}: {n}" for n in range(5000)]}


@pytest.mark.parametrize("size", HEADERS)
def test_too_many_headers_are_431_or_cut_at_once(dev, size):
    with Raw(dev) as raw:
        status, _, _ = at_once(lambda: raw.request("GET /ws", *upgrade_headers(), *HEADERS[size]))
        assert status in (431, None)
        raw.ended()


def test_content_length_with_transfer_encoding_is_400(dev):
    lengths = ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Type: application/json"]
    with Raw(dev) as raw:
        assert raw.request("POST /rooms/r/messages", *lengths, body=b"0\r\n\r\n")[0] == 400


@pytest.mark.parametrize("path", ["/healthz", "/poll/r", "/ws"])
@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"]], ids=["no host", "two"])
def test_a_request_names_one_host(dev, path, hosts):
    with Raw(dev) as raw:
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        raw.send(f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        answer = raw.ended()
        assert answer.startswith(b"HTTP/1.1 400 ") and b'"bad_request"' in answer


def test_two_content_lengths_are_400(dev):
    with Raw(dev) as raw:
        assert (
            raw.request("POST /rooms/r/messages", "Content-Length: 2", "Content-Length: 3", body=b"{}")[0]
            == 400
        )


@pytest.mark.parametrize("bad", [{"version": "8"}, {"key": "short"}], ids=["version", "key"])
def test_a_failed_upgrade_is_no_tunnel(dev, bad):
    with Raw(dev) as raw:
        smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        status, _, _ = raw.request("GET /ws", *upgrade_headers(**bad), body=smuggled)
        assert status in (400, 426)
        rest = raw.ended()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 200 "), rest


def test_the_wrong_protocol_alone_is_no_upgrade(dev):
    with Raw(dev) as raw:
        headers = ["Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
        status, _, _ = raw.request("GET /healthz", *headers)
        assert status == 200


def test_carriage_returns_in_a_session_reach_no_header(dev):
    with Raw(dev) as raw:
        session = "aaaaaaaaaaaaaaaa%0d%0aX-Evil:%201"
        status, headers, _ = raw.request(f"GET /rooms/r/messages?session={session}")
        assert "x-evil" not in headers and status in (200, 400)


@pytest.fixture(scope="module")
def slow_peers():
    """All that waits for a deadline of the real length, at once: how long each connection was kept."""
    server = servers.dev()
    attacks = {"silent": b"", "half a line": b"GET /heal", "half a header": HALF_A_REQUEST}
    kept = {}

    def drip(name, start, each_second):
        with Raw(server) as raw:
            raw.socket.settimeout(1)
            started, open_ = time.monotonic(), raw.send(start)
            while open_ and time.monotonic() - started < 20:
                try:
                    open_ = raw.fill()
                except TimeoutError:
                    open_ = raw.send(each_second)
            kept[name] = time.monotonic() - started

    slow = [
        ("one byte a second", HALF_A_REQUEST, b"x"),
        ("one header a second", HALF_A_REQUEST, b"\r\nX-More: y"),
    ]
    work = [(name, start, b"") for name, start in attacks.items()] + slow
    threads = [threading.Thread(target=drip, args=arguments) for arguments in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.kill()
    return kept


@pytest.mark.xdist_group("slow peers")
@pytest.mark.parametrize(
    "attack", ["silent", "half a line", "half a header", "one byte a second", "one header a second"]
)
def test_a_slow_peer_is_cut_within_ten_seconds(slow_peers, attack):
    assert slow_peers[attack] < 12, "10 s, and a second to notice it"


def test_the_deadline_is_a_key_of_the_configuration(serve):
    server = serve(server={"headers_timeout_seconds": 1, "first_byte_timeout_seconds": 1})
    for start in (b"", HALF_A_REQUEST):
        with Raw(server) as raw:
            raw.send(start)
            at_once(raw.ended)
