"""Streams of HTTP/2 whose client lets nothing through: each is ended, and its neighbours on the connection go on. And
connections on which nothing more is said: none of them holds up a server that is to stop."""

import asyncio
from collections import defaultdict

import h2.config
import h2.connection
import h2.events
import pytest
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

from support.clients import PATIENCE
from support.server import TLS, trusting
from support.streams import Browser

OPEN = {"pattern": "*", "anonymous": ["*"]}
READ_BYTES = 65536
# More than all streams of a test take: none waits for another.
CONNECTION_WINDOW = 10_000_000
# Far longer than a test has patience for a server to end.
SLOW_STOP = {"shutdown_timeout_seconds": 3600, "first_byte_timeout_seconds": 300, "headers_timeout_seconds": 300}


class Http2:
    """A client whose streams begin with no window at all. `events` is what came, by stream."""

    @classmethod
    async def open(cls, server):
        client = cls()
        context = trusting("h2")
        client.reader, client.writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        client.http = h2.connection.H2Connection(h2.config.H2Configuration())
        client.http.initiate_connection()
        client.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.http.increment_flow_control_window(CONNECTION_WINDOW)
        client.events = defaultdict(list)
        client.flush()
        return client

    def get(self, path, window=0):
        """Asks, and lets this many bytes of the answer through."""
        stream = self.http.get_next_available_stream_id()
        head = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        self.http.send_headers(stream, list(head.items()), end_stream=True)
        if window:
            self.http.increment_flow_control_window(window, stream)
        self.flush()
        return stream

    async def until(self, stream, kind):
        async with asyncio.timeout(PATIENCE):
            while not any(isinstance(event, kind) for event in self.events[stream]):
                data = await self.reader.read(READ_BYTES)
                assert data, "the connection was cut"
                for event in self.http.receive_data(data):
                    self.events[getattr(event, "stream_id", 0)].append(event)
                self.flush()

    async def rest(self):
        """The frames that come until the server hangs up, of which it is told nothing."""
        async with asyncio.timeout(PATIENCE):
            data = memoryview(await self.reader.read())
        frames = []
        while data:
            frame, length = Frame.parse_frame_header(data[:9])
            frame.parse_body(data[9 : 9 + length])
            frames.append(frame)
            data = data[9 + length :]
        return frames

    def flush(self):
        self.writer.write(self.http.data_to_send())


@pytest.fixture
async def stingy(serve, room):
    """A client that lets nothing through, of a server whose room holds 100 KB."""
    server = serve(rooms=[OPEN], engine="memory", server=TLS, limits={"write_stall_timeout_seconds": 1})
    browser = Browser(server)
    messages = [{"type": "text", "data": {"content": "x" * 10_000}}] * 10
    assert (await browser.call("POST", f"/rooms/{room}/messages", messages)).status_code == 200
    await browser.close()
    client = await Http2.open(server)
    yield client
    client.writer.transport.abort()


@pytest.mark.parametrize("window", [0, 1, 20_000])
@pytest.mark.parametrize("path", ["/rooms/{}/messages", "/events/{}?last=10", "/poll/{}?last=10"])
async def test_an_answer_that_is_not_taken_is_ended_alone(stingy, room, path, window):
    stalled = stingy.get(path.format(room), window)
    await stingy.until(stalled, h2.events.StreamReset)
    taken = stingy.get(f"/rooms/{room}/messages", 1_000_000)
    await stingy.until(taken, h2.events.StreamEnded)
    data = b"".join(event.data for event in stingy.events[taken] if isinstance(event, h2.events.DataReceived))
    assert data.count(b"x" * 10_000) == 10


async def test_a_stream_with_nothing_to_say_is_not_late(stingy, room):
    quiet = stingy.get("/events/another", 1_000_000)
    stalled = stingy.get(f"/rooms/{room}/messages")
    await stingy.until(stalled, h2.events.StreamReset)
    late = stingy.get(f"/rooms/{room}/messages")
    await stingy.until(late, h2.events.StreamReset)
    assert not any(isinstance(event, h2.events.StreamReset) for event in stingy.events[quiet])


@pytest.mark.parametrize("context", [None, trusting("http/1.1"), trusting("h2")])
async def test_a_stop_waits_for_nobody_who_has_said_nothing(serve, context):
    server = serve(server=TLS | SLOW_STOP)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    # Who comes later is heard: so it has been accepted, too.
    later = await Http2.open(server)
    await later.until(0, h2.events.RemoteSettingsChanged)
    server.terminate()
    await asyncio.to_thread(server.wait)
    assert await reader.read() == b""
    writer.close()
    later.writer.close()


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_stop_waits_for_nobody_who_says_no_more(serve, room, is_answered):
    server = serve(rooms=[OPEN], engine="memory", server=TLS | SLOW_STOP)
    client = await Http2.open(server)
    await client.until(0, h2.events.RemoteSettingsChanged)
    if is_answered:
        await client.until(client.get(f"/poll/{room}", 1_000_000), h2.events.StreamEnded)
    server.terminate()
    await asyncio.to_thread(server.wait)
    assert any(isinstance(frame, GoAwayFrame) for frame in await client.rest())
    client.writer.close()


async def test_a_stop_waits_for_an_answer_that_is_under_way(serve, room):
    server = serve(rooms=[OPEN], engine="memory", server=TLS | SLOW_STOP)
    slow, mute = [await Http2.open(server) for _ in range(2)]
    await mute.until(0, h2.events.RemoteSettingsChanged)
    answer = slow.get(f"/poll/{room}")
    await slow.until(answer, h2.events.ResponseReceived)
    server.terminate()
    await mute.rest()
    slow.http.increment_flow_control_window(1_000_000, answer)
    slow.flush()
    last = [frame for frame in await slow.rest() if isinstance(frame, DataFrame)][-1]
    assert last.stream_id == answer and "END_STREAM" in last.flags
    slow.writer.close()
    await asyncio.to_thread(server.wait)
