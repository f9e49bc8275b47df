// The link over WebTransport, with a browser's part that does what each case needs.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { webtransport } from "roomcast/webtransport";

import { settled } from "./bench.mjs";

const { deepEqual, equal, match, ok } = assert;

/** A promise, and what settles it. */
function due() {
  let done, failed;
  const promise = new Promise((...both) => ([done, failed] = both));
  promise.catch(() => {});
  return Object.assign(promise, { done, failed });
}

/** What was written, and when each of it is taken: at once, unless it is held back. */
function sink() {
  const written = [];
  const held = [];
  const write = (bytes) => (written.push(bytes), sink.holds ? new Promise((then) => held.push(then)) : undefined);
  return { written, writable: new WritableStream({ write }) };
}

function source() {
  let to;
  const readable = new ReadableStream({ start: (controller) => (to = controller) });
  return { readable, say: (bytes) => to.enqueue(bytes) };
}

class Session {
  static all = [];
  ready = due();
  closed = due();
  opening = due();
  stream = { out: sink(), in: source() };
  beside = { out: sink(), in: source() };
  datagrams = { maxDatagramSize: 1000, writable: this.beside.out.writable, readable: this.beside.in.readable };

  constructor(url, options) {
    Object.assign(this, { url, options });
    Session.all.push(this);
    this.ready.done();
    this.opening.done();
    Session.made?.(this);
  }

  async createBidirectionalStream() {
    await this.opening;
    return { readable: this.stream.in.readable, writable: this.stream.out.writable };
  }

  close(why = {}) {
    this.ended ??= why;
    this.closed.done({ closeCode: 0, reason: "", ...why });
  }
}

beforeEach(() => {
  sink.holds = false;
  delete Session.made;
  Session.all = [];
  globalThis.WebTransport = Session;
  globalThis.fetch = async () => ({ status: 404 });
});

/** A link, and what it tells. */
async function open() {
  const told = [];
  const address = (path, query) => Object.assign(new URL(`http://localhost:8000${path}`), { query });
  const from = {
    heard() {},
    message: ({ type }) => told.push(type),
    closed: (code, reason) => told.push(`${code} ${reason}`),
  };
  const link = webtransport({ address, attempt: 1, token: null, timeout: 1000, joins: () => [] }, from);
  const to = (request) => link.send(JSON.stringify(request), request);
  await settled();
  await settled();
  return { link, to, told, session: Session.all[0] };
}

const frame = (message) => {
  const bytes = new TextEncoder().encode(JSON.stringify(message));
  return Uint8Array.from([0x40 | (bytes.length >> 8), bytes.length & 0xff, ...bytes]);
};

test("messages come out of whatever pieces they come in", async () => {
  const { session, told } = await open();
  const bytes = [...frame({ type: "system", data: {} }), ...frame({ type: "text", data: {} })];
  for (const byte of bytes) session.stream.in.say(Uint8Array.of(byte));
  await settled();
  session.stream.in.say(Uint8Array.from([...bytes, ...bytes]));
  await settled();
  deepEqual(told, Array(3).fill(["system", "text"]).flat());
});

test("how the server ends it is told, and only once", async () => {
  const { session, told } = await open();
  session.closed.done({ closeCode: 4009, reason: "taken_over: elsewhere" });
  await settled();
  session.stream.in.say(frame({ type: "text" }));
  await settled();
  deepEqual(told, ["4009 taken_over: elsewhere"]);
});

test("the certificate is asked for at each try, and who is closed meanwhile opens nothing", async () => {
  const answers = [];
  globalThis.fetch = () => (answers.push(due()), answers.at(-1));
  const answer = (n, hash) => answers[n].done({ status: 200, json: async () => ({ algorithm: "sha-256", hash }) });
  const { link } = await open();
  link.close(4000);
  answer(0, "AQI");
  await settled();
  equal(Session.all.length, 0);
  await open();
  answer(1, "-_8");
  await settled();
  deepEqual(Session.all.map(({ options }) => [...options.serverCertificateHashes[0].value]), [[0xfb, 0xff]]);
});

test("a link that is closed while its stream is opened has no timer left", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  Session.made = (session) => (session.opening = due());
  const { link, session, told } = await open();
  link.close(4000);
  session.opening.done();
  await settled();
  t.mock.timers.tick(60_000);
  await settled();
  deepEqual([session.ended.closeCode, session.stream.out.written, told], [4000, [], []]);
});

test("what fails when there is a session is told at once, and ends it", async () => {
  Session.made = (session) => ((session.opening = due()), session.opening.failed(new Error("no stream to be had")));
  const { session, told } = await open();
  equal(told.length, 1);
  match(told[0], /^1006/);
  ok(session.ended);
});

test("a browser that makes the way out for datagrams when asked is asked", async () => {
  const { out } = new Session("", {}).beside;
  Session.all = [];
  Session.made = ({ datagrams }) => (delete datagrams.writable, (datagrams.createWritable = () => out.writable));
  const { to } = await open();
  ok(to({ type: "cursor", volatile: true }));
  await settled();
  equal(out.written.length, 1);
});

test("a browser that knows no size of datagrams sends all by the stream", async () => {
  Session.made = ({ datagrams }) => delete datagrams.maxDatagramSize;
  const { to, session } = await open();
  ok(to({ type: "cursor", volatile: true }));
  await settled();
  deepEqual([session.beside.out.written.length, session.stream.out.written.length], [0, 1]);
});

for (const [size, way] of [[100, "beside"], [5000, "stream"]]) {
  test(`what is volatile doesn't gather when nothing is taken: by the ${way}`, async () => {
    sink.holds = true;
    const { to } = await open();
    const request = { type: "cursor", volatile: true, data: { text: "x".repeat(size) } };
    let count = 0;
    while (count < 20_000 && to(request)) count++;
    ok(count * size > 500_000 && count * size < 2_000_000, `${count}`);
    ok(to({ type: "text", id: "1" }), "what isn't volatile waits");
  });
}

test("where there is no WebTransport it says so", () => {
  delete globalThis.WebTransport;
  assert.throws(() => webtransport({}, {}), /no WebTransport/);
});
