// One room, as its readers and senders see it.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { bench, joined, recording, settled } from "./bench.mjs";

const { deepEqual, equal, ok, rejects, throws } = assert;

/** Lost, back and welcome; the join is the caller's to answer. */
async function reconnect({ link, pass }) {
  await link().break();
  await pass(1_000);
  await link().welcome();
}

test("a message comes whole", async () => {
  const { room, link } = await joined();
  let got;
  room.on("text", (message) => (got = message));
  link().message("r", 6, { data: { content: "Hello", author: "bob" } });
  await settled();
  deepEqual(got, {
    type: "text", id: "m6", room: "r", seq: 6, epoch: "e", timestamp: 1.5, time: new Date(1500), data: { content: "Hello", author: "bob" },
  });
  deepEqual(room.position, { epoch: "e", seq: 6 });
});

test("a listener that is taken off hears nothing more, and one that throws costs no other", async () => {
  const { room, link } = await joined();
  const heard = [];
  const off = room.on("text", () => (heard.push("one"), off()));
  room.on("*", () => heard.push("all"));
  link().message("r", 6);
  link().message("r", 7);
  await settled();
  deepEqual(heard, ["one", "all", "all"]);
});

test("where the application is told to be is where its listeners have been called", async () => {
  const { room, link } = await joined();
  const places = [];
  room.on("text", () => places.push(room.position.seq));
  link().message("r", 6);
  link().message("r", 7);
  await settled();
  deepEqual(places, [6, 7]);
});

test("a room is joined again where it was, in order and once", async () => {
  const it = await joined();
  it.link().message("r", 6);
  await reconnect(it);
  equal(it.link().last("join").data.since, "e.6");
  it.link().joined("r", { from: 6, recovered: true });
  it.link().message("r", 6);
  it.link().message("r", 7);
  await settled();
  deepEqual(it.seen, [6, "joining", "live true", 7]);
});

test("a start can be asked for", async () => {
  const { client, link } = bench();
  client.room("a", { since: "x.9", presence: false });
  client.room("b", { last: 5, state: { name: "Ada" } });
  await settled();
  await link().welcome();
  deepEqual(link().sent.map(({ data }) => data), [{ since: "x.9", presence: false }, { last: 5, state: { name: "Ada" } }]);
});

test("a reset is told before the place moves", async () => {
  const it = await joined();
  await reconnect(it);
  it.link().joined("r", { epoch: "f", from: 9, reset: "epoch" });
  await settled();
  deepEqual(it.room.position, { epoch: "e", seq: 5 });
  equal(it.room.state, "joining");
  it.link().system("reset", { reason: "epoch", epoch: "f", seq: 9 }, "r");
  it.link().message("r", 10);
  await settled();
  deepEqual(it.seen, ["joining", "gap epoch f.9", "live false", 10]);
  deepEqual(it.room.position, { epoch: "f", seq: 10 });
  it.link().system("reset", { room: "r", reason: "too_old", epoch: "f", seq: 30 });
  it.link().message("r", 31);
  await settled();
  deepEqual(it.seen.slice(4), ["gap too_old f.30", 31]);
});

test("numbers with holes are chained by `prev`", async () => {
  const { link, seen } = await joined();
  link().message("r", 9, { prev: 5 });
  link().message("r", 12, { prev: 9 });
  link().message("r", 13);
  await settled();
  deepEqual(seen, [9, 12, 13]);
});

test("what comes too early waits for what is before it", async () => {
  const { link, seen } = await joined();
  link().message("r", 7);
  link().message("r", 8);
  link().message("r", 6);
  link().message("r", 9);
  await settled();
  deepEqual(seen, [6, 7, 8, 9]);
  link().joined("r", { from: 5, recovered: true });
  link().message("r", 6);
  link().message("r", 10);
  await settled();
  deepEqual(seen.slice(4), [10]);
});

test("a hole is asked for once and then told", async () => {
  const { room, link, seen } = await joined();
  link().message("r", 8);
  equal(link().last("join").data.since, "e.5");
  link().message("r", 9);
  equal(link().sent.filter(({ type }) => type === "join").length, 2);
  link().joined("r", { from: 5, recovered: true });
  await settled();
  deepEqual(seen, []);
  link().message("r", 8);
  link().message("r", 9);
  await settled();
  deepEqual([seen, room.state], [["gap hole e.7", 8, 9], "live"]);
});

