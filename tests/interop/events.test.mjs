// Server-Sent Events with npm's `eventsource` and undici's EventSource, as written for any other server.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { EventSource as NpmEventSource } from "eventsource";
import { EventSource as UndiciEventSource } from "undici";

import { Server, newRoom } from "./support.mjs";

const SOURCES = { eventsource: NpmEventSource, undici: UndiciEventSource };
const PATIENCE_MS = 30_000; // an upper bound for failures

/** What a source has told, and a wait for more of it. */
function listen(source, ...names) {
  const seen = [];
  let look = () => {};
  for (const name of names) {
    source.addEventListener(name, ({ data, lastEventId }) => {
      seen.push({ name, id: lastEventId, ...JSON.parse(data) });
      look();
    });
  }
  const until = (fits) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`seen: ${JSON.stringify(seen)}`)), PATIENCE_MS);
      look = () => {
        const found = seen.find(fits);
        if (!found) return;
        clearTimeout(timer);
        resolve(found);
      };
      look();
    });
  return { seen, until };
}

const say = (server, room, content) => server.post(`/rooms/${room}/messages`, { type: "text", data: { content } });
const isReset = ({ name, data }) => name === "system" && data.event === "reset";

for (const [name, EventSource] of Object.entries(SOURCES)) {
  describe(name, () => {
    const open = [];
    afterEach(async () => {
      for (const end of open.splice(0).reverse()) await end();
    });

    function read(server, path, ...names) {
      const source = new EventSource(server.http + path);
      open.push(() => source.close());
      return listen(source, ...names);
    }

    async function start(server) {
      const started = await server;
      open.push(() => started.stop());
      return started;
    }

    test("a plain EventSource gets messages and who comes", async () => {
      const server = await start(Server.dev());
      const room = newRoom();
      const { seen, until } = read(server, `/events/${room}?presence=1`, "message", "presence", "system");
      const welcome = await until(({ data }) => data.event === "welcome");
      assert.ok(welcome.id.endsWith(".0"));
      await until(({ name, data }) => name === "presence" && data.event === "sync");
      await say(server, room, "hello");
      const message = await until(({ name }) => name === "message");
      assert.equal(message.data.content, "hello");
      assert.equal(message.id, welcome.id.replace(/0$/, "1"));
      assert.equal(seen.filter(({ name }) => name === "message").length, 1);
    });

    test("it goes on through a kill of a server with a disk: no hole, nothing twice", async () => {
      const room = newRoom();
      const rules = '[[rooms]]\npattern = "*"\nanonymous = ["*"]';
      let server = await start(Server.serve(rules));
      const { seen, until } = read(server, `/events/${room}`, "message", "system");
      await until(({ data }) => data.event === "welcome");
      await say(server, room, "before");
      await until(({ seq }) => seq === 1);
      server = await server.killed();
      open.push(() => server.stop());
      await say(server, room, "after");
      await until(({ seq }) => seq === 2);
      assert.deepEqual(seen.filter(({ seq }) => seq).map(({ seq }) => seq), [1, 2]);
      assert.ok(!seen.some(isReset));
    });

    test("it goes on through a restart of a server without a disk, and is told", async () => {
      const room = newRoom();
      let server = await start(Server.dev());
      const { seen, until } = read(server, `/events/${room}`, "message", "system");
      await until(({ data }) => data.event === "welcome");
      await say(server, room, "before");
      await until(({ data }) => data.content === "before");
      server = await server.killed();
      open.push(() => server.stop());
      const reset = await until(isReset);
      assert.equal(reset.data.reason, "epoch");
      await say(server, room, "after");
      await until(({ data }) => data.content === "after");
      assert.equal(seen.filter(({ name }) => name === "message").length, 2);
    });
  });
}
