// examples/presence: avatars come, change and go, and a reload is nothing that others see.
import assert from "node:assert/strict";
import { test } from "node:test";

import { look, stage, start } from "./support.mjs";

const open = stage();
/** By a name that no page begins with, as each begins with one of some at random. */
const member = (page, name) => page.getByRole("listitem").filter({ hasText: name });

test("avatars come, change and go", async (t) => {
  const url = await start("presence/README.md", "run.mjs presence");
  const [ada, grace] = [await open(t, url), await open(t, url, { colorScheme: "dark" })];
  await ada.getByLabel("Your name").fill("Hedy");
  await grace.getByLabel("Your name").fill("Mary");
  await grace.getByLabel("Your color").fill("#aa3377");
  await Promise.all([member(ada, "Mary").waitFor(), member(grace, "Hedy").waitFor()]);
  await member(ada, "Hedy").getByText("you").waitFor();
  await ada.waitForFunction(() => document.querySelector(".member:last-child").style.getPropertyValue("--tone") === "#aa3377");

  await ada.getByLabel("Your name").fill("Countess");
  await member(grace, "Countess").waitFor();
  assert.equal(await grace.getByRole("listitem").count(), 2);

  const tab = await ada.context().newPage();
  await tab.goto(url);
  await tab.getByLabel("Your name").fill("Sofia");
  await member(grace, "Sofia").waitFor();
  await look(ada, "presence");
  await look(grace, "presence-dark");
  await tab.close();
  await member(grace, "Sofia").waitFor({ state: "detached" });
});

test("others see nothing of a reload", async (t) => {
  const url = await start("presence/README.md", "run.mjs presence");
  const [ada, grace] = [await open(t, url), await open(t, url)];
  await ada.getByLabel("Your name").fill("Hedy");
  await grace.getByLabel("Your name").fill("Mary");
  await member(grace, "Hedy").waitFor();
  await grace.evaluate(() => {
    const avatars = document.getElementById("members");
    window.seen = [];
    new MutationObserver(() => seen.push(avatars.children.length)).observe(avatars, { childList: true });
  });
  await ada.reload();
  await member(ada, "Mary").waitFor();
  await ada.getByLabel("Your name").fill("Hedy again");
  await member(grace, "Hedy again").waitFor();
  assert.deepEqual(await grace.evaluate(() => seen), []);
});
