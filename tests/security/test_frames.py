"""Attacks in frames: protocol errors and their codes, declared sizes, floods, bombs, hostile JSON."""

import json
import os
import struct
import time
import zlib

import pytest

from support import server as servers
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame

MIB = 1024 * 1024
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def open_(server, **keywords):
    raw = Raw(server, keywords.pop("receive_buffer", None))
    raw.upgrade(**keywords)
    return raw


@pytest.fixture
def alone():
    """A server of the test's own, whose memory nobody else uses."""
    server = servers.dev()
    yield server
    assert server.alive
    server.kill()


PROTOCOL_ERRORS = {
    "unmasked": frame(TEXT, b'{"type":"ping"}', masked=False),
    "RSV1 without the extension": frame(TEXT, b'{"type":"ping"}', rsv=4),
    "RSV2": frame(TEXT, b'{"type":"ping"}', rsv=2),
    "RSV3": frame(TEXT, b'{"type":"ping"}', rsv=1),
    "reserved data opcode": frame(0x3, b"x"),
    "reserved control opcode": frame(0xB, b"x"),
    "fragmented ping": frame(PING, b"x", fin=False),
    "ping of 126 bytes": frame(PING, b"x" * 126),
    "close of 126 bytes": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "stray continuation": frame(CONTINUATION, b"x"),
    "stray first fragment's end": frame(CONTINUATION, b"x", fin=False),
    "text inside a fragmented text": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    "close of one byte": frame(CLOSE, b"\x03"),
    "close 999": frame(CLOSE, struct.pack("!H", 999)),
    "close 1005": frame(CLOSE, struct.pack("!H", 1005)),
    "close 1006": frame(CLOSE, struct.pack("!H", 1006)),
    "close 65535": frame(CLOSE, struct.pack("!H", 65535)),
}


@pytest.mark.parametrize("error", PROTOCOL_ERRORS)
def test_a_protocol_error_is_close_1002(dev, error):
    with open_(dev) as raw:
        raw.send(PROTOCOL_ERRORS[error])
        assert raw.closed()[0] == 1002


def test_a_compressed_control_frame_is_close_1002(dev):
    with open_(dev, extra=[DEFLATE]) as raw:
        raw.send(frame(PING, b"x", rsv=4))
        assert raw.closed()[0] == 1002


BAD_UTF8 = {
    "stray continuation byte": frame(TEXT, b'"\x80"'),
    "overlong": frame(TEXT, b'"\xc0\xaf"'),
    "surrogate": frame(TEXT, b'"\xed\xa0\x80"'),
    "beyond Unicode": frame(TEXT, b'"\xf4\x90\x80\x80"'),
    "cut at the end": frame(TEXT, b'"\xe2\x82'),
    "in a second fragment": frame(TEXT, b'"', fin=False) + frame(CONTINUATION, b"\xff"),
    "in a close reason": frame(CLOSE, struct.pack("!H", 1000) + b"\xff\xfe"),
}


@pytest.mark.parametrize("text", BAD_UTF8)
def test_bad_utf8_is_close_1007(dev, text):
    with open_(dev) as raw:
        raw.send(BAD_UTF8[text])
        assert raw.closed()[0] == 1007


