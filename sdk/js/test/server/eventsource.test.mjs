// `roomcast/eventsource` in Chromium, against the real server. The life of a tab over it is in `browser.test.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { browser, openPage, pages, stage } from "./browser.mjs";
import { Server, mint, newRoom } from "./server.mjs";

const { deepEqual } = assert;

stage();

/** A tab with a client over `eventsource`, whose rooms tell `seen` what they hear. */
async function openTab(t, url, token) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await openPage(t, context, pages.url);
  await page.evaluate(([url, token]) => {
    const rt = roomcast.connect(url, { transports: [roomcast.eventsource], backoff: { base: 20, max: 200 }, token });
    const seen = [];
    const enter = (name) => {
      const room = rt.room(name);
      room.on("*", ({ type, data }) => seen.push(`${type} ${data.n}`));
      room.on("gap", ({ reason }) => seen.push(`gap ${reason}`));
      return new Promise((then) => room.on("state", (state) => state !== "joining" && then(state)));
    };
    Object.assign(window, { rt, seen, enter });
  }, [url, token]);
  const enters = (name) => page.evaluate((name) => enter(name), name);
  const seen = async (count) => {
    await page.waitForFunction((count) => window.seen.length >= count, count);
    return page.evaluate(() => window.seen);
  };
  return { page, enters, seen };
}

test("types that were named are heard, and one that was not is a gap", async (t) => {
  const server = await Server.dev();
  t.after(() => server.stop());
  const name = newRoom();
  const { enters, seen } = await openTab(t, server.url);
  deepEqual(await enters(name), "live");
  const say = (type, n) => server.post(`/rooms/${name}/messages`, { type, data: { n } });
  await say("text", 1);
  await say("vote", 2);
  deepEqual(await seen(2), ["text 1", "vote 2"]);
  await say("other", 3);
  await say("vote", 4);
  deepEqual((await seen(4)).slice(2), ["gap hole", "vote 4"]);
});

test("a room that may not be read is denied, and the next one is read with the token", async (t) => {
  const server = await Server.serve();
  t.after(() => server.stop());
  const [mine, other] = [newRoom(), newRoom()];
  const { page, enters } = await openTab(t, server.url, mint("ada", { rooms: { [mine]: ["*"] } }));
  deepEqual(await enters(other), "denied");
  deepEqual(await enters(mine), "live");
  deepEqual(await page.evaluate(() => [rt.state, rt.user]), ["online", "ada"]);
});
