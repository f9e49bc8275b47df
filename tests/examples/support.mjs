/**
 * What the tests of the examples stand on: an example, started by the very command that its README names. Holds no
 * assertion about a single one of them. Chromium and pages that report every complaint are the browser tests' own.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

import { addressIn, openPlayground, startBrowser } from "../browser/support.mjs";

assert.ok(process.env.ROOMCAST_BIN, "set ROOMCAST_BIN to the roomcast binary (cargo xtask test does)");
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let browser;
const running = [];

/** Has a browser for the tests of a file, and ends the examples after them. Answers how to open a page in a profile of its own. */
export function stage() {
  before(async () => (browser = await startBrowser()));
  after(async () => {
    await browser?.close();
    await Promise.all(running.map((stop) => stop()));
  });
  return (t, url, options) => openPlayground(t, browser, url, { viewport: { width: 900, height: 680 }, ...options });
}

/** Runs the command of a README that has these words, on any free port, until the file's tests are over. Answers its address. */
export async function start(readme, words) {
  const text = readFileSync(`${ROOT}/examples/${readme}`, "utf8");
  const command = text.match(/^```sh\n([^]*?)^```$/gm)?.join("\n").split("\n").find((line) => line.includes(words));
  assert.ok(command, `examples/${readme} has no command with "${words}"`);
  return run(...command.split(" "));
}

/** Runs a program until the file's tests are over. Answers the address that it says. */
export async function run(program, ...words) {
  const child = spawn(program, words, { cwd: ROOT, env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  running.push(async () => {
    child.kill();
    await exited;
  });
  return Promise.race([addressIn(child.stdout), exited.then(([code]) => assert.fail(`${program} ended with ${code}`))]);
}

/** A page must fit a phone. With EXAMPLES_SHOTS=DIR it is kept as a picture, for people to look at. */
export async function look(page, name) {
  const size = page.viewportSize();
  await page.setViewportSize({ width: 360, height: 640 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${name} is ${wide} pixels wide on a screen of 360`);
  await page.setViewportSize(size);
  const folder = process.env.EXAMPLES_SHOTS;
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
}