test("a denied room ends alone, and a busy one is tried again", async () => {
  const { client, link, pass } = bench();
  const room = client.room("r");
  const seen = recording(room);
  await settled();
  await link().welcome();
  link().refuse(link().last("join"), "rate_limited", { retryable: true, retry_after: 2 });
  await pass(1_999);
  equal(link().ids("join").length, 1);
  await pass(1);
  const sent = rejects(room.send("text", {}), { code: "forbidden" });
  link().refuse(link().last("join"), "forbidden");
  await sent;
  await pass(10_000);
  deepEqual([seen, link().ids("join").length], [["denied forbidden"], 2]);
  ok(client.room("r") !== room, "asked for again it is tried again");
  equal(link().ids("join").length, 3);
  link().refuse(link().last("join"), "too_many_rooms", { retryable: true });
  equal(client.room("s").state, "joining");
});

test("a user who is put out of a room is told", async () => {
  const { client, link, seen } = await joined();
  link().system("kicked", { room: "r", reason: "fewer rights" });
  link().message("r", 6);
  await settled();
  deepEqual([seen, client.state], [["denied kicked"], "online"]);
});

test("an ack says where", async () => {
  const { room, link } = await joined();
  const sent = room.send("text", { content: "Hello" });
  const message = link().last("text");
  deepEqual(message, { type: "text", id: message.id, room: "r", data: { content: "Hello" } });
  link().ack(message, { status: "delivered", room: "r", seq: 6, epoch: "e", timestamp: 2.5 });
  deepEqual(await sent, { id: message.id, seq: 6, epoch: "e", timestamp: 2.5, duplicate: false });
});

test("messages wait for a connection and go again under their ids, the same bytes", async () => {
  const { client, link, pass } = bench();
  const room = client.room("r");
  const data = { n: 1 };
  const acks = ["a", "b"].map((id) => room.send("text", data, { id }));
  data.n = 2;
  await settled();
  await link().welcome();
  equal(link().last("text"), undefined);
  link().joined("r");
  deepEqual(link().ids("text"), ["a", "b"]);
  equal(link().last("text").data.n, 1, "as it was when it was sent");
  link().ack({ id: "a", room: "r" }, { seq: 6 });
  equal((await acks[0]).seq, 6);
  const before = link().texts.at(-1);
  await link().break();
  acks.push(room.send("text", {}, { id: "c" }));
  await pass(1_000);
  await link().welcome();
  link().joined("r", { recovered: true });
  deepEqual(link().ids("text"), ["b", "c"]);
  equal(link().texts.at(-2), before);
  for (const id of ["b", "c"]) link().ack({ id, room: "r" }, { seq: 7, duplicate: true });
  equal((await acks[2]).duplicate, true);
});

test("what the server may have forgotten is not sent twice", async (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const it = await joined();
  const sent = it.room.send("text", {}, { id: "a" });
  const page = it.room.history();
  t.mock.timers.tick(290_000);
  await reconnect(it);
  it.link().joined("r", { recovered: true });
  equal(it.link().last("text").id, "a");
  await it.link().break();
  t.mock.timers.tick(1);
  const next = it.room.send("text", {}, { id: "b" });
  await it.pass(2_000);
  await it.link().welcome();
  it.link().joined("r", { recovered: true });
  await rejects(sent, { code: "unknown", retryable: false });
  deepEqual(it.link().ids("text"), ["b"]);
  it.link().ack({ id: "b", room: "r" }, { seq: 7 });
  equal((await next).seq, 7);
  it.link().ack(it.link().last("history"), { messages: [], complete: true });
  deepEqual((await page).messages, []);
});

test("two rooms may use one id", async () => {
  const { client, room, link } = await joined();
  const other = client.room("s");
  link().joined("s");
  const acks = [room, other].map((each) => each.send("text", {}, { id: "same" }));
  link().ack({ id: "same", room: "s" }, { seq: 2 });
  link().ack({ id: "same", room: "r" }, { seq: 1 });
  deepEqual((await Promise.all(acks)).map(({ seq }) => seq), [1, 2]);
});

test("at most 64 are under way", async () => {
  const { room, link } = await joined();
  for (let n = 0; n < 70; n++) room.send("text", {}, { id: `${n}` });
  equal(link().ids("text").length, 64);
  link().ack({ id: "0", room: "r" }, { seq: 6 });
  deepEqual(link().ids("text").slice(64), ["64"]);
});

