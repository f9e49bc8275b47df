// `roomcast/outbox` in Chromium, against the real server.
import assert from "node:assert/strict";
import { test } from "node:test";

import { browser, got, openPage, pages, stage } from "./browser.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, newRoom, range } from "./server.mjs";

const { deepEqual } = assert;

stage();

/** A server, a proxy before it, and a browser's page that can be loaded again. */
async function scene(t) {
  const server = await Server.dev();
  const proxy = await Proxy.before(server);
  const context = await browser.newContext();
  t.after(async () => {
    await context.close();
    await proxy.stop();
    await server.stop();
  });
  return { server, proxy, context, name: newRoom(), page: await openPage(t, context, pages.url) };
}

/** What the application does when it is loaded. Messages that are sent again are in `again`, how they ended in `ends`. */
const load = (page, { proxy, name }, owner = "ada", { as = owner, ...options } = {}) =>
  page.evaluate(
    async ([url, name, owner, options]) => {
      const { outbox } = await import("/outbox.js");
      const again = [];
      const ends = [];
      const rt = outbox(roomcast.connect(url, { backoff: { base: 20, max: 200 }, ...options }), owner, {
        again: ({ data }, ack) => (again.push(data.n), ends.push(ack)),
      });
      const room = rt.room(name, { last: 1000 });
      const got = [];
      room.on("text", ({ data }) => got.push(data.n));
      Object.assign(window, { rt, room, got, again, ends, sent: [] });
    },
    [`${proxy.url}/?user=${as}`, name, owner, options],
  );

async function reload(page, scene, ...how) {
  await page.reload();
  await page.waitForFunction(() => window.roomcast);
  await load(page, scene, ...how);
}

const live = (page) => page.waitForFunction(() => room.state === "live");

/** A scene whose page is in the room. */
async function connected(t) {
  const all = await scene(t);
  await load(all.page, all);
  await live(all.page);
  return all;
}

/** A scene whose page is offline, and has so many messages that wait. */
async function offline(t, count) {
  const all = await scene(t);
  all.proxy.down();
  await load(all.page, all);
  await write(all.page, 0, count);
  return all;
}

/** Letters of pages that are gone. */
const leave = (page, name, ...letters) =>
  page.evaluate(async ([room, letters]) => {
    const open = indexedDB.open("roomcast-outbox");
    await new Promise((then) => (open.onsuccess = then));
    const store = open.result.transaction("letters", "readwrite").objectStore("letters");
    for (const { age, data, ...letter } of letters) {
      store.add({ owner: "ada", room, type: "text", text: JSON.stringify(data), time: Date.now() - age, ...letter });
    }
    await new Promise((then) => (store.transaction.oncomplete = then));
    open.result.close();
  }, [name, letters]);
/** Sends, and waits until the browser has them. */
const write = (page, from, to) =>
  page.evaluate(async ([from, to]) => {
    for (let n = from; n < to; n++) sent.push(room.send("text", { n }));
    const open = indexedDB.open("roomcast-outbox");
    await new Promise((then) => (open.onsuccess = then));
    // A transaction waits for those before it.
    const count = open.result.transaction("letters", "readwrite").objectStore("letters").count();
    await new Promise((then) => (count.onsuccess = then));
    open.result.close();
    return count.result;
  }, [from, to]);

/** Waits until the browser has let go of what was answered. */
const forgotten = (page) => write(page, 0, 0);

test("what was sent offline is sent by the page that is loaded next, before its own", async (t) => {
  const all = await offline(t, 10);
  const { page, proxy } = all;
  await reload(page, all);
  await write(page, 10, 12);
  proxy.up();
  deepEqual(await got(page, 12), range(12));
  deepEqual(await page.evaluate(() => again), range(10));
  await page.evaluate(() => Promise.all([...ends, ...sent]));
  await forgotten(page);
  await reload(page, all);
  await write(page, 12, 13);
  deepEqual(await got(page, 13), range(13));
  deepEqual(await page.evaluate(() => again), [], "nothing is left");
});

