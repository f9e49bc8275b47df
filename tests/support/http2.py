"""A WebSocket inside HTTP/2 (RFC 8441), of PyPI's `h2` and the frames of `websockets`, behind the face of a peer."""

import asyncio
import secrets
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

from support.clients import Closed

READ_BYTES = 65536
# A GOAWAY may be the announcement of an end (RFC 9113, 6.8); `h2` takes it for the end (its issue 1181).
OPEN = h2.connection.ConnectionState.CLIENT_OPEN
GOES_ON = {(OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY): (None, OPEN)}


class Http2Websocket:
    """One TLS connection with one stream that is a WebSocket."""

    @classmethod
    async def open(cls, url, context):
        peer, parts = cls(), urlsplit(url)
        peer.frames, peer.messages = Protocol(Side.CLIENT, max_size=None), asyncio.Queue()
        peer.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        machine = peer.http.state_machine
        machine._transitions = machine._transitions | GOES_ON
        peer.ended, peer.is_over, peer.writable = None, False, asyncio.Event()
        try:
            peer.reader, peer.writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
            await peer._connect(parts)
        except (OSError, EOFError, h2.exceptions.ProtocolError) as error:
            raise Closed(1006, "", repr(error)) from None
        peer.pump = asyncio.create_task(peer._read())
        return peer

    async def _connect(self, parts):
        self.http.initiate_connection()
        self._flush()
        await self._read_until(h2.events.RemoteSettingsChanged)
        self.stream = self.http.get_next_available_stream_id()
        head = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":scheme": "https",
            ":authority": parts.netloc,
            ":path": f"{parts.path}?{parts.query}",
            "sec-websocket-version": "13",
        }
        self.http.send_headers(self.stream, list(head.items()))
        self._flush()
        response = await self._read_until(h2.events.ResponseReceived)
        assert dict(response.headers)[b":status"] == b"200", response.headers

    async def _read_until(self, kind):
        """Reads until an event of this kind has come; whatever comes after it in the same bytes counts too."""
        while True:
            found = [event for event in await self._events() if isinstance(event, kind)]
            if found:
                return found[0]

    async def _events(self):
        data = await self.reader.read(READ_BYTES)
        if not data:
            raise EOFError("the connection ended")
        events = self.http.receive_data(data)
        for event in events:
            self._take(event)
        self._flush()
        return events

    def _take(self, event):
        match event:
            case h2.events.DataReceived():
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.frames.receive_data(event.data)
                self._take_frames()
            case h2.events.StreamEnded() | h2.events.StreamReset():
                self.is_over = True
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self.writable.set()

    def _take_frames(self):
        for frame in self.frames.events_received():
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                assert frame.fin, "the server sends messages whole"
                data = bytes(frame.data)
                self.messages.put_nowait(data.decode() if frame.opcode is Opcode.TEXT else data)
        for answer in self.frames.data_to_send():
            self.http.send_data(self.stream, answer) if answer else None

    def _flush(self):
        self.writer.write(self.http.data_to_send())

    async def _read(self):
        why = ""
        try:
            while not self.is_over:
                await self._events()
        except (OSError, EOFError, h2.exceptions.ProtocolError) as error:
            why = repr(error)
        close = self.frames.close_rcvd
        self.ended = Closed(close.code, close.reason) if close else Closed(1006, "", why)
        self.messages.put_nowait(self.ended)
        self.writable.set()

    async def receive(self):
        message = await self.messages.get()
        if isinstance(message, Closed):
            raise message
        return message

    async def send(self, payload):
        if isinstance(payload, str):
            self.frames.send_text(payload.encode())
        else:
            self.frames.send_binary(payload)
        await self._send_frames()

    async def send_pieces(self, pieces):
        """One message in fragments."""
        first, *rest = [piece.encode() for piece in pieces]
        self.frames.send_text(first, fin=not rest)
        for number, piece in enumerate(rest, 1):
            self.frames.send_continuation(piece, fin=number == len(rest))
        await self._send_frames()

    async def ping(self):
        self.frames.send_ping(secrets.token_bytes(4))
        await self._send_frames()

    async def _send_frames(self):
        for data in self.frames.data_to_send():
            while data:
                data = data[await self._send_some(data) :]

    async def _send_some(self, data):
        """Sends what the windows take, at least a byte; tells how much that was."""
        while not (window := self.http.local_flow_control_window(self.stream)):
            self.writable.clear()
            await self.writable.wait()
            if self.ended:
                raise self.ended
        size = min(window, self.http.max_outbound_frame_size, len(data))
        try:
            self.http.send_data(self.stream, data[:size])
        except h2.exceptions.ProtocolError:
            raise Closed(1006) from None
        self._flush()
        return size

    async def close(self, code=1000):
        self.frames.send_close(code)
        await self._send_frames()

    def cut(self):
        self.writer.transport.abort()

    async def release(self):
        self.pump.cancel()
        self.writer.transport.abort()