test("a refusal for now holds all that follows, oldest first", async () => {
  for (const code of ["rate_limited", "unavailable"]) {
    const { client, room, link, pass } = await joined();
    client.room("s");
    link().joined("s");
    const results = ["a", "b"].map((id) => room.send("text", {}, { id }));
    link().refuse({ id: "a", room: "r" }, code, { retryable: true, retry_after: 1.5 });
    room.send("text", {}, { id: "c" });
    client.room("s").send("note", {}, { id: "other" });
    equal(link().ids("note").length, code === "unavailable" ? 1 : 0, "the rate is the connection's, the log the room's");
    await pass(2_000);
    deepEqual(link().ids("text"), ["a", "b"], "b is still under way");
    link().refuse({ id: "b", room: "r" }, code, { retryable: true });
    await pass(999);
    deepEqual(link().ids("text"), ["a", "b"]);
    await pass(1);
    deepEqual(link().ids("text"), ["a", "b", "a", "b", "c"]);
    link().refuse({ id: "a", room: "r" }, "conflict");
    await rejects(results[0], { code: "conflict", retryable: false, message: "conflict, says the server" });
  }
});

test("a timer that is early costs nothing", async () => {
  const { room, link, pass } = await joined({ earlyMs: 1 });
  room.send("text", {}, { id: "a" });
  link().refuse({ id: "a", room: "r" }, "rate_limited", { retryable: true });
  await pass(1_000);
  deepEqual(link().ids("text"), ["a", "a"]);
});

test("what would end the connection or overflow is not sent", async () => {
  const { room, link } = await joined({ queue: 2 });
  await rejects(room.send("text", { x: "ä".repeat(40_000) }), { code: "too_large" });
  await rejects(room.send("text", { x: "ä".repeat(40_000) }, { volatile: true }), { code: "too_large" });
  room.send("text", {}, { id: "a" });
  await rejects(room.send("text", {}, { id: "a" }), { code: "conflict" });
  room.send("text", {});
  await rejects(room.send("text", {}), { code: "queue_full", retryable: true });
  equal(link().ids("text").length, 2);
});

test("a send can be taken back", async () => {
  const { client, link } = bench();
  const room = client.room("r");
  const stop = new AbortController();
  const sent = room.send("text", {}, { signal: stop.signal });
  stop.abort(new Error("never mind"));
  await rejects(sent, /never mind/);
  await rejects(room.send("text", {}, { signal: stop.signal }), /never mind/);
  await settled();
  await link().welcome();
  link().joined("r");
  equal(link().last("text"), undefined);
});

test("what is for those there now never waits", async () => {
  const { client, link } = bench();
  const room = client.room("r");
  await rejects(room.send("cursor", { x: 1 }, { volatile: true }), { code: "offline", retryable: true });
  room.typing();
  await settled();
  await link().welcome();
  link().joined("r");
  equal(await room.send("cursor", { x: 1 }, { volatile: true }), undefined);
  deepEqual(link().last("cursor"), { type: "cursor", room: "r", data: { x: 1 }, volatile: true });
  equal(link().last("typing"), undefined);
  link().isFull = true;
  await rejects(room.send("cursor", { x: 2 }, { volatile: true }), { code: "offline" });
});

test("typing is told once a second at most", async () => {
  const { room, link, pass } = await joined();
  room.typing(false);
  room.typing();
  room.typing();
  await pass(1_000);
  room.typing();
  room.typing(false);
  room.typing(false);
  deepEqual(link().sent.filter(({ type }) => type === "typing").map(({ data }) => data.typing), [true, true, false]);
  const seen = [];
  room.on("typing", ({ data }) => seen.push(data));
  link().say({ type: "typing", room: "r", data: { author: "bob", typing: true } });
  await settled();
  deepEqual(seen, [{ author: "bob", typing: true }]);
});