test("what the server had, and nobody knew of, is there once", async (t) => {
  const all = await connected(t);
  const { page, proxy } = all;
  proxy.swallowAck();
  await page.evaluate(() => rt.on("state", (state) => (window.isCut ||= state === "waiting")));
  // No ack may come before the page ends: the connection is gone with it, and stays so.
  const isCut = page.waitForFunction(() => window.isCut);
  const { cut } = Proxy.prototype;
  proxy.cut = () => (cut.call(proxy), (proxy.isDown = true));
  await write(page, 0, 3);
  await isCut;
  await reload(page, all);
  proxy.up();
  await page.waitForFunction(() => ends.length === 3);
  const acks = await page.evaluate(() => Promise.all(ends));
  deepEqual(acks.map(({ seq }) => seq), [1, 2, 3]);
  deepEqual(acks.some(({ duplicate }) => duplicate), true);
  deepEqual(await got(page, 3), range(3));
});

test("so is what is too old for the server to know its id", async (t) => {
  const all = await connected(t);
  const { page, proxy } = all;
  const id = await page.evaluate(async () => (await room.send("text", { n: 0 })).id);
  proxy.down();
  // As if the ack had been lost, an hour ago; the second one never arrived.
  const age = 3_600_000;
  await leave(page, all.name, { id, age, data: { n: "again" } }, { id: "never-arrived", age, data: { n: 1 } });
  await reload(page, all);
  proxy.up();
  deepEqual(await got(page, 2), range(2));
  deepEqual(await page.evaluate(() => again), [1]);
});

test("so is what was written by a clock that was ahead", async (t) => {
  const all = await connected(t);
  const { page, proxy } = all;
  const id = await page.evaluate(async () => (await room.send("text", { n: 0 })).id);
  proxy.down();
  await leave(page, all.name, { id, age: -3_600_000, data: { n: "again" } });
  await reload(page, all);
  await write(page, 1, 2);
  proxy.up();
  deepEqual(await got(page, 2), range(2));
  deepEqual(await page.evaluate(() => again), []);
});

test("what another tab is about to send is left to it, as long as it lives", async (t) => {
  const all = await offline(t, 3);
  const { page, proxy, server, context } = all;
  // This tab gets through, that one doesn't.
  const through = { ...all, proxy: server };
  const other = await openPage(t, context, pages.url);
  await load(other, through);
  await write(other, 7, 8);
  deepEqual(await got(other, 1), [7]);
  deepEqual(await other.evaluate(() => again), []);
  await page.close();
  deepEqual(await got(other, 4), [7, 0, 1, 2]);
  deepEqual(await other.evaluate(() => again), range(3));
});

test("what two tabs find is sent by one of them", async (t) => {
  const all = await offline(t, 5);
  const { page, proxy, context } = all;
  await reload(page, all);
  const other = await openPage(t, context, pages.url);
  await load(other, all);
  proxy.up();
  for (const tab of [page, other]) deepEqual(await got(tab, 5), range(5));
  const told = await Promise.all([page, other].map((tab) => tab.evaluate(() => again)));
  deepEqual(told.flat().sort(), range(5));
});

test("what is aborted while it waits for the page before is not sent, by no page", async (t) => {
  const all = await offline(t, 1);
  const { page, proxy } = all;
  await reload(page, all);
  const why = await page.evaluate(async () => {
    const over = new AbortController();
    const sent = room.send("text", { n: "aborted" }, { signal: over.signal });
    over.abort("changed my mind");
    return sent.catch((reason) => reason);
  });
  deepEqual(why, "changed my mind");
  await write(page, 1, 2);
  await reload(page, all);
  proxy.up();
  deepEqual(await got(page, 2), range(2));
});

test("an application that throws when it is told doesn't stop what it sends", async (t) => {
  const all = await offline(t, 2);
  const { page, proxy } = all;
  await reload(page, all);
  await page.evaluate(() => {
    window.thrown = [];
    addEventListener("error", (event) => (event.preventDefault(), thrown.push(event.message)));
    again.push = () => {
      throw new Error("of the application");
    };
  });
  await write(page, 2, 3);
  proxy.up();
  deepEqual(await got(page, 3), range(3));
  await page.waitForFunction(() => thrown.length === 2);
});

