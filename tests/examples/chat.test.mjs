// examples/chat: two people talk, see each other type, and lose nothing over a reload.
import assert from "node:assert/strict";
import { test } from "node:test";

import { post } from "../browser/support.mjs";
import { look, stage, start } from "./support.mjs";

const open = stage();

async function enter(page, name) {
  await page.getByRole("textbox", { name: "Your name" }).fill(name);
  await page.getByRole("button", { name: "Come in" }).click();
  await page.getByRole("status").getByText("online").waitFor();
}

const texts = (page) => page.locator(".message").evaluateAll((all) => all.map((line) => line.lastChild.textContent));
const say = async (page, text) => {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
};
const shows = (page, text) => page.locator(".message:not(.waiting)", { hasText: text }).waitFor();

test("two people chat", async (t) => {
  const url = await start("chat/README.md", "run.mjs chat");
  const [ada, grace] = [await open(t, url, { colorScheme: "dark" }), await open(t, url)];
  await enter(ada, "Ada");
  await enter(grace, "Grace");
  await ada.getByText("2 here").waitFor();

  await say(ada, "Hello, is somebody here?");
  await shows(grace, "Hello, is somebody here?");
  await say(grace, "I am. <b>Hi!</b>");
  await Promise.all([ada, grace].map((page) => shows(page, "<b>Hi!</b>")));

  await grace.getByRole("textbox", { name: "Message" }).pressSequentially("Do you");
  await ada.getByText("Grace …").waitFor();
  await look(ada, "chat-dark");
  await look(grace, "chat");

  // A back end's messages need no id.
  for (const content of ["one", "two"]) await post(url, "general", { type: "text", data: { content } });
  await shows(ada, "two");
  await ada.reload();
  await shows(ada, "two");
  const all = ["Hello, is somebody here?", "I am. <b>Hi!</b>", "one", "two"];
  for (const page of [ada, grace]) assert.deepEqual(await texts(page), all);
});

test("what is written offline arrives once", async (t) => {
  const url = await start("chat/README.md", "run.mjs chat");
  const [ada, grace] = [await open(t, url, { excused: /ERR_INTERNET_DISCONNECTED/ }), await open(t, url)];
  await enter(ada, "Ada");
  await enter(grace, "Grace");
  await ada.context().setOffline(true);
  await ada.getByRole("status").getByText("waiting").waitFor();
  await say(ada, "written in a tunnel");
  await ada.locator(".message.waiting").waitFor();
  await say(grace, "meanwhile");
  await shows(grace, "meanwhile");
  await ada.context().setOffline(false);
  await Promise.all([ada, grace].map((page) => shows(page, "written in a tunnel")));
  await shows(ada, "meanwhile");
  assert.equal(await grace.locator(".message", { hasText: "written in a tunnel" }).count(), 1);
});
