/**
 * What the browser tests stand on: the real server as a process, Chromium, pages that report every complaint, and the
 * playground's parts by the names that a screen reader says. Holds no assertion about the playground itself.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

/** An upper bound for failures; nothing is ever waited for on purpose. Longer than the 10 s grace of presence. */
const PATIENCE_MS = 20_000;

const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Starts `roomcast dev` and answers where it listens and how to stop it, or to kill it as a power cut would. */
export async function startServer({ listen = "127.0.0.1:0", data } = {}) {
  const binary = process.env.ROOMCAST_BIN;
  assert.ok(binary, "set ROOMCAST_BIN to the roomcast binary (cargo xtask test does)");
  // The server reads variables of this prefix as its configuration.
  const { ROOMCAST_BIN: _, ...env } = process.env;
  const args = ["dev", "--listen", listen, ...(data ? ["--data", data] : [])];
  const child = spawn(binary, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const url = await Promise.race([addressIn(child.stdout), exited.then(([code]) => assert.fail(`the server ended with ${code}`))]);
  const end = async (signal) => {
    child.kill(signal);
    await exited;
  };
  return { url, stop: () => end("SIGTERM"), kill: () => end("SIGKILL") };
}

/** The address that a program says it listens at. */
export async function addressIn(output) {
  for await (const line of createInterface({ input: output })) {
    const found = line.match(/http:\/\/127\.0\.0\.1:\d+/);
    if (!found) continue;
    output.resume();
    return found[0];
  }
  assert.fail("it did not say where it listens");
}

/** As the picker calls them. */
export const TRANSPORTS = ["WebSocket", "SSE", "Long poll", "WebTransport"];

/** Something to say. */
export const five = ["one", "two", "three", "four", "five"];

export function startBrowser() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** What the tests of one file share, from `stage()` on. */
export let server, browser;

/** Starts a server and a browser before the first test of a file, and ends them after the last. */
export function stage() {
  before(async () => {
    [server, browser] = await Promise.all([startServer(), startBrowser()]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
}

/** A room that no other test is in. */
export function newRoom() {
  return `test:${randomUUID()}`;
}

/**
 * Opens the playground in a profile of its own, and fails the test over any console error, exception or violation of
 * the content security policy that the page causes until the test ends. `excused` are those that the test provokes.
 */
export async function openPlayground(t, browser, url, { excused = /^$/, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const complaints = listenForComplaints(context);
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints.filter((complaint) => !excused.test(complaint)), []);
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

function listenForComplaints(context) {
  const complaints = [];
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`);
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
  // Streams and polls that the page itself gives up are no failures.
  context.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") complaints.push(`failed: ${request.url()} ${why}`);
  });
  return complaints;
}

/** Ada and Grace in a fresh room, each over a transport of her own. */
export async function openPair(t, { url = server.url, over = [], ...options } = {}) {
  const room = newRoom();
  const page = await openPlayground(t, browser, `${url}/?room=${room}`, options);
  const pair = await bothLive(page);
  for (const [index, transport] of over.entries()) await ride(pair[index], transport);
  const [ada, grace] = pair;
  return { page, room, ada, grace };
}

/** Takes a person to another transport. */
async function ride(person, transport) {
  await person.transport.selectOption(transport);
  await person.live();
}

/** Says something and waits until it is in the log. */
export async function log(person, ...texts) {
  for (const text of texts) {
    await person.says(text);
    await person.message(text).getByText("Delivered, number").waitFor();
  }
}

/** One person's panel, as a user finds it. */
export function side(page, name) {
  const panel = page.getByRole("region", { name, exact: true });
  const composer = panel.getByRole("textbox", { name: `Message as ${name}` });
  return {
    panel,
    composer,
    name: panel.getByRole("textbox", { name: "Name" }),
    log: panel.getByRole("log"),
    transport: panel.getByRole("combobox", { name: "Transport" }),
    members: panel.getByRole("list", { name: "Who is here" }).getByRole("listitem"),
    live: () => panel.getByRole("status").getByText("live", { exact: true }).waitFor(),
    press: (button) => panel.getByRole("button", { name: button }).click(),
    says: async (text) => {
      await composer.fill(text);
      await composer.press("Enter");
    },
    /** A message with this text. */
    message: (text) => panel.locator(".message").filter({ has: page.locator(".content").getByText(text, { exact: true }) }),
    /** What the log shows from top to bottom, messages only. */
    texts: () => panel.locator(".message .content").allTextContents(),
    /** A line between the messages. */
    note: (text) => panel.locator(".note").getByText(text, { exact: true }),
  };
}

/** The rows of the wire view. */
export function frames(page) {
  return page.getByRole("region", { name: "Frames" }).getByRole("listitem", { includeHidden: true });
}

/** Both sides of a page, joined. */
export async function bothLive(page, left = "Ada", right = "Grace") {
  const sides = [side(page, left), side(page, right)];
  await Promise.all(sides.map((one) => one.live()));
  await sides[0].members.nth(1).waitFor();
  return sides;
}

/** Publishes as a back end or a shell would. */
export async function post(url, room, envelope, user = "curl") {
  const answer = await fetch(`${url}/rooms/${encodeURIComponent(room)}/messages?user=${user}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(envelope),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}
