// Rooms over HTTP, on a virtual clock, with a server that answers each request as the case needs.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../dist/client.js";
import { eventsource } from "../dist/eventsource.js";
import { events } from "../dist/links/events.js";
import { poll } from "../dist/links/poll.js";
import { settled, virtualIo } from "./bench.mjs";

const { deepEqual, equal } = assert;

/** A client over `transport`, and what it asks of its server: each request is answered by the test. */
function bench(t, transport, options) {
  const { fetch } = globalThis;
  t.after(() => (client.close(), (globalThis.fetch = fetch)));
  const asked = [];
  globalThis.fetch = (url, { signal, method = "GET", body }) =>
    new Promise((answered, failed) => {
      signal?.addEventListener("abort", () => failed(signal.reason));
      const { pathname, searchParams } = new URL(url);
      const answer = async (status, told) => (answered(new Response(told, { status })), await settled(), await settled());
      asked.push({
        line: `${method} ${pathname}`,
        rooms: searchParams.getAll("room"),
        body: body && JSON.parse(body),
        json: (told, status = 200) => answer(status, JSON.stringify(told)),
        refuse: (status, code, fields) => answer(status, JSON.stringify({ status, code, detail: `${code}, says the server`, ...fields })),
        /** Answers with a stream of events, and how to say more. */
        async stream(...told) {
          let to;
          const body = new ReadableStream({ start: (controller) => (to = controller) });
          signal.addEventListener("abort", () => to.error(signal.reason));
          const say = async (message) => (to.enqueue(new TextEncoder().encode(message)), await settled(), await settled());
          await answer(200, body);
          for (const each of told) await say(`data: ${JSON.stringify(each)}\n\n`);
          return say;
        },
        async fail() {
          failed(new TypeError("fetch failed"));
          await settled();
        },
      });
    });
  const { io, pass } = virtualIo(0);
  const client = createClient(io, "http://localhost:8000", { transports: [transport], ...options });
  const reads = () => asked.filter(({ line }) => line === "GET /events" || line === "GET /poll");
  return { client, pass, asked, reads, last: () => reads().at(-1) };
}

const place = { epoch: "e", seq: 5, from: 5 };
const standing = (...rooms) => ({ user: "ada", rooms: Object.fromEntries(rooms.map((room) => [room, place])) });
const welcome = (...rooms) => ({ type: "system", data: { event: "welcome", ping_interval: 15, ...standing(...rooms) } });
const polled = (...rooms) => ({ messages: [], resets: [], position: "p", ...standing(...rooms) });

const answer = (transport, request, ...rooms) =>
  transport === events ? request.stream(welcome(...rooms)) : request.json(polled(...rooms));

/** The first request that reads is answered for these rooms. */
async function online(t, transport, ...rooms) {
  const it = bench(t, transport, typeof rooms[0] === "object" ? rooms.shift() : {});
  const all = rooms.map((room) => it.client.room(room));
  await settled();
  await answer(transport, it.last(), ...rooms);
  equal(it.client.state, "online");
  return { ...it, rooms: all };
}

test("a stream is silent when two of its signs of life are missing", async (t) => {
  const { pass, reads } = await online(t, events, "r");
  await pass(29_999);
  equal(reads().length, 1);
  await pass(1);
  equal(reads().length, 2);
});

for (const [name, transport] of Object.entries({ events, poll })) {
  test(`${name}: of too many rooms one that is still being joined is denied, and those that are read stay`, async (t) => {
    const { client, last, reads } = bench(t, transport);
    const [a, b, c] = [client.room("a"), client.room("b", { last: 3 }), client.room("c")];
    let why;
    b.on("state", (_, { error }) => (why = error.code));
    await settled();
    await answer(transport, last(), "a", "c");
    const all = reads().findLast(({ rooms }) => rooms.length === 3);
    await all.refuse(429, "too_many_rooms", { retryable: true });
    deepEqual([a.state, b.state, c.state, why], ["live", "denied", "live", "too_many_rooms"]);
  });
}

for (const [name, transport] of Object.entries({ events, poll })) {
  test(`${name}: without a room the server is asked whether it is there`, async (t) => {
    const { client, pass, rooms, reads, last } = await online(t, transport, "r");
    rooms[0].leave();
    await settled();
    deepEqual(last().rooms, []);
    await last().refuse(400, "bad_request");
    await pass(30_000);
    equal(client.state, "online");
    const count = reads().length;
    await last().fail();
    equal(client.state, "waiting");
    await pass(10_000);
    equal(client.state, "connecting");
    await last().refuse(400, "bad_request");
    deepEqual([client.state, reads().length], ["online", count + 1]);
  });
}

