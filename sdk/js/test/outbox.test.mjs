// The outbox where nothing can be kept: what is kept is seen in Chromium, test/server/outbox.test.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";

import { outbox } from "roomcast/outbox";

import { bench, settled } from "./bench.mjs";

const { deepEqual } = assert;

/** A client in the room `r`, with this for IndexedDB. */
async function joined(t, indexedDB) {
  if (indexedDB) globalThis.indexedDB = indexedDB;
  t.after(() => delete globalThis.indexedDB);
  const it = bench();
  const room = outbox(it.client, "ada").room("r");
  await settled();
  await it.link().welcome();
  it.link().joined("r");
  await settled();
  return { ...it, room };
}

async function sends({ room, link }, data) {
  const sent = room.send("text", data);
  await settled();
  link().ack(link().last("text"), { status: "delivered", seq: 6, epoch: "e", timestamp: 1 });
  return (await sent).seq;
}

test("a program without IndexedDB, such as a server that renders, may make one", async () => {
  outbox(bench().client, "ada");
  await settled();
  await settled();
});

test("where there is none, messages are sent all the same", async (t) => {
  deepEqual(await sends(await joined(t), { n: 1 }), 6);
});

test("so they are where IndexedDB may not be used", async (t) => {
  const refused = () => {
    throw new DOMException("not here", "SecurityError");
  };
  deepEqual(await sends(await joined(t, { open: refused }), { n: 1 }), 6);
});

test("so they are where IndexedDB never answers", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const it = await joined(t, { open: () => ({}) });
  const first = it.room.send("text", { n: 1 });
  await settled();
  deepEqual(it.link().ids("text"), []);
  t.mock.timers.tick(3000);
  await settled();
  it.link().ack(it.link().last("text"), { status: "delivered", seq: 6, epoch: "e", timestamp: 1 });
  deepEqual((await first).seq, 6);
  deepEqual(await sends(it, { n: 2 }), 6);
});
