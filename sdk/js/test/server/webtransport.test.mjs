// `roomcast/webtransport` in Chromium, against the real server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { acks, browser, got, openPage, pages, send, stage } from "./browser.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, newRoom, range } from "./server.mjs";

const { deepEqual, equal, match } = assert;

stage();

/** A tab that is in a room; `window.mute` and `window.deaf` stop what goes over its stream, either way. */
async function openTab(t, url, name, transports = ["webtransport"]) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await openPage(t, context, pages.url);
  await page.evaluate(
    async ([url, name, transports]) => {
      const passing = (stops) => new TransformStream({ transform: (chunk, to) => stops() || to.enqueue(chunk) });
      window.WebTransport = class extends WebTransport {
        async createBidirectionalStream() {
          const { readable, writable } = await super.createBidirectionalStream();
          const out = passing(() => window.mute);
          out.readable.pipeTo(writable).catch(() => {});
          return { readable: readable.pipeThrough(passing(() => window.deaf)), writable: out.writable };
        }
      };
      const all = { ...roomcast, ...(await import("/webtransport.js")) };
      const rt = roomcast.connect(url, { transports: transports.map((name) => all[name]), backoff: { base: 20, max: 200 } });
      const states = [];
      rt.on("state", (state, { error }) => states.push([state, error?.message]));
      const room = rt.room(name);
      const got = [];
      room.on("*", ({ data }) => got.push(data.n));
      room.on("gap", ({ reason }) => got.push(`gap: ${reason}`));
      Object.assign(window, { rt, room, got, states, sent: [] });
      await new Promise((then) => room.on("state", (state) => state === "live" && then()));
    },
    [url, name, transports],
  );
  return page;
}

async function start(t, options) {
  const server = await Server.dev(options);
  t.after(() => server.stop());
  return server;
}

test("messages of any length come in order", async (t) => {
  const server = await start(t);
  const page = await openTab(t, server.url, newRoom());
  await page.evaluate(async () => {
    const lengths = [0, 10, 100, 5000, 17_000, 60_000, 1];
    const all = await Promise.all(lengths.map((length, n) => room.send("text", { n, text: "é".repeat(length / 2) })));
    if (all.some(({ seq }, n) => seq !== n + 1)) throw new Error(JSON.stringify(all));
  });
  deepEqual(await got(page, 7), range(7));
});

test("what is said at most once goes beside the stream, both ways", async (t) => {
  const server = await start(t);
  const name = newRoom();
  const [writer, reader] = [await openTab(t, server.url, name), await openTab(t, server.url, name)];
  await reader.evaluate(() => (window.deaf = true));
  await writer.evaluate(async () => {
    window.mute = true;
    await room.send("cursor", { n: 7 }, { volatile: true });
  });
  deepEqual(await got(reader, 1), [7]);
});

test("what is too long for a datagram goes by the stream", async (t) => {
  const server = await start(t);
  const page = await openTab(t, server.url, newRoom());
  await page.evaluate(() => room.send("cursor", { n: 7, text: "x".repeat(5000) }, { volatile: true }));
  deepEqual(await got(page, 1), [7]);
});

test("a server that stands still is missed, long before QUIC gives it up", async (t) => {
  const server = await start(t);
  const page = await openTab(t, server.url, newRoom());
  server.process.kill("SIGSTOP");
  await page.waitForFunction(() => states.some(([state]) => state === "waiting"));
  const why = await page.evaluate(() => states.find(([state]) => state === "waiting")[1]);
  match(why, /answered no ping/);
  server.process.kill("SIGCONT");
  await send(page, 0, 3);
  await acks(page);
  deepEqual(await got(page, 3), range(3));
});

test("after a server was killed it reads on where it was", async (t) => {
  const server = await start(t, { disk: true });
  const page = await openTab(t, server.url, newRoom());
  await send(page, 0, 10);
  await acks(page);
  await server.kill();
  await server.start();
  await send(page, 10, 20);
  await acks(page);
  deepEqual(await got(page, 20), range(20));
});

test("a server that goes says why", async (t) => {
  const server = await start(t);
  const page = await openTab(t, server.url, newRoom());
  server.process.kill("SIGTERM");
  await once(server.process, "exit");
  await page.waitForFunction(() => states.some(([state]) => state === "waiting"));
  const [, why] = await page.evaluate(() => states.find(([state]) => state === "waiting"));
  match(why, /1012|restart|shut|drain/i);
});

test("a client that is closed while it connects leaves nothing behind", async (t) => {
  const server = await start(t);
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await openPage(t, context, pages.url);
  const ends = await page.evaluate(async (url) => {
    const { webtransport } = await import("/webtransport.js");
    const Plain = WebTransport;
    const ends = [];
    for (const at of ["made", "ready", "stream"]) {
      await new Promise((over) => {
        const rt = roomcast.connect(url, { transports: [webtransport] });
        window.WebTransport = class extends Plain {
          constructor(...all) {
            super(...all);
            if (at === "made") queueMicrotask(rt.close);
            if (at === "ready") this.ready.then(rt.close);
            this.closed.then(over, over);
          }
          createBidirectionalStream() {
            if (at === "stream") queueMicrotask(rt.close);
            return super.createBidirectionalStream();
          }
        };
        rt.room("r");
        rt.on("state", (state) => ends.push(state));
      });
    }
    return ends;
  }, server.url);
  deepEqual(ends.filter((state) => state !== "connecting"), Array(3).fill("closed"));
});

test("where nothing but TCP gets through a WebSocket does, at once", async (t) => {
  const server = await start(t);
  const proxy = await Proxy.before(server);
  t.after(() => proxy.stop());
  const page = await openTab(t, proxy.url, newRoom(), ["webtransport", "websocket", "events", "poll"]);
  await send(page, 0, 3);
  await acks(page);
  deepEqual(await got(page, 3), range(3));
  equal(await page.evaluate(() => states.some(([state]) => state === "waiting")), false);
});