for (const [name, transport] of Object.entries({ events, poll })) {
  test(`${name}: what another server answers in the place of this one is a lost connection`, async (t) => {
    const { client, pass, rooms, asked, last } = await online(t, transport, "r");
    let ack;
    rooms[0].send("text", { n: 1 }, { id: "one" }).then((told) => (ack = told));
    await settled();
    await asked.find(({ line }) => line.startsWith("POST")).json({ message: "Service Unavailable" }, 503);
    equal(client.state, "waiting");
    await pass(10_000);
    await last().json({ message: "Service Unavailable" }, 503);
    equal(client.state, "waiting");
    await pass(10_000);
    await answer(transport, last(), "r");
    const again = asked.filter(({ line }) => line.startsWith("POST")).at(-1);
    deepEqual(again.body, [{ type: "text", id: "one", room: "r", data: { n: 1 } }]);
    await again.json([{ status: "delivered", seq: 6, epoch: "e", timestamp: 1 }]);
    equal(ack.seq, 6);
  });
}

for (const [name, transport] of Object.entries({ events, poll })) {
  test(`${name}: the state that was set last is told of a room that is being joined`, async (t) => {
    const { client, asked, reads } = await online(t, transport, "r");
    const room = client.room("s", { state: { n: 1 } });
    room.presence.set({ n: 2 });
    await settled();
    await answer(transport, reads().findLast(({ rooms }) => rooms.includes("s")), "r", "s");
    const told = asked.filter(({ line }) => line === "POST /rooms/s/presence");
    deepEqual(new Set(told.map(({ body }) => body.state.n)), new Set([2]));
  });
}

test("what waits behind a message that is to go again doesn't go first", async (t) => {
  const { pass, rooms, asked } = await online(t, poll, "r");
  const posts = () => asked.filter(({ line }) => line.startsWith("POST"));
  rooms[0].send("text", {}, { id: "one" }).catch(() => {});
  await settled();
  rooms[0].send("text", {}, { id: "two" }).catch(() => {});
  await posts()[0].json([{ status: "error", code: "unavailable", message: "m", retryable: true, retry_after: 1 }]);
  equal(posts().length, 1);
  await pass(1_000);
  deepEqual(posts().slice(1).map(({ body }) => body.map(({ id }) => id)), [["one", "two"]]);
});

test("at most a hundred go in one body, and no more of what is for those there now waits", async (t) => {
  const { rooms, asked } = await online(t, poll, "r");
  const posts = () => asked.filter(({ line }) => line === "POST /rooms/r/messages");
  const move = () => rooms[0].send("cursor", {}, { volatile: true }).then(() => "written", ({ code }) => code);
  equal(await move(), "written");
  const moves = await Promise.all(Array.from({ length: 101 }, move));
  deepEqual([moves.slice(0, 100).every((each) => each === "written"), moves[100]], [true, "offline"]);
  for (let n = 0; n < 50; n++) rooms[0].send("text", {}, { id: `${n}` }).catch(() => {});
  await settled();
  await posts()[0].json([{ status: "delivered" }]);
  await posts()[1].json(posts()[1].body.map(() => ({ status: "delivered" })));
  deepEqual(posts().map(({ body }) => body.length), [1, 100, 50]);
  equal(await move(), "written");
});

test("a state is told after the one before it, and only the newest of those that wait", async (t) => {
  const { rooms, asked } = await online(t, poll, "r");
  const posts = (what) => asked.filter(({ line }) => line === `POST /rooms/r/${what}`);
  for (let n = 0; n < 4; n++) {
    rooms[0].presence.set({ n });
    rooms[0].typing(n % 2 === 0);
    await settled();
  }
  equal(posts("presence").length + posts("typing").length, 2);
  await posts("presence")[0].json({ status: "ok" });
  await posts("typing")[0].json({ status: "ok" });
  deepEqual(posts("presence").map(({ body }) => body.state.n), [0, 3]);
  deepEqual(posts("typing").map(({ body }) => body.typing), [true, false]);
});