test("who is there", async () => {
  const it = await joined();
  const { room } = it;
  const told = [];
  room.presence.on("change", (members) => told.push(members.map(({ user }) => user).join()));
  const say = (data) => it.link().say({ type: "presence", room: "r", data });
  say({ event: "sync", v: 1, count: 1, members: [{ user: "ada", state: {}, connections: 1 }] });
  say({ event: "join", v: 2, user: "bob", state: { name: "Bob" }, connections: 1, count: 2 });
  say({ event: "update", v: 3, user: "ada", state: {}, connections: 2, count: 2 });
  say({ event: "leave", v: 4, user: "ada", count: 1 });
  await settled();
  deepEqual(told, ["ada", "ada,bob", "ada,bob", "bob"]);
  deepEqual(room.presence.members, [{ user: "bob", state: { name: "Bob" }, connections: 1 }]);
  say({ event: "count", count: 5000 });
  deepEqual([room.presence.count, room.presence.members], [5000, []]);
  room.presence.set({ name: "Ada" });
  deepEqual(it.link().last("presence").data, { state: { name: "Ada" } });
  await reconnect(it);
  deepEqual(it.link().last("join").data.state, { name: "Ada" }, "and after a reconnect");
});

test("a refusal that no promise tells is told by the client", async () => {
  const { client, room, link } = await joined();
  const errors = [];
  client.on("error", ({ code }) => errors.push(code));
  room.presence.set({ large: "x" });
  link().refuse(link().last("presence"), "too_large");
  link().say({ type: "error", room: "r", data: { code: "forbidden", message: "no", retryable: false } });
  await settled();
  deepEqual(errors, ["too_large", "forbidden"]);
});

test("history is asked for again after a lost connection", async () => {
  const it = await joined();
  let newest;
  it.room.on("text", (message) => (newest = message));
  it.link().message("r", 6);
  await settled();
  const page = it.room.history({ before: newest, limit: 2 });
  deepEqual(it.link().last("history").data, { before: "e.6", limit: 2 });
  await reconnect(it);
  it.link().joined("r", { from: 6, recovered: true });
  const old = { type: "text", room: "r", seq: 5, timestamp: 1, data: {} };
  it.link().ack(it.link().last("history"), { status: "history", messages: [old], complete: true });
  const { messages, complete } = await page;
  deepEqual([messages, complete], [[{ ...old, epoch: "e", time: new Date(1000) }], true]);
});

test("leaving gives up what is not sent", async () => {
  const { client, room, link, seen, pass } = await joined();
  const [a, b] = ["a", "b"].map((id) => room.send("text", {}, { id }));
  link().refuse({ id: "a", room: "r" }, "unavailable", { retryable: true });
  room.leave();
  room.leave();
  await rejects(a, { code: "left" });
  equal(link().ids("leave").length, 1);
  link().ack({ id: "b", room: "r" }, { seq: 6 });
  equal((await b).seq, 6, "what is under way still hears its answer");
  link().message("r", 6);
  await settled();
  deepEqual(seen, ["left left"]);
  const again = client.room("r");
  link().message("r", 7);
  equal(link().last("join").data.since, undefined);
  const c = again.send("text", {}, { id: "c" });
  link().joined("r", { from: 7 });
  again.leave();
  const lost = rejects(c, { code: "left" });
  await link().break();
  await lost;
  await pass(1_000);
  await link().welcome();
  equal(link().last("join"), undefined);
});

test("a send that was given up with its room answers for no other under its id", async () => {
  const { client, room, link, pass } = await joined();
  const given = rejects(room.send("text", { n: 1 }, { id: "a" }), { code: "left" });
  room.leave();
  const again = client.room("r");
  const sent = again.send("text", { n: 2 }, { id: "a" });
  await link().break();
  await given;
  await pass(1_000);
  await link().welcome();
  link().joined("r");
  link().ack({ id: "a", room: "r" }, { seq: 6 });
  equal((await sent).seq, 6);
});

test("a loop reads until the room is left", async () => {
  const { room, link } = await joined();
  const seqs = [];
  const loop = (async () => {
    for await (const { seq } of room) seqs.push(seq);
  })();
  link().message("r", 6);
  link().message("r", 7);
  await settled();
  room.leave();
  await loop;
  deepEqual(seqs, [6, 7]);
});

test("a loop over a room that is denied throws, and so does one that is too slow", async () => {
  const { room, link } = await joined();
  const reader = room[Symbol.asyncIterator]();
  const first = reader.next();
  for (let seq = 6; seq < 1040; seq++) link().message("r", seq);
  equal((await first).value.seq, 6);
  await rejects(async () => {
    for (;;) await reader.next();
  }, { code: "too_slow" });
  const denied = rejects(room[Symbol.asyncIterator]().next(), { code: "kicked" });
  await settled();
  link().system("kicked", { room: "r", reason: "bye" });
  await denied;
});

