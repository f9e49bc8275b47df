// The client over all its connections: when it comes, goes and comes back, and as whom.
import assert from "node:assert/strict";
import { test } from "node:test";

import { bench, joined, settled } from "./bench.mjs";

const { deepEqual, equal, match, ok, rejects, throws } = assert;

test("nothing is connected before a room is asked for", async () => {
  const { client, links, states } = bench();
  await settled();
  deepEqual([client.state, links.length], ["idle", 0]);
  client.room("r");
  client.room("s");
  await settled();
  deepEqual([client.state, links.length, states], ["connecting", 1, ["connecting"]]);
});

test("comes back after a growing wait that `welcome` resets", async () => {
  const { client, links, link, states, pass } = bench();
  client.room("r");
  await settled();
  for (const [tries, ms] of [1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
    await link().break();
    equal(states.at(-1), `waiting ${ms}`, "half of what it may be");
    await pass(ms - 1);
    equal(links.length, tries + 1);
    await pass(1);
    equal(links.length, tries + 2);
  }
  await link().welcome();
  equal(client.user, "ada");
  await link().break();
  equal(states.at(-1), "waiting 1000");
});

test("what makes no sense ends the connection, and not the program", async () => {
  const nonsense = [
    { type: "system", data: null },
    { type: "presence", room: "r", data: { event: "sync", v: 1 } },
    { type: "error", id: "1", data: null },
    null,
  ];
  const { client, links, link, pass } = bench();
  client.room("r");
  await settled();
  for (const [tries, message] of nonsense.entries()) {
    await link().welcome();
    link().joined("r");
    link().say({ type: "x" });
    link().from.message(message);
    equal(client.state, "waiting", JSON.stringify(message));
    await pass(1_000);
    equal(links.length, tries + 2);
  }
});

test("the session stays, and `attempt` rises", async () => {
  const { client, links, link, pass } = bench();
  client.room("r");
  await settled();
  await link().break();
  await pass(1_000);
  deepEqual(links.map(({ to }) => to.attempt), [1, 2]);
  const [one, two] = links.map(({ to }) => to.address("/ws").href);
  match(one, /^http:\/\/localhost:8000\/ws\?session=[\w-]{22}$/);
  equal(one, two);
});

test("an address may have a path, a query, and another scheme", async () => {
  const { createClient } = await import("../dist/client.js");
  const io = { now: () => 0, random: () => 0, after: () => {}, cancel() {}, watch: () => () => {} };
  const check = async (url, expected) => {
    let href;
    const transports = [(to) => ((href = to.address("/ws", { attempt: 1, token: null }).href), { send() {}, close() {} })];
    createClient(io, url, { transports }).room("r");
    await settled();
    equal(href.replace(/session=[^&]+/, "session=s"), expected);
  };
  await check("ws://example.com/ws", "http://example.com/ws?session=s&attempt=1");
  await check("wss://example.com/realtime/ws/", "https://example.com/realtime/ws?session=s&attempt=1");
  await check("http://example.com/realtime?user=ada", "http://example.com/realtime/ws?user=ada&session=s&attempt=1");
});

test("comes back when the server said", async () => {
  const { link, states, pass } = await joined();
  link().system("draining", { reconnect_in: 0.7 });
  await pass(200);
  await link().break(1012, "restart: bye");
  equal(states.at(-1), "waiting 700", "after the close, not after it was told");
});

test("a try that takes too long is given up, and what it says later is passed over", async () => {
  const { client, links, pass } = bench({ timeout: 5_000 });
  client.room("r");
  await pass(5_000);
  deepEqual([client.state, links[0].closed], ["waiting", 4000]);
  await links[0].welcome();
  equal(client.state, "waiting");
});

test("a silent server is pinged, then given up", async () => {
  const { client, link, pass } = await joined();
  await pass(19_999);
  equal(link().last("ping"), undefined);
  await pass(1);
  ok(link().last("ping"));
  await pass(1_000);
  link().ack(link().last("ping"), { status: "pong" });
  await pass(20_000);
  equal(link().sent.filter(({ type }) => type === "ping").length, 2);
  await pass(7_999);
  equal(client.state, "online");
  await pass(1);
  deepEqual([client.state, link().closed], ["waiting", 4000]);
});

test("the close codes decide", async () => {
  const { readFileSync } = await import("node:fs");
  const { closes } = JSON.parse(readFileSync(new URL("../../../conformance/codes.json", import.meta.url), "utf8"));
  for (const close of closes) {
    const { client, link } = await joined({ token: () => "t" });
    await link().break(close.close, `${close.reason}: text`);
    equal(client.state, close.reconnect === "no" ? "closed" : "waiting", `${close.close} ${close.reason}`);
  }
  for (const [code, reason] of [[1005, ""], [4999, ""], [1008, ""], [1008, "news: thing"]]) {
    const { client, link } = await joined();
    await link().break(code, reason);
    equal(client.state, "closed", `${code} ${reason}`);
  }
});

test("a close for good ends everything", async () => {
  const { client, room, seen, link, states } = await joined();
  const lost = rejects(room.send("text", {}), { code: "taken_over", retryable: false });
  await link().break(4009, "taken_over: elsewhere");
  await lost;
  equal(states.at(-1), "closed taken_over");
  deepEqual([room.state, seen], ["left", ["left taken_over"]]);
  await rejects(room.send("text", {}), { code: "taken_over" });
  throws(() => client.room("s"), { code: "closed" });
});

test("`retries` gives up", async () => {
  const { client, link, states, pass } = bench({ backoff: { base: 10, max: 10, retries: 2 } });
  const room = client.room("r");
  await settled();
  const sent = rejects(room.send("text", {}), { code: "offline" });
  for (let n = 0; n < 3; n++) {
    await link().break();
    await pass(5);
  }
  equal(states.at(-1), "closed offline");
  await sent;
});

test("closing is polite and final", async () => {
  const { client, room, link, pass, links } = await joined();
  const sent = rejects(room.send("text", {}), { code: "closed" });
  client.close();
  client.close();
  await sent;
  deepEqual([client.state, link().closed], ["closed", 1000]);
  await pass(100_000);
  equal(links.length, 1);
});

test("a token is asked for before each try and before it ends", async () => {
  const why = [];
  const tokens = ["one", "two", "three"];
  const { client, link, pass } = bench({ token: async (reason) => (why.push(reason), tokens[why.length - 1]) });
  client.room("r");
  await settled();
  equal(link().to.token, "one");
  await link().welcome();
  link().system("expiring", { expires_in: 60 });
  await settled();
  deepEqual(link().last("auth").data, { token: "two" });
  await link().break(1008, "token_expired: fetch another");
  await pass(1_000);
  equal(link().to.token, "three");
  deepEqual(why, ["connect", "expiring", "expired"]);
});

test("a token that doesn't come is asked for again, and never blamed on the transport", async () => {
  let asked = 0;
  const token = () => (++asked === 1 ? Promise.reject(new Error("503")) : null);
  const { client, link, states, pass } = bench({ token }, ["one", "two"]);
  client.room("r");
  await settled();
  equal(states.at(-1), "waiting 1000");
  await pass(1_000);
  deepEqual([link().to.token, link().name], [null, "one"]);
});

test("a refused token is followed by one fresh one", async () => {
  const why = [];
  const { client, link, pass } = bench({ token: (reason) => (why.push(reason), "t") });
  client.room("r");
  await settled();
  await link().break(1008, "unauthorized: no");
  await pass(1_000);
  await link().break(1008, "unauthorized: no");
  deepEqual([client.state, why], ["closed", ["connect", "expired"]]);
  const fixed = bench({ token: "t" });
  fixed.client.room("r");
  await settled();
  equal(fixed.link().to.token, "t");
  await fixed.link().break(1008, "token_expired: fetch another");
  deepEqual(fixed.states, ["connecting", "closed token_expired"]);
});

test("goes on to the next transport, and remembers what worked", async () => {
  const { client, links, link, states, pass } = bench({ timeout: 3_000 }, ["socket", "events", "poll"]);
  client.room("r");
  await pass(3_000);
  equal(link().name, "events", "at once, when the first one's time is over");
  await link().break();
  equal(link().name, "poll");
  await link().break();
  equal(states.at(-1), "waiting 1000", "nobody answers by any of them");
  await pass(1_000);
  await link().break();
  await link().welcome();
  await link().break();
  await pass(1_000);
  deepEqual(links.map(({ name }) => name), ["socket", "events", "poll", "socket", "events", "events"]);
});

test("a transport that has worked is left only after some tries, and one that closes with a code never", async () => {
  const { client, links, link, pass } = bench({}, ["socket", "events"]);
  client.room("r");
  await settled();
  await link().break(1013, "overloaded: later");
  await pass(1_000);
  await link().welcome();
  await link().break();
  for (const ms of [1_000, 2_000, 4_000]) {
    await pass(ms);
    equal(link().name, "socket");
    await link().break();
  }
  equal(links.length, 6);
  equal(link().name, "events");
});

test("no wait when the browser says `online`, or the page is shown again", async () => {
  for (const event of ["online", "visible", "pageshow"]) {
    const { client, links, link, page } = bench();
    client.room("r");
    await settled();
    await link().break();
    await page("hidden");
    await page("offline");
    equal(links.length, 1);
    await page(event);
    equal(links.length, 2);
  }
});

test("a connection is probed when the page is shown again", async () => {
  const { client, link, page, pass } = await joined();
  await page("visible");
  ok(link().last("ping"));
  await pass(100);
  link().ack(link().last("ping"), { status: "pong" });
  await pass(3_000);
  equal(client.state, "online");
  await page("visible");
  link().message("r", 6); // was on its way already
  await pass(3_000);
  equal(client.state, "online");
  await pass(3_000);
  equal(client.state, "waiting");
});

test("a page that is put aside lets go of its connection, and comes back", async () => {
  const { client, room, link, links, page, pass } = await joined();
  link().message("r", 6);
  await page("pagehide");
  deepEqual([client.state, link().closed], ["waiting", 4000]);
  await pass(60_000);
  equal(links.length, 1);
  await page("pageshow");
  await link().welcome();
  equal(link().last("join").data.since, "e.6");
  equal(room.state, "joining");
});

test("without a transport there is no client", async () => {
  throws(() => bench({}, []), { code: "no_transport" });
  const { connect } = await import("../dist/index.js");
  equal(connect("http://localhost:8000", { transports: undefined }).state, "idle", "those there are");
});

test("where there is no page, the server is `dev` on this machine, so that a module that makes a client loads anywhere", async () => {
  const { connect } = await import("../dist/index.js");
  let client;
  const address = await new Promise((resolve) => {
    const transport = (to) => {
      resolve(to.address("/ws"));
      return { send() {}, close() {} };
    };
    client = connect(undefined, { transports: [transport] });
    client.room("r");
  });
  client.close();
  equal(address.origin + address.pathname, "http://localhost:8000/ws");
});
