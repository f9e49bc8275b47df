/** Chromium's own EventSource and fetch, on a page that the server itself serves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, newRoom, post, server, stage } from "./support.mjs";

stage();

/** A page of the playground's origin, whose policy holds for what is evaluated in it; or of a path without one. */
async function openPage(t, url = `${server.url}/?room=${newRoom()}`) {
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(url);
  return page;
}

/** Opens a stream in the page; what it tells is in `seen` there. */
async function listen(page, path) {
  await page.evaluate((path) => {
    const source = new EventSource(path);
    window.seen = [];
    for (const name of ["message", "presence", "system", "typing"]) {
      source.addEventListener(name, (event) => seen.push({ name, id: event.lastEventId, ...JSON.parse(event.data) }));
    }
  }, path);
  await page.waitForFunction(() => seen.some(({ data }) => data.event === "welcome"));
}

test("a plain EventSource on a page gets messages and who is here", async (t) => {
  const page = await openPage(t);
  const room = newRoom();
  await listen(page, `/events/${room}?presence=1&user=ada`);
  await post(server.url, room, { type: "text", data: { content: "hello" } });
  await page.waitForFunction(() => seen.some(({ name }) => name === "message"));
  const seen = await page.evaluate(() => window.seen);
  assert.deepEqual(seen.map(({ name }) => name), ["system", "presence", "message"]);
  assert.deepEqual(seen[1].data.members.map(({ user }) => user), ["ada"]);
  assert.equal(seen[2].data.content, "hello");
  assert.equal(seen[2].id, seen[0].id.replace(/0$/, "1"));
});

test("a page of another origin on this machine may read a stream", async (t) => {
  const page = await openPage(t, `${server.url.replace("127.0.0.1", "localhost")}/healthz`);
  const room = newRoom();
  await listen(page, `${server.url}/events/${room}`);
  await post(server.url, room, { type: "text", data: {} });
  await page.waitForFunction(() => seen.some(({ seq }) => seq === 1));
});

test("a page polls with fetch, from one position to the next", async (t) => {
  const page = await openPage(t);
  const room = newRoom();
  const poll = (since) => page.evaluate(async (path) => (await fetch(path)).json(), `/poll/${room}${since}`);
  const { position } = await poll("");
  await post(server.url, room, { type: "text", data: { content: "polled" } });
  const { messages } = await poll(`?since=${encodeURIComponent(position)}`);
  assert.deepEqual(messages.map(({ data }) => data.content), ["polled"]);
});
