"""A WebTransport session (HTTP/3) of PyPI's `aioquic`, behind the face of a peer: one stream, and datagrams."""

import asyncio
import ssl
from urllib.parse import urlsplit

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.h3.events import DatagramReceived as Http3Datagram
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset

from support.clients import Closed

CLOSE_CAPSULE = 0x2843


class WebTransport(QuicConnectionProtocol):
    """One QUIC connection with one session. `datagrams` counts the messages that came as such."""

    def __init__(self, quic):
        super().__init__(quic)
        self.http = H3Connection(quic, enable_webtransport=True)
        self.messages, self.status = asyncio.Queue(), asyncio.get_running_loop().create_future()
        self.settings = asyncio.Event()
        self.stream, self.unread, self.capsules = None, b"", b""
        self.datagrams, self.ended = 0, None

    @classmethod
    async def open(cls, url, trusted=None, idle_timeout=60.0):
        """Without a certificate to trust, any will do."""
        parts = urlsplit(url)
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, max_datagram_frame_size=65536, idle_timeout=idle_timeout
        )
        configuration.verify_mode, configuration.server_name = ssl.CERT_NONE, parts.hostname
        if trusted:
            configuration.load_verify_locations(trusted)
            configuration.verify_mode = ssl.CERT_REQUIRED
        loop = asyncio.get_running_loop()
        quic = QuicConnection(configuration=configuration)
        # A connected socket is told when nobody listens at the other end any more.
        remote = (parts.hostname, parts.port)
        _, peer = await loop.create_datagram_endpoint(lambda: cls(quic), remote_addr=remote)
        try:
            await peer.begin((parts.hostname, parts.port), parts)
        except (ConnectionError, Closed):
            peer.cut()
            raise peer.ended or Closed(1006) from None
        return peer

    async def begin(self, address, parts):
        """The handshake, the session and its stream."""
        self.connect(address)
        await self.wait_connected()
        await self.settings.wait()
        head = {
            ":method": "CONNECT",
            ":scheme": "https",
            ":authority": parts.netloc,
            ":path": f"{parts.path}?{parts.query}",
            ":protocol": "webtransport",
        }
        self.session = self._quic.get_next_available_stream_id()
        self.http.send_headers(
            self.session, [(name.encode(), value.encode()) for name, value in head.items()]
        )
        self.transmit()
        status = (await self.status).decode()
        assert status == "200", status
        self.stream = self.http.create_webtransport_stream(self.session)
        self.transmit()

    def error_received(self, error):
        self._end(Closed(1006, "", str(error)))

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self._end(Closed(1006, "", event.reason_phrase))
        elif isinstance(event, StreamDataReceived) and event.stream_id == self.stream:
            self._read(event.data)
        elif isinstance(event, StreamReset) and event.stream_id == self.session:
            self._end(Closed(1006, "", "the session was reset"))
        else:
            for told in self.http.handle_event(event):
                self._hear(told)
        if self.http.received_settings is not None:
            self.settings.set()

    def _hear(self, event):
        match event:
            case HeadersReceived():
                self.status.set_result(dict(event.headers)[b":status"])
            case DataReceived():
                self._read_capsules(event)
            case Http3Datagram():
                self.datagrams += 1
                self.messages.put_nowait(event.data.decode())

    def _read(self, data):
        """Messages, each after its length."""
        self.unread += data
        while (found := counted(self.unread)) is not None:
            message, self.unread = found
            self.messages.put_nowait(message.decode())

    def _read_capsules(self, event):
        self.capsules += event.data
        if self.capsules:
            buffer = Buffer(data=self.capsules)
            kind, size = buffer.pull_uint_var(), buffer.pull_uint_var()
            if kind == CLOSE_CAPSULE and len(self.capsules) >= buffer.tell() + size:
                self._end(Closed(buffer.pull_uint32(), buffer.pull_bytes(size - 4).decode()))
        if event.stream_ended:
            self._end(Closed(1000))

    def _end(self, closed):
        if not self.ended:
            self.ended = closed
            self.messages.put_nowait(closed)
            self.settings.set()
            if not self.status.done():
                self.status.set_exception(closed)
                self.status.exception()  # nobody may be waiting for it any longer

    # What a peer can do.

    async def receive(self):
        message = await self.messages.get()
        if isinstance(message, Closed):
            raise message
        return message

    async def send(self, payload):
        if self.ended:
            raise self.ended
        payload = payload.encode() if isinstance(payload, str) else payload
        self._quic.send_stream_data(self.stream, encode_uint_var(len(payload)) + payload)
        self.transmit()

    async def send_pieces(self, pieces):
        """One message in packets of its own for each piece."""
        payload = [piece.encode() for piece in pieces]
        for piece in [encode_uint_var(sum(map(len, payload))), *payload]:
            self._quic.send_stream_data(self.stream, piece)
            self.transmit()

    async def send_datagram(self, payload):
        self.http.send_datagram(self.session, payload.encode())
        self.transmit()

    async def close(self, code=1000):
        """Ends the session with this code."""
        capsule = encode_uint_var(CLOSE_CAPSULE) + encode_uint_var(4) + code.to_bytes(4)
        self.http.send_data(self.session, capsule, end_stream=True)
        self.transmit()

    def cut(self):
        """Is not heard of again."""
        self._transport.abort()
        if self._timer:
            self._timer.cancel()
        self._end(Closed(1006))

    async def release(self):
        """Leaves nothing behind that the server would have to miss first."""
        if not self._transport.is_closing():
            self._quic.close()
            self.transmit()
        self.cut()


def counted(data):
    """The first message of these bytes, and the rest; `None` if it isn't whole."""
    if not data or len(data) < 1 << (data[0] >> 6):
        return None
    buffer = Buffer(data=data)
    size = buffer.pull_uint_var()
    start = buffer.tell()
    return (data[start : start + size], data[start + size :]) if len(data) >= start + size else None
