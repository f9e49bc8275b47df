// `roomcast/share` in Chromium, against the real server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { acks, browser, got, openPage, pages, reaches, send, stage } from "./browser.mjs";
import { History } from "./history.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, mint, newRoom, range } from "./server.mjs";

const { deepEqual, equal, ok } = assert;

stage();

/** A server, a proxy before it, and tabs of one browser. */
async function scene(t, { transport = "websocket", starting = Server.dev(), at } = {}) {
  const server = await starting;
  const proxy = await Proxy.before(server);
  const context = await browser.newContext();
  t.after(async () => {
    await context.close();
    await proxy.stop();
    await server.stop();
  });
  const name = newRoom();
  const url = at?.(proxy.url) ?? `${proxy.url}/?user=ada`;

  /** A tab that is in the room; its messages are in `got`. */
  async function tab({ id = "tab", join = {}, as = url, token, isBlocked } = {}) {
    const page = await openPage(t, context, pages.url);
    await page.evaluate(
      async ([url, transport, name, join, id, token, isBlocked]) => {
        const { share } = await import("/share.js");
        class Blocked {
          constructor() {
            setTimeout(() => this.onclose({ code: 1006, reason: "" }));
          }
          close() {}
        }
        const noting = (open) => (to, from) => ((window.leads = true), open(to, from));
        const transports = share([].concat(transport).map((name) => noting(roomcast[name])));
        const rt = roomcast.connect(url, { transports, backoff: { base: 20, max: 200 }, token, ...(isBlocked && { websocket: Blocked }) });
        const room = rt.room(name, join);
        const got = [];
        room.on("text", ({ data }) => got.push(data.n ?? data.content));
        room.on("gap", ({ reason }) => got.push(`gap: ${reason}`));
        const note = history_.note.bind(history_);
        history_.note = (ev, client, room, fields) => note(ev, client, room, { ...fields, time: performance.timeOrigin + performance.now() });
        history_.follow(id, room);
        Object.assign(window, { rt, room, got, sent: [] });
        await new Promise((then) => room.on("state", (state) => state === "live" && then()));
      },
      [as, transport, name, join, id, token, isBlocked],
    );
    return page;
  }

  return { server, proxy, context, tab, name };
}

async function metric(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)[1]);
}

/** What ends a leading tab. */
const ENDS = {
  "is closed": (page) => page.close(),
  async crashes(page, context) {
    const crashed = once(page, "crash");
    const cdp = await context.newCDPSession(page);
    cdp.send("Page.crash").catch(() => {});
    await crashed;
  },
};

for (const transport of ["websocket", "events", "poll"]) {
  test(`over ${transport}, tabs that come late get what is after their place, all the same connection`, async (t) => {
    const { server, tab } = await scene(t, { transport });
    const first = await tab();
    await send(first, 0, 10);
    const [, , { epoch, seq }] = await acks(first);
    await got(first, 10);
    const late = await tab({ join: { since: { epoch, seq } } });
    const last = await tab({ join: { last: 2 } });
    await send(late, 10, 20);
    await acks(late);
    await send(last, 20, 30);
    deepEqual([await got(first, 30), await got(late, 27), await got(last, 22)], [range(30), range(30).slice(3), range(30).slice(8)]);
    if (transport === "websocket") equal(await metric(server, "roomcast_connections_opened_total"), 1);
    const members = await last.evaluate(() => room.presence.members.map(({ user, connections }) => [user, connections]));
    deepEqual(members, [["ada", 1]]);
  });
}

for (const [transport, how] of [["websocket", "is closed"], ["websocket", "crashes"], ["events", "is closed"], ["poll", "crashes"]]) {
  test(`over ${transport}, when the leading tab ${how}, nothing is lost`, async (t) => {
    const { tab, context } = await scene(t, { transport });
    const leading = await tab();
    const [one, two] = [await tab(), await tab()];
    await send(one, 0, 5);
    await got(two, 1);
    await send(two, 5, 10);
    await ENDS[how](leading, context);
    await send(one, 10, 15);
    for (const page of [one, two]) await acks(page);
    const [all, same] = [await got(one, 15), await got(two, 15)];
    deepEqual(all, same);
    deepEqual([...all].sort((a, b) => a - b), range(15));
  });
}

test("a leading tab that hangs is robbed by the tab that is looked at", async (t) => {
  const { server, tab } = await scene(t);
  let release;
  const gate = createServer((_, answer) => (release = () => answer.writeHead(200, { "access-control-allow-origin": "*" }).end()));
  gate.listen(0, "127.0.0.1");
  await once(gate, "listening");
  t.after(() => (gate.closeAllConnections(), gate.close()));
  const [leading, other] = [await tab(), await tab()];
  const asked = once(gate, "request");
  const hung = leading.evaluate((url) => {
    const request = new XMLHttpRequest();
    request.open("GET", url, false); // nothing runs on the page until it is answered
    request.send();
  }, `http://127.0.0.1:${gate.address().port}`);
  await asked;
  await other.evaluate(() => document.dispatchEvent(new Event("visibilitychange", { bubbles: true })));
  await send(other, 0, 3);
  deepEqual(await got(other, 3), range(3));
  equal(await metric(server, "roomcast_taken_over_total"), 1);
  release();
  await hung;
  await send(leading, 3, 4);
  deepEqual(await got(leading, 4), range(4));
  equal(await metric(server, "roomcast_connections"), 1);
});