test("who leaves does so after the state that was told last, and tells no more that waits", async (t) => {
  const { rooms, asked } = await online(t, poll, "r");
  const told = () => asked.filter(({ line }) => line.endsWith("/presence"));
  rooms[0].presence.set({ n: 1 });
  await settled();
  rooms[0].presence.set({ n: 2 });
  rooms[0].leave();
  await settled();
  deepEqual(told().map(({ line }) => line), ["POST /rooms/r/presence"]);
  await told()[0].json({ status: "ok" });
  deepEqual(told().map(({ line }) => line), ["POST /rooms/r/presence", "DELETE /rooms/r/presence"]);
});

for (const [name, transport] of Object.entries({ events, poll })) {
  test(`${name}: who the client is is known with the first room that is read`, async (t) => {
    const { client, last } = bench(t, transport);
    const states = [];
    client.on("state", (state) => states.push([state, client.user].join(" ").trim()));
    client.room("r").leave();
    await settled();
    await last().refuse(400, "bad_request");
    const room = client.room("s");
    await settled();
    await answer(transport, last(), "s");
    deepEqual([client.user, room.state, states], ["ada", "live", ["connecting", "online", "online ada"]]);
    room.leave();
    await settled();
    await last().refuse(400, "bad_request");
    deepEqual([client.user, states.length], ["ada", 3]);
  });

  test(`${name}: a request to read anew that has no answer in time ends the link`, async (t) => {
    const { client } = await online(t, transport, { timeout: 50 }, "r");
    const alive = setInterval(() => {}, 1_000);
    t.after(() => clearInterval(alive));
    const waiting = new Promise((then) => client.on("state", (state, { error }) => then([state, error?.code])));
    client.room("s");
    deepEqual(await waiting, ["waiting", "offline"]);
  });
}

/** A page whose event sources say what the case needs. */
function sources(t) {
  const { EventSource } = globalThis;
  t.after(() => (globalThis.EventSource = EventSource));
  const all = [];
  globalThis.EventSource = class extends EventTarget {
    CLOSED = 2;
    readyState = 0;

    constructor(url) {
      super();
      this.path = url.pathname;
      this.query = url.searchParams;
      all.push(this);
    }

    close() {
      this.readyState = this.CLOSED;
    }

    async say(name, message) {
      this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(message) }));
      await settled();
    }

    async fail() {
      this.onerror(new Event("error"));
      await settled();
    }
  };
  return all;
}

test("eventsource: a silent one is opened anew, and let go when the next one has answered", async (t) => {
  const all = sources(t);
  const { client, pass } = bench(t, eventsource(), { token: "secret" });
  client.room("r");
  await settled();
  const [first] = all;
  deepEqual([first.path, first.query.get("room"), first.query.get("token")], ["/events", "r", "secret"]);
  await first.say("system", welcome("r"));
  equal(client.state, "online");
  await pass(30_000);
  equal(first.readyState, 0);
  await all[1].say("system", welcome("r"));
  deepEqual([all.length, first.readyState, all[1].readyState], [2, 2, 0]);
  client.close();
  await settled();
  equal(all[1].readyState, 2);
});

test("eventsource: of those that begin anew one after the other the last alone stays open", async (t) => {
  const all = sources(t);
  const { client } = bench(t, eventsource());
  client.room("r");
  await settled();
  await all[0].say("system", welcome("r"));
  for (let turns = 0; turns < 8; turns++) {
    client.room(`s${turns}`);
    for (let n = 0; n < turns; n++) await null;
    client.room(`t${turns}`);
    await settled();
    equal(all.filter(({ readyState }) => readyState < 2).length, 2, "the one that reads, and the next");
  }
});

test("eventsource: one that is refused asks why, and any other failure is a lost connection", async (t) => {
  const all = sources(t);
  const { client, pass, asked } = bench(t, eventsource());
  const room = client.room("r");
  await settled();
  await all[0].fail();
  await asked[0].refuse(503, "unavailable", { retryable: true });
  deepEqual([asked[0].line, asked[0].rooms, client.state], ["GET /poll", ["r"], "waiting"]);
  await pass(10_000);
  await all[1].fail();
  await asked[1].json(polled("r"));
  equal(client.state, "waiting", "streams don't get through");
  await pass(10_000);
  await all[2].fail();
  await asked[2].refuse(403, "forbidden", { room: "r" });
  equal(room.state, "denied");
});

test("eventsource: where there is none, what is next is tried", async (t) => {
  const { client, last } = bench(t, eventsource(), { transports: [eventsource(), poll] });
  client.room("r");
  await settled();
  equal(last().line, "GET /poll");
});
