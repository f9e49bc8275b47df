/** The playground over every transport: the same talk, the same healing, and what a killed server has kept. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bothLive, frames, newRoom, openPlayground, side, startBrowser, startServer } from "./support.mjs";

const TRANSPORTS = ["WebSocket", "Server-Sent Events", "Long polling"];
/** What a browser says of a server that isn't there, and of a socket to it. */
const GONE = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED/;

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Ada and Grace in a fresh room, each over a transport of her own. */
async function openPair(t, { url = server.url, over = [], ...options } = {}) {
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
async function log(person, ...texts) {
  for (const text of texts) {
    await person.says(text);
    await person.message(text).getByText("Delivered, number").waitFor();
  }
}

const five = ["one", "two", "three", "four", "five"];

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
      await typist.composer.pressSequentially("He");
      await reader.panel.getByText(`${name} is typing`).waitFor();
      assert.equal(await typist.panel.getByText("is typing").count(), 0);
      await typist.composer.clear();
    }

    const visitor = await openPlayground(t, browser, `${server.url}/?user=Lin&room=${room}`);
    for (const one of [ada, grace]) {
      await one.members.filter({ hasText: "Lin" }).waitFor();
      await one.note("Lin joined").waitFor();
    }
    await visitor.close();
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

  test(`${transport}: a server that is killed and comes back has kept the room, and that is said`, async (t) => {
    const data = await mkdtemp(join(tmpdir(), "roomcast-"));
    t.after(() => rm(data, { recursive: true }));
    const { first, again } = await restartable(t, { data });
    const { ada, grace } = await openPair(t, { url: first.url, over: [transport, transport], excused: GONE });
    await log(ada, ...five);
    await grace.message("five").waitFor();
    await first.kill();
    await grace.says("while it was down");
    await grace.message("while it was down").getByText("waiting").waitFor();

    await again();
    await grace.note("nothing lost: the room was kept up to seq 5").waitFor();
    for (const one of [ada, grace]) {
      await one.panel.getByText(/^nothing lost: the room was kept/).waitFor();
      await one.message("while it was down").getByText("umber 6").waitFor();
      assert.deepEqual(await one.texts(), [...five, "while it was down"]);
    }
  });

  test(`${transport}: a server that keeps nothing is told from one that does`, async (t) => {
    const { first, again } = await restartable(t);
    const { grace } = await openPair(t, { url: first.url, over: [transport, transport], excused: GONE });
    await log(grace, ...five);
    await first.kill();
    await again();
    await grace.note("reset: epoch, the room's log has begun anew; nothing up to seq 5 was kept").waitFor();
    await log(grace, "anew");
    await grace.message("anew").getByText("Delivered, number 1").waitFor();
    assert.deepEqual(await grace.texts(), ["anew"]);
  });
}

/** A server that can be killed, and started `again` at the same address. */
async function restartable(t, options = {}) {
  const first = await startServer(options);
  let running = first;
  t.after(() => running.kill());
  const again = async () => {
    running = await startServer({ ...options, listen: new URL(first.url).host });
  };
  return { first, again };
}

test("a talk goes on from one transport to the next, and nobody is seen to leave", async (t) => {
  const { ada, grace } = await openPair(t);
  const said = [];
  for (const transport of ["Long polling", "Server-Sent Events", "WebSocket", "Server-Sent Events", "Long polling", "WebSocket"]) {
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
  const { page } = await openPair(t, { over: ["Long polling", "Server-Sent Events"] });
  await page.reload();
  const [ada, grace] = await bothLive(page);
  assert.equal(await ada.transport.inputValue(), "poll");
  assert.equal(await grace.transport.inputValue(), "events");
});