test("more than may wait at once is left, and goes in order", async (t) => {
  const all = await connected(t);
  const { page, proxy } = all;
  proxy.down();
  await leave(page, all.name, ...range(150).map((n) => ({ id: `left-${n}`, age: 0, data: { n } })));
  await reload(page, all, "ada", { queue: 70 });
  await write(page, 150, 152);
  proxy.up();
  deepEqual(await got(page, 152), range(152));
  await page.evaluate(() => Promise.all([...ends, ...sent]));
});

test("a page that waits for nothing keeps nobody from deleting the database, nor itself from going on", async (t) => {
  const all = await connected(t);
  const { page, proxy } = all;
  await page.evaluate(() => room.send("text", { n: 0 }));
  await forgotten(page);
  await page.evaluate(async () => {
    const deleting = indexedDB.deleteDatabase("roomcast-outbox");
    await new Promise((then, failed) => ((deleting.onsuccess = then), (deleting.onblocked = () => failed(new Error("blocked")))));
  });
  proxy.down();
  await page.evaluate(() => void sent.push(room.send("text", { n: 1 })));
  await write(page, 2, 3);
  await reload(page, all);
  proxy.up();
  deepEqual(await got(page, 3), range(3));
});

test("a page that waits for nothing can be kept for the way back", async (t) => {
  const all = await connected(t);
  const { page } = all;
  await page.evaluate(async () => {
    addEventListener("pageshow", ({ persisted }) => (window.wasKept = persisted));
    await room.send("text", { n: 0 });
  });
  await forgotten(page);
  await page.goto(`${pages.url}/elsewhere`);
  await page.goBack({ waitUntil: "commit" });
  deepEqual(await page.evaluate(() => window.wasKept), true);
  await write(page, 1, 2);
  deepEqual(await got(page, 2), range(2));
});

test("a page that had no answer for longer than ids are known looks what became of it", async (t) => {
  const all = await connected(t);
  const { page, proxy } = all;
  // All go out at once when the client is back, and no answer comes.
  proxy.down();
  await write(page, 0, 3);
  proxy.swallowAck();
  await new Promise((then) => {
    proxy.cut = () => (delete proxy.cut, then(proxy.down()));
    proxy.up();
  });
  await page.evaluate(() => {
    const { now } = Date;
    Date.now = () => now() + 300_000;
  });
  proxy.up();
  const acks = await page.evaluate(() => Promise.all(sent));
  deepEqual(acks.map(({ seq }) => seq), [1, 2, 3]);
  deepEqual(await got(page, 3), range(3));
});

for (const [who, ...how] of [
  ["another user", "bob"],
  ["a page that the server takes for another user by now", "ada", { as: "bob" }],
]) {
  test(`${who} doesn't send what a user wrote`, async (t) => {
    const all = await offline(t, 2);
    const { page, proxy } = all;
    await reload(page, all, ...how);
    await write(page, 7, 8);
    proxy.up();
    deepEqual(await got(page, 1), [7]);
    await page.evaluate(() => Promise.all(sent));
    await reload(page, all);
    deepEqual(await got(page, 3), [7, 0, 1]);
  });
}

test("a message that was refused is not sent again", async (t) => {
  const all = await connected(t);
  const { page } = all;
  const codes = await page.evaluate(async () => {
    const codeOf = (sending) => sending.then(() => "sent", ({ code }) => code);
    return [await codeOf(room.send("ack", {})), await codeOf(room.send("text", { long: "x".repeat(70_000) }))];
  });
  deepEqual(codes, ["unknown_type", "too_large"]);
  await forgotten(page);
  await reload(page, all);
  await page.evaluate(() => room.send("text", { n: 1 }));
  deepEqual(await page.evaluate(() => again), []);
});
