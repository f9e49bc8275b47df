/**
 * `roomcast/webtransport`: rooms over WebTransport. One stream both ways, in which each message stands behind its
 * length (RFC 9000, section 16), and datagrams for what is said at most once. Knows nothing of what is said.
 */
import type { Envelope, To, Transport } from "./link.js";

/** A browser believes in a silent server until QUIC gives it up, for half a minute; who asks it knows sooner. */
const PING_EVERY_MS = 2000;
/** So many pings in a row without a sign of life end the link. Counted, not timed: a page may have slept. */
const PINGS_MAX = 3;
const PING = '{"type":"ping"}';
/** Bytes that may wait before what is at most once is dropped. */
const BUFFERED_BYTES_MAX = 1 << 20;

const utf8 = new TextEncoder();

/** Which certificate the server has, if it is one that no authority knows. */
async function trust(to: To): Promise<WebTransportOptions> {
  const answer = await fetch(to.address("/wt/certificate")).catch(() => undefined);
  if (answer?.status !== 200) return {};
  const { algorithm, hash } = await answer.json();
  const value = Uint8Array.from(atob(hash.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
  return { serverCertificateHashes: [{ algorithm, value }] };
}

const joined = (first: Uint8Array, second: Uint8Array) => {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
};

/** A message behind its length. */
function counted(text: Uint8Array) {
  const { length } = text;
  const [size, tag] = length < 0x40 ? [1, 0] : length < 0x4000 ? [2, 0x40] : [4, 0x80];
  const head = Array.from({ length: size }, (_, n) => (length >> (8 * (size - 1 - n))) & 0xff);
  head[0]! |= tag;
  return joined(new Uint8Array(head), text);
}

/** The messages that are whole are told; the rest is given back. */
function split(bytes: Uint8Array, tell: (message: Uint8Array) => void): Uint8Array {
  for (;;) {
    const head = 1 << ((bytes[0] ?? 0) >> 6);
    if (bytes.length < head) return bytes;
    const length = bytes.subarray(1, head).reduce((sum, byte) => sum * 256 + byte, bytes[0]! & 0x3f);
    if (bytes.length < head + length) return bytes;
    tell(bytes.subarray(head, head + length));
    bytes = bytes.subarray(head + length);
  }
}

async function read(readable: ReadableStream<Uint8Array>, tell: (bytes: Uint8Array) => void) {
  const reader = readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    tell(value);
  }
}

/** To be put first: `connect(url, { transports: [webtransport, websocket, events, poll] })`. */
export const webtransport: Transport = (to, from) => {
  if (!globalThis.WebTransport) throw new Error("this browser has no WebTransport, or not on a page without TLS");
  let session: WebTransport | undefined;
  let stream: WritableStreamDefaultWriter | undefined;
  let datagrams: WritableStreamDefaultWriter | undefined;
  let timer: ReturnType<typeof setInterval> | undefined;
  let buffered = 0;
  let pings = 0;
  let isOver = false;

  function close(closeCode: number, reason = "") {
    isOver = true;
    clearInterval(timer);
    session?.close({ closeCode, reason });
  }

  function ended(code: number, reason: string) {
    if (isOver) return;
    close(4000);
    from.closed(code, reason);
  }

  const broken = (error: unknown) => ended(1006, String(error));

  function write(bytes: Uint8Array, to = stream!) {
    const { length } = bytes;
    buffered += length;
    // What stops it is told by the session's end, or by pings without an answer.
    to.write(to === stream ? counted(bytes) : bytes).then(() => (buffered -= length), () => {});
  }

  function told(bytes: Uint8Array) {
    if (isOver) return;
    pings = 0;
    let message: Envelope;
    try {
      message = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      return broken("the server sent what is no JSON");
    }
    from.message(message);
  }

  function ask() {
    if (pings++ === PINGS_MAX) return broken("the server answered no ping");
    write(utf8.encode(PING));
  }

  async function open() {
    const url = to.address("/wt", { attempt: to.attempt, token: to.token });
    url.protocol = "https:";
    const options = await trust(to);
    if (isOver) return;
    const mine = (session = new WebTransport(url.href, options));
    mine.closed.then(({ closeCode, reason }) => ended(closeCode || 1006, reason ?? ""), broken);
    await mine.ready;
    const { readable, writable } = await mine.createBidirectionalStream();
    if (isOver) return;
    stream = writable.getWriter();
    // Newer browsers make it when they are asked.
    const beside: { writable?: WritableStream; createWritable?(): WritableStream } = mine.datagrams;
    datagrams = (beside.writable ?? beside.createWritable!()).getWriter();
    timer = setInterval(ask, PING_EVERY_MS);
    let rest: Uint8Array = new Uint8Array();
    const whole = (bytes: Uint8Array) => (rest = split(joined(rest, bytes), told));
    for (const reading of [read(readable, whole), read(mine.datagrams.readable, told)]) reading.catch(() => {});
  }

  // Once there is a session its end says more; here it is ended, if it isn't yet.
  open().catch((error) => (session ? session.close() : broken(error)));

  return {
    send(text, { type, volatile }) {
      const bytes = utf8.encode(text);
      if (volatile && buffered > BUFFERED_BYTES_MAX) return false;
      const isBrief = (volatile || type === "typing") && bytes.length <= session!.datagrams.maxDatagramSize;
      write(bytes, isBrief ? datagrams : stream);
      return true;
    },
    close,
  };
};