test("a leading tab can be kept for the way back, while another leads", async (t) => {
  const { server, tab } = await scene(t);
  const leading = await tab();
  const other = await tab();
  await send(leading, 0, 2);
  await got(leading, 2);
  await leading.evaluate(() => addEventListener("pageshow", ({ persisted }) => (window.wasKept = persisted)));
  await leading.goto(`${pages.url}/elsewhere`);
  await send(other, 2, 4);
  deepEqual(await got(other, 4), range(4));
  await leading.goBack({ waitUntil: "commit" });
  equal(await leading.evaluate(() => window.wasKept), true, "the page was kept as it was");
  deepEqual(await got(leading, 4), range(4));
  equal(await metric(server, "roomcast_connections"), 1);
});

test("different users share nothing", async (t) => {
  const { server, tab, proxy } = await scene(t);
  const ada = await tab();
  await tab({ as: `${proxy.url}/?user=bob` });
  await ada.waitForFunction(() => room.presence.members.map(({ user }) => user).sort().join() === "ada,bob");
  equal(await metric(server, "roomcast_connections"), 2);
});

test("tokens of one user are shared, and of another not", async (t) => {
  const { server, tab } = await scene(t, { starting: Server.serve(), at: (url) => url });
  const one = await tab({ token: mint("ada") });
  await tab({ token: mint("ada", { seconds: 60 }) });
  await tab({ token: mint("bob") });
  await one.waitForFunction(() => room.presence.count === 2);
  equal(await metric(server, "roomcast_connections"), 2);
});

test("a server that is killed and started again has one connection of all tabs", async (t) => {
  const { server, tab } = await scene(t, { starting: Server.dev({ disk: true }) });
  const all = [await tab(), await tab(), await tab()];
  await send(all[0], 0, 3);
  for (const page of all) await got(page, 3);
  await server.kill();
  for (const [n, page] of all.entries()) await send(page, 3 + n, 4 + n);
  await server.start();
  for (const page of all) await acks(page);
  for (const page of all) deepEqual((await got(page, 6)).sort(), range(6));
  for (const page of all) await reaches(page, "online");
  equal(await metric(server, "roomcast_connections"), 1);
});

test("where WebSockets don't get through, all tabs use what does", async (t) => {
  const { tab } = await scene(t, { transport: ["websocket", "events"] });
  const [one, two] = [await tab({ isBlocked: true }), await tab({ isBlocked: true })];
  await send(one, 0, 2);
  await got(two, 2);
  await one.close();
  await send(two, 2, 4);
  deepEqual(await got(two, 4), range(4));
});

for (const [how, go] of Object.entries(ENDS)) {
  test(`when the leading tab ${how} under load, and the next one is put aside, every tab's history holds`, async (t) => {
    const { server, tab, context, name } = await scene(t, { starting: Server.dev({ disk: true }) });
    const COUNT = 150;
    const leading = await tab({ id: "leading" });
    const writers = [await tab({ id: "reader0" }), await tab({ id: "reader1" })];
    const writing = writers.map((page, writer) =>
      page.evaluate(async ([writer, count]) => {
        for (let at = 0; at < count; at += 10) {
          await Promise.all(Array.from({ length: 10 }, (_, n) =>
            history_.send(`writer${writer}`, room, `${writer}-${at + n}`, `message ${at + n}`)));
          window.written = at + 10;
        }
      }, [writer, COUNT]));
    const written = (part) => writers[0].waitForFunction((count) => window.written >= count, COUNT * part);
    await written(1 / 3);
    await go(leading, context);
    await written(2 / 3);
    for (const page of writers) {
      await page.evaluate(() => ["pagehide", "pageshow"].forEach((type) => window.leads && dispatchEvent(new Event(type))));
    }
    await Promise.all(writing);
    const late = await tab({ id: "late", join: { last: 100 } });
    const noted = [];
    for (const [page, id] of [[writers[0], "reader0"], [writers[1], "reader1"], [late, "late"]]) {
      const events = await page.evaluate(async (id) => {
        const { messages } = await room.history({ limit: 1 });
        const [{ epoch, seq }] = messages;
        while (room.position.seq < seq) await new Promise((then) => room.on("*", then));
        history_.note("end", id, room, { epoch, seq });
        return history_.events;
      }, id);
      noted.push(...events);
    }
    const history = new History();
    const rank = ({ ev }) => (ev === "pub" ? 0 : 1);
    history.events = noted.sort((a, b) => a.time - b.time || rank(a) - rank(b));
    history.judge();
    for (const id of ["reader0", "reader1"]) {
      equal(noted.filter(({ ev, client }) => ev === "recv" && client === id).length, 2 * COUNT);
    }
    ok(noted.every(({ ev, room }) => room === name && ev !== "reset"));
    ok((await metric(server, "roomcast_connections_opened_total")) >= 3, "handed over twice");
  });
}
