// Tabs that share a connection: who leads, and what each tab gets.
import assert from "node:assert/strict";
import { test } from "node:test";

import { World, chance } from "./share-world.mjs";

const { deepEqual, equal, ok } = assert;

const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

/** Tabs that are in the room `r`, the first one leads. */
async function tabs(count, options) {
  const world = new World();
  const all = [];
  for (let n = 0; n < count; n++) all.push(await another(world, options));
  return { world, server: world.server, all };
}

async function another(world, options, join) {
  const tab = world.open(options);
  const room = tab.room("r", join);
  await world.quiet();
  return { tab, room };
}

/** A token, as far as tabs look at it. */
const token = (claims) => `head.${btoa(JSON.stringify(claims)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}.tail`;

test("two tabs use one connection, and each gets everything once", async () => {
  const { world, server, all } = await tabs(2);
  const [one, two] = all;
  const acks = [one.room.send("text", { n: 1 }), two.room.send("text", { n: 2 })];
  await world.quiet();
  deepEqual((await Promise.all(acks)).map(({ seq }) => seq), [1, 2]);
  deepEqual([one.room.seqs(), two.room.seqs()], [[1, 2], [1, 2]]);
  equal(server.opened, 1);
  deepEqual([one.tab.client.state, two.tab.client.state], ["online", "online"]);
});

test("a late tab gets what is after its place, and the others nothing twice", async () => {
  const { world, server, all } = await tabs(1);
  for (const n of range(1, 8)) server.publish("r", `m${n}`);
  await world.quiet();
  const { epoch } = server.room("r");
  const late = await another(world, {}, { since: { epoch, seq: 3 } });
  const fresh = await another(world);
  const last = await another(world, {}, { last: 2 });
  server.publish("r", "m8");
  await world.quiet();
  deepEqual([...all, late, fresh, last].map(({ room }) => room.seqs()), [range(1, 9), range(4, 9), [8], [6, 7, 8]]);
  equal(late.room.seen[0].recovered, true);
});

/** A tab joins with a place that is lost, before the server has written what is due to the others; then it writes one more. */
async function passOver(world, tab, n) {
  const { server } = world;
  const [link] = server.connections;
  world.holdsBack = true;
  server.publish("r", `m${n}`);
  const room = tab.room("r", { since: { epoch: "lost", seq: 7 } });
  while (link.seats.get("r").at < server.room("r").log.length) await world.step();
  server.publish("r", `m${n + 1}`);
  link.flush("r");
  await world.quiet();
  return room;
}

test("who is passed over by another tab's join gets all the same, and nobody else is told of its reset", async () => {
  const world = new World();
  const { server } = world;
  const first = await another(world, {}, { state: { is: "the first" } });
  const second = await another(world, {}, { state: { is: "the second" } });
  const late = [world.open(), world.open()];
  for (const tab of late) tab.room("elsewhere");
  await world.quiet();
  const rooms = [await passOver(world, late[0], 1), await passOver(world, late[1], 3)];
  world.holdsBack = false;
  await world.quiet();
  deepEqual([first, second].map(({ room }) => room.seqs()), [range(1, 5), range(1, 5)]);
  for (const { room } of [first, second]) deepEqual(room.seen.flatMap(({ gap }) => gap ?? []), []);
  deepEqual(rooms.map((room) => room.seqs()), [[2, 3, 4], [4]]);
  for (const room of rooms) deepEqual(room.seen.flatMap(({ gap }) => gap?.reason ?? []), ["epoch"]);
  const [link] = server.connections;
  deepEqual(link.states, ["the first", "the second"]);
});

test("the room is left when the last tab leaves it", async () => {
  const { world, server, all } = await tabs(3);
  const [link] = server.connections;
  for (const [n, { room }] of all.entries()) {
    equal(link.seats.has("r"), true, `${n}`);
    room.leave();
    await world.quiet();
  }
  equal(link.seats.has("r"), false);
});

test("a tab that says good-bye leaves at once, one that breaks off after a while", async () => {
  const { world, server, all } = await tabs(1);
  const [link] = server.connections;
  const [other, third] = [await another(world), await another(world)];
  other.tab.room("mine");
  third.tab.room("yours");
  await world.quiet();
  other.tab.close();
  third.tab.crash();
  await world.quiet(1);
  deepEqual([...link.seats.keys()], ["r", "yours"]);
  await world.quiet(11);
  deepEqual([...link.seats.keys()], ["r"]);
  equal(all[0].tab.client.state, "online");
});

