// examples/llm: an answer that is reloaded while it is written is whole, and the same for everybody.
import assert from "node:assert/strict";
import { test } from "node:test";

import { look, stage, start } from "./support.mjs";

const open = stage();
const answerOf = (page) => page.locator("#answer").textContent();
const reaches = (page, length) => page.waitForFunction((length) => document.querySelector("#answer").textContent.length > length, length);
const ended = (page) => page.locator('[aria-busy="false"]').waitFor();

test("an answer survives reloads while it is written", async (t) => {
  const url = await start("llm/README.md", "run.mjs llm");
  const page = await open(t, url);
  await page.getByLabel("Your question").fill("Does it hold?");
  await page.getByRole("button", { name: "Ask" }).click();

  let known = "";
  for (const length of [20, 120, 240]) {
    await reaches(page, length);
    const shown = await answerOf(page);
    assert.ok(shown.startsWith(known), `"${shown}" doesn't go on from "${known}"`);
    known = shown;
    if (length === 120) await look(page, "llm");
    assert.equal(await page.locator('[aria-busy="true"]').count(), 1, "it must not have ended before the reload");
    await page.reload();
  }
  await reaches(page, 240);
  const reader = await open(t, page.url(), { colorScheme: "dark" });
  await Promise.all([ended(page), ended(reader)]);

  const room = new URL(page.url()).hash.slice(1);
  const { messages } = await (await fetch(`${url}/rooms/${room}/messages?limit=1000`)).json();
  const written = messages.filter(({ type }) => type === "token").map(({ data }) => data.text).join("");
  assert.match(written, /Does it hold\?[^]*finish my sentence\.$/);
  assert.equal(await answerOf(page), written);
  assert.equal(await answerOf(reader), written);
  assert.equal(await reader.locator("#question").textContent(), "Does it hold?");
  await look(reader, "llm-dark");
});
