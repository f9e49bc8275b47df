/** Rooms over a WebSocket: a message is a frame. */
import type { Envelope, Transport, WebSocketClass } from "../link.js";

/** Bytes that may wait in the socket before what is at most once is dropped. */
const BUFFERED_BYTES_MAX = 1 << 20;

export const websocket: Transport = (to, from) => {
  const url = to.address("/ws", { attempt: to.attempt, token: to.token }).href.replace("http", "ws");
  const socket = new (to.websocket ?? (WebSocket as WebSocketClass))(url);
  socket.onmessage = ({ data }: { data: string }) => {
    let message: Envelope;
    try {
      message = JSON.parse(data);
    } catch {
      return from.closed(1006, "no JSON");
    }
    from.message(message);
  };
  socket.onclose = ({ code, reason }) => from.closed(code, reason);
  // A close follows, and says more.
  socket.onerror = () => {};
  return {
    send(text, { volatile }) {
      if (volatile && socket.bufferedAmount > BUFFERED_BYTES_MAX) return false;
      socket.send(text);
      return true;
    },
    close: (code) => socket.close(code),
  };
};