@pytest.mark.parametrize("length", [2**30, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_huge_declared_length_is_close_1009_at_once(alone, length, opcode):
    with open_(alone) as raw:
        before = alone.resident_bytes
        raw.send(frame(opcode, length=length))
        expected = (1009,) if opcode == TEXT else (1009, 1003)
        assert raw.closed()[0] in expected
        assert alone.resident_bytes - before < 4 * MIB, "nothing is allocated for it"


def test_who_still_writes_when_refused_is_read_for_five_seconds_and_no_longer(dev):
    """To hang up on them sooner would reset the connection, which may cost them the close they were told."""
    with open_(dev) as raw:
        raw.send(frame(TEXT, length=1 << 30))
        assert raw.next_close() == 1009
        raw.ended()
        refused = time.monotonic()
        while raw.send(b"x") and not raw.is_reset(within_ms=50):
            pass
        assert 4.5 < time.monotonic() - refused < 15


def test_a_message_of_too_many_fragments_is_close_1009(alone):
    with open_(alone) as raw:
        before = alone.resident_bytes
        raw.send(frame(TEXT, fin=False))
        empty = frame(CONTINUATION, fin=False) * 1000
        for _ in range(200):
            if not raw.send(empty):
                break
        assert raw.closed()[0] == 1009
        assert alone.resident_bytes - before < 8 * MIB


def test_fragments_together_are_no_larger_than_a_message(dev):
    with open_(dev) as raw:
        raw.send(frame(TEXT, b"x" * 60_000, fin=False) + frame(CONTINUATION, b"x" * 60_000, fin=False))
        assert raw.closed()[0] == 1009


def test_a_message_in_fragments_with_pings_between_is_read(dev):
    with open_(dev) as raw:
        raw.send(
            frame(TEXT, b'{"type":"pi', fin=False) + frame(PING, b"p") + frame(CONTINUATION, b'ng","id":"f"}')
        )
        assert raw.message(lambda message: message.get("id") == "f")["type"] == "ack"


def test_more_than_twenty_control_frames_a_second_are_rate_limited(dev):
    with open_(dev) as raw:
        raw.send(frame(PING, b"x") * 100)
        code, reason = raw.closed()
        assert code == 1008 and reason.startswith("rate_limited: ")


def test_a_flood_of_pings_that_are_never_read_is_cut_off(alone):
    with open_(alone, receive_buffer=4096) as raw:
        before = alone.resident_bytes
        pings = frame(PING, b"x" * 125) * 1000
        started = time.monotonic()
        while raw.send(pings):
            assert time.monotonic() - started < 10, "it is still being read"
        assert alone.resident_bytes - before < 8 * MIB


def test_a_few_pings_are_answered(dev):
    with open_(dev) as raw:
        raw.send(b"".join(frame(PING, bytes([number])) for number in range(5)))
        pongs = []
        while len(pongs) < 5:
            opcode, payload, _ = raw.next_frame()
            pongs += [payload] if opcode == PONG else []
        assert pongs == [bytes([number]) for number in range(5)]


def test_compression_is_without_context_takeover(dev, room):
    with Raw(dev) as raw:
        headers = raw.upgrade(f"/ws/{room}", extra=[DEFLATE])
        agreed = headers["sec-websocket-extensions"]
        assert agreed.startswith("permessage-deflate") and "server_no_context_takeover" in agreed
        for _ in range(2):
            raw.send_json({"type": "text", "data": {"content": "x" * 20_000}})
            large = next(found for found in iter(raw.next_frame, None) if found[2])
            assert len(large[1]) < 1000
            text = zlib.decompressobj(-15).decompress(large[1] + b"\0\0\xff\xff")
            assert json.loads(text)["data"]["content"] == "x" * 20_000


def test_small_messages_go_plain(dev):
    with open_(dev, extra=[DEFLATE]) as raw:
        raw.send_json({"type": "ping"})
        assert [raw.next_frame()[2] for _ in range(2)] == [False, False]


def test_a_deflate_bomb_is_close_1009_and_costs_no_memory(alone):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(compressor.compress(b"\0" * MIB) for _ in range(256)) + compressor.flush(
        zlib.Z_SYNC_FLUSH
    )
    for payload in (bomb[:-4], bomb[:60_000]):
        with open_(alone, extra=[DEFLATE]) as raw:
            before = alone.resident_bytes
            raw.send(frame(TEXT, payload, rsv=4))
            assert raw.closed()[0] == 1009
            assert alone.resident_bytes - before < 16 * MIB


def test_broken_compression_is_told(dev):
    with open_(dev, extra=[DEFLATE]) as raw:
        raw.send(frame(TEXT, b"\xff" * 50, rsv=4))
        assert raw.closed()[0] in (1002, 1007)


HOSTILE = {
    "10,000 levels of arrays": '{"a":' + "[" * 10_000 + "]" * 10_000 + "}",
    "10,000 levels of objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "10,000 levels, never closed": '{"a":' + "[" * 10_000,
    "a duplicate key": '{"a":1,"a":2}',
    "a duplicate key, escaped": '{"author":"x","\\u0061uthor":"y"}',
    "a number of 10,000 digits": '{"a":' + "9" * 10_000 + "}",
    "an array": "[1]",
    "a string": '"x"',
    "a number": "5",
    "a lone high surrogate": '{"a":"\\ud800"}',
    "a lone low surrogate": '{"a":"\\udc00"}',
    "surrogates the wrong way round": '{"a":"\\udc00\\ud800"}',
    "a lone surrogate in a key": '{"\\ud800":1}',
    "a control character": '{"a":"\x01"}',
    "no number": '{"a":NaN}',
    "a comment": '{"a":1/**/}',
}


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_json_is_a_bad_request_and_the_connection_lives(dev, room, data):
    with Raw.joined(dev, room) as raw:
        raw.send(frame(TEXT, f'{{"type":"text","room":"{room}","id":"h","data":{HOSTILE[data]}}}'.encode()))
        error = raw.message(lambda message: message["type"] in ("ack", "error", "text"))
        assert error["type"] == "error" and error["data"]["code"] == "bad_request", error
        assert raw.lives()


def test_a_hostile_envelope_is_a_bad_request_and_the_connection_lives(dev):
    envelopes = [
        "[" * 10_000,
        "9" * 10_000,
        '{"type":"text","seq":' + "9" * 10_000 + "}x",
        '{"type":"\\ud800"}',
        "\0",
    ]
    with open_(dev) as raw:
        for envelope in envelopes:
            raw.send(frame(TEXT, envelope.encode()))
            error = raw.message(lambda message: message["type"] == "error")
            assert error["data"]["code"] in ("bad_request", "unknown_type")
            assert raw.lives()


def test_noise_never_brings_the_server_down(alone):
    for seed in range(200):
        with open_(alone, extra=[DEFLATE] if seed % 2 else []) as raw:
            raw.send(os.urandom(300))
            raw.socket.shutdown(1)
            raw.ended()
    with open_(alone) as raw:
        assert raw.lives()