test("one tab that shows its user is enough to show them", async () => {
  const world = new World();
  const presence = () => [...world.server.connections][0].seats.get("r").presence;
  await another(world, {}, { presence: false });
  equal(presence(), false);
  await another(world);
  equal(presence(), true);
  await another(world, {}, { presence: false });
  equal(presence(), true);
});

for (const [how, go] of [["is closed", (tab) => tab.close()], ["crashes", (tab) => tab.crash()], ["is put aside", (tab) => tab.seen("pagehide")]]) {
  test(`when the leading tab ${how}, another leads at once, in the same session, and nothing is lost`, async () => {
    const { world, server, all } = await tabs(3);
    const [first, ...others] = all;
    const { link } = first.tab;
    const sent = others.map(({ room }, n) => room.send("text", { n }));
    await world.steps(4);
    go(first.tab);
    await world.quiet(1);
    const [next, ...more] = server.connections;
    deepEqual([more.length, next.session, next.attempt > link.attempt], [0, link.session, true]);
    const seqs = (await Promise.all(sent)).map(({ seq }) => seq);
    deepEqual(seqs.sort(), [1, 2]);
    for (const { room, tab } of others) deepEqual([tab.client.state, room.seqs(), room.seen.some(({ gap }) => gap)], ["online", [1, 2], false]);
  });
}

test("a leading tab that is frozen is robbed, and follows when it thaws", async () => {
  const { world, server, all } = await tabs(3);
  const [one, two, three] = all;
  await world.quiet(1);
  one.tab.isFrozen = true;
  const sent = two.room.send("text", {});
  two.tab.seen("visible");
  await world.quiet(8);
  equal((await sent).seq, 1);
  ok(two.tab.link);
  deepEqual(three.room.seqs(), [1], "who wasn't looked at follows at once");
  // What the server says of it comes before what the browser says of the lock.
  world.random = () => 0.99;
  one.tab.isFrozen = false;
  await world.quiet(5);
  deepEqual([server.connections.size, one.tab.client.state, one.room.seqs()], [1, "online", [1]]);
});

test("a tab that was robbed passes on nothing that is meant for another one", async () => {
  const world = new World();
  const passed = [];
  const noting = (tab) => [(to, from) => {
    const link = world.transport(tab)(to, from);
    return { ...link, send: (text, request) => (passed.push([world.all.indexOf(tab), request.type, request.data?.n]), link.send(text, request)) };
  }];
  const all = [];
  world.all = [];
  for (let n = 0; n < 3; n++) {
    all.push(await another(world, { transports: (tab) => (world.all.push(tab), noting(tab)) }));
  }
  const [one, two, three] = all;
  await world.quiet(1);
  one.tab.isFrozen = true;
  two.tab.seen("visible");
  await world.quiet(8);
  const sent = three.room.send("text", { n: 7 });
  await world.quiet(1);
  equal((await sent).seq, 1);
  // What the tabs say comes before what the browser says of the lock, and the server of the connection.
  for (const lane of [one.tab.lockLane, one.tab.connections[0].out]) lane.owner = { isFrozen: true };
  one.tab.isFrozen = false;
  await world.quiet(1);
  deepEqual(passed.filter(([, type]) => type === "text"), [[1, "text", 7]]);
});

test("a tab that is busy when it begins robs nobody", async () => {
  const { world, server } = await tabs(2);
  const late = world.open();
  late.room("r");
  await world.steps(3);
  // Its timers are due before it has heard what is said to it.
  late.pass(3050);
  await world.quiet(1);
  deepEqual([server.opened, late.client.state], [1, "online"]);
});

test("a tab that follows before it has its lock is no tab that is gone", async () => {
  const { world, all } = await tabs(1);
  const early = world.open();
  const room = early.room("r");
  early.wishes.owner = { isFrozen: true };
  await world.quiet();
  // It hears what is said to another one.
  await another(world);
  await world.quiet(1);
  early.wishes.owner = undefined;
  await world.quiet();
  const sent = [early, all[0].tab].map((tab) => tab.client.room("r").send("text", {}));
  await world.quiet(2);
  deepEqual([room.state, room.seqs()], ["live", [1, 2]]);
  await Promise.all(sent);
});

