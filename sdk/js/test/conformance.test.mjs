// Runs the vectors of `conformance/` that a client has to do with: it writes frames and positions, takes positions that
// were kept, and goes by codes. It has no patterns.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { poll } from "../dist/index.js";
import { createClient } from "../dist/client.js";
import { bench, joined, settled, virtualIo } from "./bench.mjs";
import { vectors } from "./conformance.mjs";

const { deepEqual, equal, ok, throws } = assert;

const part = (each) => (typeof each === "string" ? each : each.repeat.repeat(each.times));
/** A text, which may stand there in parts. */
const whole = (text) => (Array.isArray(text) ? text.map(part).join("") : text);

const cases = vectors("frames.json").groups.flatMap((group) => group.cases);
const readings = cases
  .filter(({ read }) => read)
  .map(({ name, read }) => [name, Object.fromEntries(Object.entries(read).map(([key, value]) => [key, whole(value)]))]);

/** Asks the SDK for what will be read like this. `false`: it can't be asked for, or has no such spelling. */
const ASKS = {
  join({ client }, { room = "r", since, last, member, state }) {
    // A place of several rooms is for transports that read several at once.
    if (since?.includes("=")) return false;
    client.room(room, { since, last, presence: member, state: state && JSON.parse(state) });
  },
  leave: ({ room }) => room.leave(),
  publish({ room }, { id, type, volatile, data }) {
    const { author, ...payload } = JSON.parse(data);
    if (JSON.stringify({ ...payload, author }) !== data) return false;
    room.send(type, payload, { id, volatile });
  },
  typing({ room }, { on, data }) {
    if (Object.keys(JSON.parse(data)).length > 2) return false;
    room.typing();
    if (!on) room.typing(false);
  },
  presence: ({ room }, { state }) => !!state && room.presence.set(JSON.parse(state)),
  history: ({ room }, { before, since, limit }) => void room.history({ before, since, limit }),
  auth: ({ link }) => link().system("expiring", { expires_in: 60 }),
  ping: ({ page }) => page("visible"),
};

/** What the SDK sends, if it can be asked for it. */
async function sent(read) {
  const isJoin = read.verb === "join";
  const it = isJoin ? bench() : await joined({ token: () => read.token ?? null });
  const room = isJoin ? undefined : it.client.room(read.room ?? "r");
  if (read.room && !isJoin) it.link().joined(read.room);
  if ((await ASKS[read.verb]({ ...it, room }, read)) === false) return;
  await settled();
  if (isJoin) await it.link().welcome();
  return it.link().sent.at(-1);
}

/** How the server reads a frame, as the vectors have it. */
function reading({ type, id, room, volatile, data = {} }) {
  const { since, before, last, limit, presence = true, state, token, typing = true } = data;
  const verbs = {
    join: { since, last, member: presence, state: state && JSON.stringify(state) },
    leave: {},
    typing: { on: typing, data: JSON.stringify({ author: "ada", typing }) },
    presence: { state: state && JSON.stringify(state) },
    history: { since, before, limit },
    auth: { token },
    ping: {},
  };
  const publish = { verb: "publish", type, volatile, data: JSON.stringify({ ...data, author: "ada" }) };
  return JSON.parse(JSON.stringify({ id, room, ...(verbs[type] ? { verb: type, ...verbs[type] } : publish) }));
}

test("what is sent is read as it was meant", async () => {
  const met = new Set();
  for (const [name, read] of readings) {
    const frame = await sent(read);
    if (!frame) continue;
    const isOfNoRoom = ["auth", "ping"].includes(read.verb);
    // The SDK always names the room, and draws an id where the application gives none.
    const expected = { ...read, ...(!isOfNoRoom && { room: read.room ?? "r" }) };
    if (read.verb !== "publish" || !read.id) expected.id = frame.id;
    deepEqual(reading(frame), JSON.parse(JSON.stringify(expected)), name);
    met.add(read.verb);
  }
  deepEqual([...met].sort(), Object.keys(ASKS).sort(), "each was asked for");
});

test("rooms that can't be are known beforehand", () => {
  const { client } = bench();
  const invalid = cases.filter(({ error }) => error?.code === "invalid_room").map(({ send }) => JSON.parse(whole(send)).room);
  ok(invalid.length > 5);
  for (const room of invalid) throws(() => client.room(room), { code: "invalid_room" }, room);
  for (const [, { room }] of readings) if (room) equal(client.room(room).name, room);
});

const positions = vectors("positions.json");

async function since(text) {
  const { client, link } = bench();
  client.room("r", { since: text });
  await settled();
  await link().welcome();
  return link().last("join").data.since;
}

test("a position that was kept is written again", async () => {
  const known = positions.valid.filter(({ one }) => one);
  ok(known.length);
  for (const { text, one, written = text } of known) {
    // What is beyond a number can't be counted on from: it is a gap, as any place of a log that isn't there.
    const isCountable = Number.isSafeInteger(one.seq);
    equal(await since(text), isCountable ? written : "0.0", text);
    if (isCountable) equal(await since(one), written, text);
  }
  for (const text of positions.invalid) equal(await since(text), "0.0", `"${text}" is a gap`);
});

/** What a poll of these rooms asks for. */
async function polled(places) {
  const real = globalThis.fetch;
  try {
    return await new Promise((asked) => {
      globalThis.fetch = (url) => (asked(new URL(url).searchParams.get("since")), new Promise(() => {}));
      const client = createClient(virtualIo(0).io, "http://localhost:8000", { transports: [poll] });
      for (const [room, place] of Object.entries(places)) client.room(room, { since: place });
    });
  } finally {
    globalThis.fetch = real;
  }
}

test("the places of several rooms are one position", async () => {
  const known = positions.valid.filter(({ each }) => each);
  ok(known.length);
  for (const { text, each, written = text } of known) equal(await polled(each), written);
});

test("every code has its name", () => {
  const types = readFileSync(new URL("../dist/error.d.ts", import.meta.url), "utf8");
  const { errors, closes } = vectors("codes.json");
  for (const { code } of errors) ok(types.includes(`"${code}"`), code);
  const traces = JSON.stringify(vectors("sessions.json").groups);
  const isMet = ({ close, reason }) => new RegExp(`"\\$?code":${close},"\\$?reason":"${reason}`).test(traces);
  deepEqual(closes.filter((each) => !isMet(each)), [], "closes that no trace has");
});

test("the trace that the guide shows is one of the vectors", () => {
  const guide = readFileSync(new URL("../../../docs/sdk-guide.md", import.meta.url), "utf8");
  const shown = [...guide.matchAll(/^```json\n(.*?)^```$/gms)].map(([, json]) => JSON.parse(json)).filter(({ steps }) => steps);
  const traces = vectors("sessions.json").groups.flatMap((group) => group.traces);
  deepEqual(shown, shown.map(({ name }) => traces.find((trace) => trace.name === name)));
  equal(shown.length, 1);
});
