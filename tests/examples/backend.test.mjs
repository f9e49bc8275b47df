// examples/backend: each back end mints tokens, publishes for the office, and reads the room: its bot answers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { look, stage, start } from "./support.mjs";

const open = stage();

async function signIn(page, name) {
  await page.getByRole("textbox", { name: "Your name" }).fill(name);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText(`you are ${name}`).waitFor();
}

const says = async (page, text, button) => {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.getByRole("button", { name: button }).click();
};
const shows = (page, author, text) => page.locator(`.message[data-author="${author}"]`, { hasText: text }).waitFor();

for (const name of ["node", "fastapi"]) {
  test(`the back end in ${name} mints, publishes and reads`, async (t) => {
    const url = await start("backend/README.md", `backend/${name}`);
    const pages = [await open(t, url), await open(t, url, { colorScheme: "dark" })];
    const [ada, grace] = pages;
    await signIn(ada, "Ada");
    await signIn(grace, "Grace");
    await shows(ada, "bot", "Ask me a question.");

    await says(ada, "Does the bot read this?", "Send");
    await Promise.all(pages.map((page) => shows(page, "bot", "Good question, Ada.")));
    await says(grace, "Lunch is ready", "Announce");
    await Promise.all(pages.map((page) => shows(page, "office", "Lunch is ready")));
    assert.equal(await grace.locator('[data-author="Ada"]').count(), 1);
    await look(ada, `backend-${name}`);
    await look(grace, `backend-${name}-dark`);

    assert.equal((await fetch(`${url}/rooms/chat:lobby/messages`)).status, 401, "a guest reads nothing");
  });
}
