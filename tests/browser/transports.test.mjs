/** The playground over every transport: the same talk, and the same healing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS, bothLive, browser, five, frames, log, newRoom, openPair, openPlayground, server, side, stage } from "./support.mjs";

stage();

/** Types on and on: a sign of it passes by whoever is between two polls, or is lost with its datagram. */
async function typesUntil(typist, seen) {
  let over = false;
  const watch = seen.finally(() => (over = true));
  while (!over) await typist.composer.press("h", { delay: 20 });
  await watch;
}

for (const [index, transport] of TRANSPORTS.entries()) {
  const other = TRANSPORTS[(index + 1) % TRANSPORTS.length];

  test(`${transport} and ${other}: talk, typing and who is here`, async (t) => {
    const { page, room, ada, grace } = await openPair(t, { over: [transport, other] });
    await log(ada, "Hello, Grace");
    await grace.message("Hello, Grace").getByText("Number 1").waitFor();
    await log(grace, "Hello, Ada");
    await ada.message("Hello, Ada").waitFor();
    for (const one of [ada, grace]) assert.deepEqual(await one.texts(), ["Hello, Grace", "Hello, Ada"]);

    for (const [typist, reader, name] of [[ada, grace, "Ada"], [grace, ada, "Grace"]]) {
      await typesUntil(typist, reader.panel.getByText(`${name} is typing`).waitFor());
      assert.equal(await typist.panel.getByText("is typing").count(), 0);
      await typist.composer.clear();
      await reader.panel.getByText(`${name} is typing`).waitFor({ state: "detached" });
    }

    const visitor = side(await openPlayground(t, browser, `${server.url}/?user=Lin&room=${room}`), "Lin");
    for (const one of [ada, grace]) {
      await one.members.filter({ hasText: "Lin" }).waitFor();
      await one.note("Lin joined").waitFor();
    }
    await visitor.name.fill("Barbara"); // which is a good-bye from Lin
    await visitor.name.press("Enter");
    for (const one of [ada, grace]) await one.note("Lin left").waitFor();
    assert.equal(await frames(page).filter({ hasText: "error" }).count(), 0);
  });

  test(`${transport}: unplugged, it heals, and says what it recovered`, async (t) => {
    const { ada, grace } = await openPair(t, { over: [other, transport] });
    await log(ada, "before");
    await grace.message("before").waitFor();
    await grace.press("Cut the cable");
    await grace.note("cable cut").waitFor();
    await log(ada, ...five);
    await grace.says("written offline");
    await grace.message("written offline").getByText("waiting").waitFor();
    assert.equal(await grace.message("one").count(), 0);

    await grace.press("Plug it back in");
    await grace.note("5 recovered, seq 2-6").waitFor();
    await grace.message("written offline").getByText("Delivered, number 7").waitFor();
    await ada.message("written offline").waitFor();
    for (const one of [ada, grace]) assert.deepEqual(await one.texts(), ["before", ...five, "written offline"]);
    assert.equal(await ada.panel.getByText("Grace left").count(), 0);
  });

}

for (const transport of ["SSE", "Long poll", "WebTransport"]) {
  test(`${transport}: another name and another room are taken`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: [transport, transport] });
    await ada.name.fill("Barbara");
    await ada.name.press("Enter");
    const barbara = side(page, "Barbara");
    await barbara.live();
    await grace.members.filter({ hasText: "Barbara" }).waitFor();
    await grace.members.filter({ hasText: "Ada" }).waitFor({ state: "detached" });
    await log(barbara, "in the old room");
    await page.getByRole("textbox", { name: "Room" }).fill(newRoom());
    await page.getByRole("textbox", { name: "Room" }).press("Enter");
    for (const one of [barbara, grace]) {
      await one.message("in the old room").waitFor({ state: "detached" });
      await one.members.nth(1).waitFor();
    }
    await log(grace, "in the new room");
    await barbara.message("in the new room").getByText("Number 1").waitFor();
  });
}

test("a talk goes on from one transport to the next, and nobody is seen to leave", async (t) => {
  const { page, ada, grace } = await openPair(t);
  const said = [];
  for (const transport of ["Long poll", "SSE", "WebTransport", "WebSocket", "SSE", "Long poll", "WebTransport", "Long poll", "WebSocket"]) {
    await grace.transport.selectOption(transport);
    await grace.note(`${transport} from here on, nothing was missed`).last().waitFor();
    said.push(`${said.length + 1}: ${transport}`);
    await log(grace, said.at(-1));
    // The ack of a request may come before the copy, which would then be recovered by the next transport.
    await frames(page).filter({ hasText: new RegExp(`Grace received text.*${said.at(-1)}`) }).waitFor();
  }
  await ada.message(said.at(-1)).waitFor();
  for (const one of [ada, grace]) assert.deepEqual(await one.texts(), said);
  assert.equal(await ada.panel.getByText("Grace left").count(), 0);
});

test("the transport is remembered over a reload", async (t) => {
  const { page } = await openPair(t, { over: ["Long poll", "SSE"] });
  await page.reload();
  const [ada, grace] = await bothLive(page);
  assert.equal(await ada.transport.inputValue(), "poll");
  assert.equal(await grace.transport.inputValue(), "events");
});
