// The life of a browser tab, in Chromium, on every transport.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { acks, browser, got, openPage, pages, reaches, send, stage } from "./browser.mjs";
import { History } from "./history.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, mint, newRoom, range } from "./server.mjs";

const { deepEqual, equal, ok } = assert;

stage();

for (const transport of ["websocket", "events", "eventsource", "poll"]) {
  describe(`a tab over ${transport}`, () => {
    /** A server, a proxy before it, and a tab with one room, whose messages are in `got`. */
    async function scene(t, starting, { tokens } = {}) {
      const server = await starting;
      const proxy = await Proxy.before(server);
      const context = await browser.newContext();
      t.after(async () => {
        await context.close();
        await proxy.stop();
        await server.stop();
      });
      const asked = [];
      if (tokens) await context.exposeFunction("token", (why) => (asked.push(why), tokens(asked.length)));
      const name = newRoom();
      const tab = async (user) => {
        const page = await openPage(t, context, pages.url);
        await page.evaluate(
          async ([url, transport, name]) => {
            const backoff = { base: 20, max: 200 };
            const { token } = window;
            const rt = roomcast.connect(url, { transports: [roomcast[transport]], backoff, token });
            const room = rt.room(name);
            const got = [];
            room.on("text", ({ data }) => got.push(data.n));
            room.on("gap", ({ reason }) => got.push(`gap: ${reason}`));
            Object.assign(window, { rt, room, got, sent: [] });
            const live = new Promise((then) => room.on("state", (state) => state === "live" && then()));
            await live;
          },
          [tokens ? proxy.url : `${proxy.url}/?user=${user}`, transport, name],
        );
        return page;
      };
      return { server, proxy, context, tab, name, asked, page: await tab("ada") };
    }

    test("a cut between store and ack", async (t) => {
      const { proxy, page } = await scene(t, Server.dev());
      proxy.swallowAck();
      await send(page, 0, 5);
      ok((await acks(page)).some(({ duplicate }) => duplicate), "some were stored before");
      deepEqual(await got(page, 5), range(5));
    });

    test("a half-open peer, noticed when the page is shown", async (t) => {
      const { proxy, page } = await scene(t, Server.dev());
      proxy.freeze();
      await send(page, 0, 3);
      await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange", { bubbles: true })));
      await acks(page);
      deepEqual(await got(page, 3), range(3));
    });

    test("50 sends queued offline, sent without a wait when the browser is online", async (t) => {
      const { proxy, page, context } = await scene(t, Server.dev());
      await context.setOffline(true);
      proxy.down();
      await reaches(page, "waiting");
      await send(page, 0, 50);
      proxy.up();
      await context.setOffline(false);
      const places = (await acks(page)).map(({ seq }) => seq);
      deepEqual(places, range(50).map((n) => n + 1));
      deepEqual(await got(page, 50), range(50));
    });

    test("a server that is killed and started again with its data", async (t) => {
      const { server, page } = await scene(t, Server.dev({ disk: true }));
      await send(page, 0, 10);
      await got(page, 3);
      await server.kill();
      await send(page, 10, 20);
      await server.start();
      await acks(page);
      deepEqual(await got(page, 20), range(20));
    });

    test("a tab that was put aside asks for a fresh token", async (t) => {
      const tokens = (count) => mint("ada", { seconds: count === 1 ? 2 : 600 });
      const { proxy, page, asked } = await scene(t, Server.serve(), { tokens });
      await page.evaluate(() => dispatchEvent(new Event("pagehide")));
      await reaches(page, "waiting");
      await send(page, 0, 3);
      proxy.cut();
      await page.evaluate(() => dispatchEvent(new Event("pageshow")));
      await acks(page);
      deepEqual(await got(page, 3), range(3));
      equal(asked.filter((why) => why === "connect").length, 2);
    });

    test("two tabs of one person are one member", async (t) => {
      const { page, tab } = await scene(t, Server.dev());
      const other = await tab("ada");
      const count = (page, connections) =>
        page.waitForFunction((connections) => {
          const [member, ...others] = room.presence.members;
          return member?.user === "ada" && others.length === 0 && member.connections === connections;
        }, connections);
      await Promise.all([count(page, 2), count(other, 2)]);
      await other.evaluate(() => rt.close());
      await count(page, 1);
    });

    test("back from the back/forward cache it reads on where it was", async (t) => {
      const { server, page, name } = await scene(t, Server.dev());
      await send(page, 0, 2);
      await acks(page);
      await got(page, 2);
      await page.evaluate(() => addEventListener("pageshow", ({ persisted }) => (window.wasKept = persisted)));
      await page.goto(`${pages.url}/elsewhere`);
      await server.post(`/rooms/${name}/messages`, { type: "text", data: { n: 2 } });
      await page.goBack({ waitUntil: "commit" }); // a page that was kept is not loaded again
      equal(await page.evaluate(() => window.wasKept), true, "the page was kept as it was");
      deepEqual(await got(page, 3), range(3));
    });

    test("1,000 messages with 50 random cuts", async (t) => {
      const { proxy, context, name } = await scene(t, Server.dev());
      const page = await openPage(t, context, pages.url);
      let acked = 0;
      let cutAt = 10;
      let cuts = 0;
      await context.exposeFunction("acked", () => {
        if (++acked < cutAt) return;
        cutAt = acked + 10 + ((acked * 7) % 19);
        cuts++;
        proxy.cut();
      });
      const events = await page.evaluate(
        async ([url, transport, name]) => {
          const open = () => {
            const backoff = { base: 20, max: 100 };
            return roomcast.connect(url, { transports: [roomcast[transport]], backoff }).room(name, { presence: false });
          };
          const [writer, reader] = [open(), open()];
          const live = new Promise((then) => reader.on("state", (state) => state === "live" && then()));
          history_.follow("reader", reader);
          await live;
          for (let at = 0; at < 1000; at += 10) {
            const some = Array.from({ length: 10 }, async (_, n) => {
              await history_.send("writer", writer, `m${at + n}`, `message ${at + n}`);
              acked();
            });
            await Promise.all(some);
          }
          const { messages } = await writer.history({ limit: 1 });
          const [{ epoch, seq }] = messages;
          while (reader.position.seq < seq) await new Promise((then) => reader.on("*", then));
          history_.note("end", "reader", reader, { epoch, seq });
          return history_.events;
        },
        [proxy.url, transport, name],
      );
      const history = new History();
      history.events = events;
      history.judge();
      equal(events.filter(({ ev }) => ev === "recv").length, 1000);
      ok(cuts >= 50, `${cuts} cuts`);
    });
  });
}
