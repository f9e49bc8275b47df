/** The playground over every transport: the same talk, and the same healing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS, bothLive, browser, five, frames, log, newRoom, openPair, openPlayground, ride, server, side, stage } from "./support.mjs";

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

for (const transport of ["SSE", "Long poll"]) {
  test(`${transport}: a refusal that passes, and an answer that is lost, send a message once and in order`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: ["WebSocket", transport], excused: /429|ERR_FAILED/ });
    const troubles = [refuse, loseAnswer];
    await page.route(/\/rooms\/.*\/messages\?/, (route) => (troubles.shift() ?? pass)(route));
    for (const text of five) await grace.says(text);
    await grace.message("five").getByText("Delivered, number 5").waitFor();
    await ada.message("five").waitFor();
    for (const one of [ada, grace]) assert.deepEqual(await one.texts(), five);
    assert.deepEqual(troubles, []);
  });

  test(`${transport}: a refusal that stays is told, and the way back is a button`, async (t) => {
    const { page, grace } = await openPair(t, { excused: /403/ });
    const body = JSON.stringify({ detail: "grace may not read this", code: "forbidden", retryable: false });
    await page.route(/\/(events|poll)\?/, (route) => route.fulfill({ status: 403, contentType: "application/problem+json", body }), { times: 1 });
    await grace.transport.selectOption(transport);
    await grace.panel.getByText("The server refused: forbidden: grace may not read this.").waitFor();
    await grace.press("Connect again");
    await grace.live();
  });

  test(`${transport}: a reset shows the room again, from where it is kept`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: ["WebSocket", transport] });
    await log(ada, "kept");
    await grace.message("kept").waitFor();
    await grace.press("Cut the cable");
    await log(ada, "missed");
    await page.route(/since=/, (route) => route.continue({ url: route.request().url().replace(/(since=[^&]*%3D)[^&]*/, "$1elsewhere.1") }), { times: 1 });
    await grace.press("Plug it back in");
    await grace.note("reset: epoch, the room's log has begun anew; shown again from seq 1 on").waitFor();
    await log(ada, "after");
    await grace.message("after").waitFor();
    assert.deepEqual(await grace.texts(), ["kept", "missed", "after"]);
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

/** Answers for the server that it is too much now. */
function refuse(route) {
  const body = JSON.stringify({ detail: "slow down", code: "rate_limited", retryable: true, retry_after: 0.2 });
  return route.fulfill({ status: 429, contentType: "application/problem+json", body });
}

/** Lets the request through, and breaks the connection before its answer. */
async function loseAnswer(route) {
  await route.fetch();
  await route.abort();
}

function pass(route) {
  return route.continue();
}

test("a talk goes on from one transport to the next, and nobody is seen to leave", async (t) => {
  const { ada, grace } = await openPair(t);
  const said = [];
  for (const transport of ["Long poll", "SSE", "WebTransport", "WebSocket", "SSE", "Long poll", "WebTransport", "Long poll", "WebSocket"]) {
    await grace.transport.selectOption(transport);
    await grace.note(`${transport} from here on, nothing was missed`).last().waitFor();
    said.push(`${said.length + 1}: ${transport}`);
    await log(grace, said.at(-1));
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