test("of tabs that are gone a leading tab keeps no locks", async () => {
  const { world, all } = await tabs(1);
  for (let n = 0; n < 3; n++) (await another(world)).tab.crash();
  await world.quiet(1);
  const held = [...world.locks.values()].filter(({ held }) => held?.tab === all[0].tab).length;
  equal(held, 2, "that it leads, and that it is there");
});

test("answers go to the tab that asked", async () => {
  const { world, server, all } = await tabs(2);
  const [one, two] = all;
  const errors = [];
  for (const { tab } of all) tab.client.on("error", ({ code }) => errors.push(code));
  server.publish("r", "m1");
  const pages = two.room.history();
  await world.quiet();
  const acks = [one.room.send("text", {}, { id: "same" }), two.room.send("text", {}, { id: "same" })];
  const [link] = server.connections;
  link.say({ type: "error", id: "nobody's", room: "r", data: { code: "conflict", message: "no" } });
  await world.quiet();
  equal((await pages).messages.length, 1);
  deepEqual((await Promise.all(acks)).map(({ seq }) => seq), [2, 2]);
  deepEqual(errors, []);
  link.say({ type: "error", data: { code: "rate_limited", message: "to nobody in particular" } });
  await world.quiet();
  deepEqual(errors, ["rate_limited", "rate_limited"]);
});

test("who is told to fetch a token is the tab that leads", async () => {
  const asked = [];
  const { world, server } = await tabs(2, { token: (why) => (asked.push(why), token({ sub: "ada" })) });
  const [link] = server.connections;
  link.say({ type: "system", data: { event: "expiring", expires_in: 60 } });
  await world.quiet();
  deepEqual(asked, ["connect", "connect", "expiring"]);
});

test("a token that has ended is no end for the other tabs", async () => {
  const { world, server, all } = await tabs(1, { token: token({ sub: "ada", exp: 1 }) });
  const other = await another(world, { token: token({ sub: "ada", exp: 2 }) });
  equal(server.connections.size, 1);
  all[0].tab.link.end(1008, "token_expired: the token has ended");
  await world.quiet(1);
  deepEqual([all[0].tab.client.state, other.tab.client.state, other.room.state], ["closed", "online", "live"]);
});

test("what the server says to the person ends all tabs", async () => {
  const { world, all } = await tabs(2);
  all[0].tab.link.end(1008, "kicked: by the back end");
  await world.quiet(1);
  deepEqual(all.map(({ tab }) => tab.client.state), ["closed", "closed"]);
});

test("who is no longer let into a room leaves it in all tabs", async () => {
  let asked;
  const world = new World();
  const options = { transports: (tab) => [(to, from) => ((asked = to.joins), world.transport(tab)(to, from))] };
  const all = [await another(world, options), await another(world, options)];
  all[1].tab.room("s");
  await world.quiet();
  deepEqual(asked().map(({ room }) => room), ["r", "s"]);
  all[0].tab.link.say({ type: "system", data: { event: "kicked", room: "r", reason: "no more" } });
  await world.quiet();
  deepEqual(all.map(({ room }) => room.state), ["denied", "denied"]);
  deepEqual(asked().map(({ room }) => room), ["s"]);
});

test("a lost connection is one for all tabs, and opened again once", async () => {
  const { world, server, all } = await tabs(3);
  world.random = () => 0.01;
  all[0].tab.link.end(1006, "cut");
  await world.quiet();
  deepEqual(all.map(({ tab }) => tab.client.state), ["waiting", "waiting", "waiting"]);
  await world.quiet(5);
  deepEqual(all.map(({ tab, room }) => [tab.client.state, room.state]), Array(3).fill(["online", "live"]));
  equal(server.opened, 2);
});

test("a server that stands still is noticed by the tab that is looked at, for all", async () => {
  const { world, server, all } = await tabs(2);
  const [link] = server.connections;
  link.take = () => {};
  await world.quiet(1);
  all[1].tab.seen("visible");
  await world.quiet(4);
  deepEqual([link.closed, server.connections.has(link)], [4000, false]);
  await world.quiet(5);
  deepEqual(all.map(({ tab }) => tab.client.state), ["online", "online"]);
});

