// Chromium, and a page that has the SDK as a plain module. Holds no assertion.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before } from "node:test";

import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PAGE = `<!doctype html><title>page</title><script type="module">
  import * as roomcast from "/sdk.js";
  import { eventsource } from "/eventsource.js";
  import { History } from "/history.js";
  Object.assign(window, { roomcast: { ...roomcast, eventsource: eventsource("vote") }, history_: new History() });
</script>`;

export function startBrowser() {
  // Playwright turns the back/forward cache off.
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS, ignoreDefaultArgs: ["--disable-back-forward-cache"] });
}

/** The pages, and what they load. */
async function startPages() {
  const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
  // What only Node has is not called on a page.
  const history = read("history.mjs").replace(/^import .*$/gm, "");
  const files = { "/sdk.js": read("../../dist/sdk.js"), "/history.js": history };
  const entries = ["/webtransport.js", "/eventsource.js", "/links/http.js", "/outbox.js", "/error.js", "/random.js", "/link.js", "/share.js", "/share/hub.js", "/share/reader.js"];
  for (const entry of entries) files[entry] = read(`../../dist${entry}`);
  const front = createServer(({ url }, answer) => {
    const script = files[url];
    answer.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" }).end(script ?? PAGE);
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  return { url: `http://127.0.0.1:${front.address().port}`, stop: () => (front.closeAllConnections(), front.close()) };
}

/** What the tests of one file share, from `stage()` on. */
export let browser, pages;

/** Starts a browser and its pages before the first test of a file, and ends them after the last. */
export function stage() {
  before(async () => {
    browser = await startBrowser();
    pages = await startPages();
  });
  after(async () => {
    await browser.close();
    pages.stop();
  });
}

/** A page that fails the test over any exception; `console.error` is only what the network says of faults. */
export async function openPage(t, context, url) {
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  t.after(() => {
    if (errors.length) throw errors[0];
  });
  page.setDefaultTimeout(60_000);
  await page.goto(url);
  await page.waitForFunction(() => window.roomcast);
  return page;
}

// What is done with a page that has a client `rt`, a `room`, what was `got` of it, and what was `sent`.

/** Sends numbers, and waits for nothing. */
export const send = (page, from, to) =>
  page.evaluate(([from, to]) => {
    for (let n = from; n < to; n++) sent.push(room.send("text", { n }));
  }, [from, to]);
export const acks = (page) => page.evaluate(() => Promise.all(sent));
/** The numbers that came, once there are so many. */
export const got = async (page, count) => {
  await page.waitForFunction((count) => window.got.length >= count, count);
  return page.evaluate(() => window.got);
};
export const reaches = (page, state) => page.waitForFunction((state) => rt.state === state, state);
