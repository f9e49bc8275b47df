// Half a minute without the server, as it is: in Chromium, in real time, on every transport side by side.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import WebSocket from "ws";

import { connect, websocket } from "roomcast";

import { browser, openPage, pages, stage } from "./browser.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, newRoom, range, reaches, until } from "./server.mjs";

const { deepEqual, equal } = assert;

stage();

describe("30 s offline with 50 sends queued", { concurrency: true }, () => {
  for (const transport of ["websocket", "events", "poll"]) {
    test(`over ${transport}: each comes once and in order`, async (t) => {
      const server = await Server.dev();
      const proxy = await Proxy.before(server);
      const context = await browser.newContext();
      const other = connect(`${server.url}/?user=bob`, { transports: [websocket], websocket: WebSocket });
      t.after(async () => {
        other.close();
        await context.close();
        await proxy.stop();
        await server.stop();
      });
      const name = newRoom();
      const room = other.room(name);
      const [heard, told] = [[], []];
      room.on("text", ({ data }) => heard.push(data.n));
      room.presence.on("change", (members) => told.push(members.some(({ user }) => user === "ada")));
      await reaches(room, "live");

      const page = await openPage(t, context, pages.url);
      await page.evaluate(
        async ([url, transport, name]) => {
          // Tries often enough to be seen to try; the browser knows nothing of what is wrong.
          const rt = roomcast.connect(url, { transports: [roomcast[transport]], backoff: { max: 1000 } });
          const room = rt.room(name);
          const got = [];
          room.on("text", ({ data }) => got.push(data.n));
          room.on("gap", ({ reason }) => got.push(`gap: ${reason}`));
          // By events: a page that isn't shown is not asked at every frame.
          const reaches = (source, wanted) => new Promise((then) => source.on("state", (now) => now === wanted && then()));
          Object.assign(window, { room, got, lost: reaches(rt, "waiting") });
          await reaches(room, "live");
        },
        [`${proxy.url}/?user=ada`, transport, name],
      );
      await until(room.presence, ["change"], () => told.at(-1) === true);
      proxy.down();
      await page.evaluate(() => lost);
      await page.evaluate(() => (window.sent = Array.from({ length: 50 }, (_, n) => room.send("text", { n }))));
      await proxy.refusesFor(30_000);
      equal(told.at(-1), false, "who is away for longer than the grace has left");
      deepEqual(heard, []);
      proxy.up();
      const acks = await page.evaluate(() => Promise.all(sent));
      deepEqual(acks.map(({ seq, duplicate }) => [seq, !!duplicate]), range(50).map((n) => [n + 1, false]));
      const got = await page.evaluate(async () => {
        while (got.length < 50) await new Promise((then) => room.on("text", then));
        return got;
      });
      deepEqual(got, range(50));
      await until(room, ["text"], () => heard.length >= 50);
      deepEqual(heard, range(50));
      await until(room.presence, ["change"], () => told.at(-1) === true);
    });
  }
});
