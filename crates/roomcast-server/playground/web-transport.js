// @ts-check
/**
 * A link over WebTransport: one stream both ways, in which each envelope stands behind its length (RFC 9000, section
 * 16), and datagrams for what is said at most once. Knows bytes and their order; nothing of what is said.
 */

/** @import { Address } from "./links.js" */

/** A browser believes in a silent server for half a minute; who asks it knows sooner. */
const PING_EVERY_MS = 2_000;
const PONG_WITHIN_MS = 5_000;
const PING = new TextEncoder().encode('{"type":"ping"}');
const PONG = '"data":{"status":"pong"}';

/** The server's certificate of these days, by which the browser knows it; null where there is none. @param {URL} base */
export async function readCertificate(base) {
  const answer = await fetch(new URL("wt/certificate", base)).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

export class WebTransportLink {
  /** @type {((event: any) => void)|null} */ onopen = null;
  /** @type {((event: any) => void)|null} */ onmessage = null;
  /** @type {((event: any) => void)|null} */ onclose = null;
  /** @type {WebTransport|null} */ #session = null;
  /** @type {WritableStreamDefaultWriter|null} */ #stream = null;
  /** @type {WritableStreamDefaultWriter|null} */ #datagrams = null;
  /** When the server was asked whether it is there, until anything is heard of it. @type {number|null} */ #asked = null;
  /** @type {ReturnType<typeof setInterval>|undefined} */ #watch;
  #closed = false;

  /** @param {Address} address */
  constructor(address) {
    this.#run(address).catch((error) => this.#ended(error));
  }

  /** @param {string} text */
  send(text) {
    const { type } = JSON.parse(text);
    const bytes = new TextEncoder().encode(text);
    const fits = bytes.length <= (this.#session?.datagrams.maxDatagramSize ?? 0);
    const written = type === "typing" && fits ? this.#datagrams?.write(bytes) : this.#stream?.write(framed(bytes));
    written?.catch(() => {}); // why is told by the session's end
  }

  /** @param {number} closeCode @param {string} reason */
  close(closeCode, reason) {
    this.#closed = true;
    clearInterval(this.#watch);
    this.#session?.close({ closeCode, reason });
  }

  /** @param {Address} address */
  async #run({ base, user, session, attempt, told }) {
    const url = new URL("wt", base);
    url.protocol = "https:";
    url.search = new URLSearchParams({ user, session, attempt: String(attempt) }).toString();
    const certificate = await readCertificate(base);
    if (this.#closed) return;
    if (!certificate) return this.#ended({});
    const { algorithm, hash } = certificate;
    told(`certificate ${hash}`);
    this.#session = new WebTransport(url, { serverCertificateHashes: [{ algorithm, value: base64urlBytes(hash) }] });
    await this.#session.ready;
    const { readable, writable } = await this.#session.createBidirectionalStream();
    this.#stream = writable.getWriter();
    this.#datagrams = this.#session.datagrams.writable.getWriter();
    this.#watch = setInterval(() => this.#ask(), PING_EVERY_MS);
    this.onopen?.({});
    this.#read(envelopes(readable));
    this.#read(chunks(this.#session.datagrams.readable));
    const { closeCode, reason } = await this.#session.closed;
    this.#ended({ code: closeCode, reason });
  }

  /** @param {AsyncGenerator<Uint8Array>} source */
  async #read(source) {
    const utf8 = new TextDecoder();
    for await (const bytes of source) {
      this.#asked = null;
      const data = utf8.decode(bytes);
      if (!data.includes(PONG)) this.onmessage?.({ data });
    }
  }

  #ask() {
    const now = performance.now();
    if (this.#asked !== null && now - this.#asked > PONG_WITHIN_MS) {
      this.#session?.close();
      return this.#ended({});
    }
    if (this.#asked !== null) return;
    this.#asked = now;
    this.#stream?.write(framed(PING)).catch(() => {});
  }

  /** @param {{code?: unknown, reason?: unknown}} end a number from the server, or an error of the browser's */
  #ended({ code, reason = "" }) {
    clearInterval(this.#watch);
    if (!this.#closed) this.onclose?.(typeof code === "number" && code > 0 ? { code, reason } : { code: 1006, reason: "" });
    this.#closed = true;
  }
}

/** What comes, until it ends or breaks. @param {ReadableStream<Uint8Array>} readable @returns {AsyncGenerator<Uint8Array>} */
async function* chunks(readable) {
  const reader = readable.getReader();
  for (;;) {
    const { value } = await reader.read().catch(() => ({ value: undefined }));
    if (value === undefined) return;
    yield value;
  }
}

/** The envelopes in a stream, each whole. @param {ReadableStream<Uint8Array>} readable @returns {AsyncGenerator<Uint8Array>} */
async function* envelopes(readable) {
  let bytes = new Uint8Array();
  for await (const chunk of chunks(readable)) {
    bytes = joined(bytes, chunk);
    for (let frame = firstOf(bytes); frame; frame = firstOf(bytes)) {
      yield bytes.slice(frame.start, frame.end);
      bytes = bytes.slice(frame.end);
    }
  }
}

/** Where the first envelope is, or null if it isn't whole. @param {Uint8Array} bytes */
function firstOf(bytes) {
  const start = 1 << (bytes[0] >> 6);
  if (bytes.length < start) return null;
  const length = bytes.slice(1, start).reduce((sum, byte) => sum * 256 + byte, bytes[0] & 0x3f);
  return bytes.length < start + length ? null : { start, end: start + length };
}

/** An envelope behind its length. @param {Uint8Array} bytes */
function framed(bytes) {
  const [size, tag] = bytes.length < 0x40 ? [1, 0] : bytes.length < 0x4000 ? [2, 0x40] : [4, 0x80];
  const length = new Uint8Array(size).map((_, index) => Math.floor(bytes.length / 256 ** (size - 1 - index)) % 256);
  length[0] |= tag;
  return joined(length, bytes);
}

/** @param {Uint8Array} first @param {Uint8Array} second */
function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** @param {string} text */
function base64urlBytes(text) {
  const base64 = text.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