test("different users, rights, servers and names share nothing; a fresh token of the same user does", async () => {
  const world = new World();
  const claims = { sub: "ada", rooms: { "*": ["*"] } };
  const kinds = [
    {},
    { user: "ada" },
    { user: "bob" },
    { url: "http://localhost:8000/?user=cleo" },
    { url: "http://localhost:9000" },
    { token: token(claims) },
    { token: token({ ...claims, sub: "ædå?>" }) },
    { token: token({ ...claims, rooms: {} }) },
  ];
  for (const options of kinds) await another(world, options);
  equal(world.server.connections.size, kinds.length);
  await another(world, { token: token({ ...claims, exp: 7, iat: 6, jti: "5" }) });
  equal(world.server.connections.size, kinds.length);
});

test("a token that can't be read is shared with nobody", async () => {
  const { server } = await tabs(2, { token: "rk_secret" });
  equal(server.connections.size, 2);
});

test("where there are no locks, or none are given, nothing is shared", async () => {
  for (const fail of [undefined, () => Promise.reject(new DOMException("no", "SecurityError"))]) {
    const world = new World();
    world.locksOf = () => fail && { request: fail };
    const all = [await another(world), await another(world)];
    deepEqual([world.server.connections.size, all.map(({ tab }) => tab.client.state)], [2, ["online", "online"]]);
  }
});

test("where tabs may not talk to each other nothing is shared", async (t) => {
  const world = new World();
  const refused = world.open();
  const { run } = refused;
  refused.run = (act) => run.call(refused, () => {
    globalThis.BroadcastChannel = class {
      constructor() {
        throw new DOMException("no", "SecurityError");
      }
    };
    return act();
  });
  const room = refused.room("r");
  await world.quiet(1);
  deepEqual([refused.client.state, room.state], ["online", "live"]);
});

test("the transport that works is what the next leader begins with", async () => {
  const world = new World();
  const opened = [];
  const options = (who) => ({ transports: (tab) => [
    (_, from) => (opened.push(`${who} in vain`), queueMicrotask(() => from.closed(1006, "blocked")), { send: () => true, close() {} }),
    (to, from) => (opened.push(who), world.transport(tab)(to, from)),
  ] });
  const one = await another(world, options("one"));
  const two = await another(world, options("two"));
  one.tab.crash();
  await world.quiet(1);
  deepEqual([opened, two.tab.client.state], [["one in vain", "one", "two"], "online"]);
});

test("who waits for a tab that doesn't get through goes on to the next transport with it", async () => {
  const world = new World();
  const opened = [];
  const options = { transports: (tab) => [
    () => (opened.push("in vain"), { send: () => true, close() {} }),
    (to, from) => (opened.push("through"), world.transport(tab)(to, from)),
  ] };
  const all = [await another(world, options)];
  await world.quiet(5);
  all.push(await another(world, options));
  world.random = () => 0.99;
  await world.quiet(6);
  deepEqual([opened, all.map(({ tab }) => tab.client.state)], [["in vain", "through"], ["online", "online"]]);
});

test("an application's own fields are passed on, whatever their names", async () => {
  const { world, server, all } = await tabs(2);
  const data = [{ event: "welcome" }, { event: "reset", epoch: "x", seq: 99 }, { event: "expiring" }, { event: "kicked", room: "s", from: 3 }];
  for (const [n, each] of data.entries()) server.publish("r", `m${n}`, each);
  await world.quiet();
  for (const { room } of all) deepEqual(room.seen.flatMap(({ message }) => message?.data ?? []), data);
  all[0].tab.link.end(1006, "cut");
  await world.quiet(5);
  server.publish("r", "last");
  await world.quiet();
  for (const { room } of all) deepEqual(room.seqs(), range(1, 6));
});

test("sends wait in order, whichever tab has the connection", async () => {
  const { world, server, all } = await tabs(2);
  const two = all[1];
  const sent = range(0, 100).map((n) => two.room.send("text", { n }));
  await world.steps(20);
  all[0].tab.crash();
  await world.quiet(1);
  await Promise.all(sent);
  deepEqual(server.room("r").log.map(({ data }) => data.n), range(0, 100));
});