test("messages of the room's own event names come by `*` alone", async () => {
  const { room, link } = await joined();
  const heard = [];
  for (const name of ["gap", "state", "*"]) room.on(name, () => heard.push(name));
  link().message("r", 6, { type: "gap" });
  link().message("r", 7, { type: "state" });
  await settled();
  deepEqual(heard, ["*", "*"]);
});

test("a name that can't be is refused at once", () => {
  const { client } = bench();
  for (const name of ["", "a b", "x".repeat(129), "ä", "a\n"]) throws(() => client.room(name), { code: "invalid_room" });
  equal(client.room("chat:A.1@~=+-_").name, "chat:A.1@~=+-_");
  equal(client.room("r"), client.room("r"));
});

test("a room that was left with a send under way, and joined again, outlives a lost connection", async () => {
  const { client, room, link, pass } = await joined();
  const lost = rejects(room.send("text", {}), { code: "left" });
  room.leave();
  const again = client.room("r");
  await settled();
  await link().break();
  await lost;
  equal(again.state, "joining");
  await pass(1_000);
  await link().welcome();
  link().joined("r");
  await settled();
  equal(again.state, "live");
});

test("a state that is set while the room is being joined is told as well", async () => {
  const { client, link } = await joined();
  const room = client.room("s", { state: { name: "Ada" } });
  room.presence.set({ name: "Bob" });
  const [join, presence] = link().sent.slice(-2);
  deepEqual([join.type, join.data.state, presence.type, presence.room, presence.data], ["join", { name: "Ada" }, "presence", "s", { state: { name: "Bob" } }]);
});

test("what is kept of a send's signal goes with its answer", async () => {
  const { room, link } = await joined();
  const giveUp = new AbortController();
  const first = rejects(room.send("text", {}, { id: "one", signal: giveUp.signal }), { code: "forbidden" });
  await settled();
  link().refuse(link().last("text"), "forbidden");
  await first;
  equal(getEventListeners(giveUp.signal, "abort").length, 0);
  const second = room.send("text", {}, { id: "one" });
  giveUp.abort();
  await settled();
  link().ack(link().last("text"), { seq: 6, epoch: "e", timestamp: 1 });
  equal((await second).seq, 6);
});

test("a reset of a room's life before it was left is none of the next one", async () => {
  const { client, room, link } = await joined({});
  const old = client.room("s", { since: "x.1" });
  link().joined("s", { epoch: "f", from: 9, reset: "epoch" });
  old.leave();
  const seen = recording(client.room("s", { since: "f.7" }));
  link().system("reset", { reason: "epoch", epoch: "f", seq: 9 }, "s");
  link().joined("s", { epoch: "f", from: 7, recovered: true });
  link().message("s", 8);
  await settled();
  deepEqual([seen, room.state], [["live true", 8], "live"]);
});

test("a hole in the roster's versions is asked for", async () => {
  const { room, link, seen } = await joined();
  const joins = () => link().ids("join").length;
  const say = (data) => link().say({ type: "presence", room: "r", data });
  const users = () => room.presence.members.map(({ user }) => user).join();
  say({ event: "sync", v: 7, count: 1, members: [{ user: "ada" }] });
  say({ event: "join", v: 8, user: "bob", count: 2 });
  deepEqual([users(), joins()], ["ada,bob", 1]);
  say({ event: "leave", v: 10, user: "bob", count: 2 });
  say({ event: "join", v: 12, user: "eve", count: 3 });
  equal(joins(), 2, "once");
  link().joined("r", { recovered: true, v: 12, count: 3, members: [{ user: "ada" }, { user: "cid" }, { user: "eve" }] });
  say({ event: "leave", v: 13, user: "cid", count: 2 });
  deepEqual([users(), room.presence.count, joins()], ["ada,eve", 2, 2]);
  say({ event: "count", v: 200, count: 101 });
  say({ event: "sync", v: 300, count: 1, members: [{ user: "ada" }] });
  say({ event: "join", v: 301, user: "bob", count: 2 });
  await settled();
  deepEqual([users(), joins(), seen], ["ada,bob", 2, []]);
});