/** Follows what a room told; throws if anything came twice, is missing, or came in another order. */
function judge(seen) {
  let place;
  for (const { state, position, recovered, gap, message } of seen) {
    if (state === "live") {
      if (recovered && place) deepEqual(position, place, "resumed elsewhere");
      place ??= position;
    } else if (gap) {
      ok(gap.reason !== "hole", "a hole");
      place = { epoch: gap.epoch, seq: gap.seq };
    } else if (message?.seq) {
      deepEqual([message.epoch, message.seq], [place.epoch, place.seq + 1]);
      place = { epoch: message.epoch, seq: message.seq };
    }
  }
  return place;
}

// In the last one a room is left and joined again before a reset of its first join is told.
for (const seed of [...range(0, 30), 2119]) {
  test(`tabs come, go, crash and freeze, links break, logs are lost: run ${seed}`, async () => {
    const random = chance(seed);
    const world = new World(random);
    const { server, pick } = world;
    const losesLogs = seed % 3 === 0;
    const all = [];
    const sent = [];
    let n = 0;

    function open() {
      const tab = world.open({ backoff: { base: 200, max: 1000 } });
      for (const name of ["r", "s"].filter(() => random() < 0.7)) join(tab, name);
      tab.rooms ??= [];
    }
    function join(tab, name) {
      const earlier = all.flatMap((room) => (room.name === name && room.position ? [room.position] : []));
      const chance = random();
      const since = chance < 0.4 && earlier.length ? pick(earlier) : chance > 0.85 ? { epoch: "lost", seq: 3 } : undefined;
      const last = random() < 0.3 ? Math.floor(random() * 5) : undefined;
      const room = tab.room(name, { since, last, presence: random() < 0.7 });
      room.tab = tab;
      room.since = since;
      all.push(room);
      (tab.rooms ??= []).push(room);
    }
    const acts = {
      open: () => world.tabs.length < 5 && open(),
      send(tab) {
        const room = pick(tab.rooms);
        if (!room) return;
        const data = { n: n++, tab: world.tabs.indexOf(tab) };
        sent.push({ room, data, ack: room.send("text", data).catch((error) => error) });
      },
      publish: () => server.publish(pick(["r", "s"]), `back-end-${n}`, { n: n++ }),
      leave(tab) {
        const room = pick(tab.rooms);
        if (!room) return;
        room.leave();
        tab.rooms = tab.rooms.filter((other) => other !== room);
        if (random() < 0.5) join(tab, room.name);
      },
      close: (tab) => (tab.close(), (world.tabs = world.tabs.filter((other) => other !== tab))),
      crash: (tab) => random() < 0.5 && tab.crash(),
      freeze: (tab) => (tab.isFrozen = !tab.isFrozen),
      hide: (tab) => tab.seen?.("pagehide"),
      show: (tab) => tab.seen?.("pageshow"),
      cut: (tab) => tab.connections.at(-1)?.end(1006, "cut"),
      pass: () => world.pass(random() * 2000),
      ...(losesLogs && { lose: () => random() < 0.3 && server.lose("r"), forget: () => server.forget("s") }),
    };
    const weighted = Object.keys(acts).flatMap((name) => Array(/send|publish|pass/.test(name) ? 6 : 1).fill(name));
    open();
    for (let count = 0; count < 150; count++) {
      const act = pick(weighted);
      const tab = pick(world.tabs);
      if (tab || act === "open") acts[act](tab);
      else open();
      await world.steps(Math.floor(random() * 12));
    }
    for (const tab of world.tabs) {
      tab.isFrozen = false;
      if (tab.client.state === "waiting") tab.seen?.("pageshow");
    }
    await world.quiet(120);

    const gaps = all.flatMap(({ seen, since }) => (since ? [] : seen.filter(({ gap }) => gap)));
    if (!losesLogs) deepEqual(gaps, []);
    for (const room of all) {
      const place = judge(room.seen);
      if (room.tab.isGone || room.state === "left") continue;
      const { epoch, log } = server.room(room.name);
      deepEqual([room.tab.client.state, room.state, place], ["online", "live", { epoch, seq: log.length }]);
    }
    for (const { room, ack } of sent) if (!room.tab.isGone && room.state === "live") ok((await ack).seq ?? (await ack).code === "left", String(await ack));
    ok(server.connections.size <= 1, "one connection");
  });
}
