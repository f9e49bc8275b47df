// What two people do in a room, against the real server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import WebSocket from "ws";

import { connect, events, poll, websocket } from "roomcast";

import { Server, newRoom, reaches, until } from "./server.mjs";

const { deepEqual, equal, ok, rejects } = assert;

const TRANSPORTS = { WebSocket: websocket, "Server-Sent Events": events, "long polling": poll };

for (const [over, transport] of Object.entries(TRANSPORTS)) describe(`over ${over}`, () => {
  let server;
  const clients = [];
  before(async () => (server = await Server.dev()));
  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
  });

  function person(user, options = {}) {
    const client = connect(`${server.url}/?user=${user}`, { transports: [transport], websocket: WebSocket, ...options });
    clients.push(client);
    return client;
  }

  test("what one says, both hear", async () => {
    const name = newRoom();
    const [ada, bob] = [person("ada").room(name), person("bob").room(name)];
    const heard = [ada, bob].map((room) => new Promise((then) => room.on("text", then)));
    await reaches(bob, "live");
    const ack = await ada.send("text", { content: "Hello" });
    equal(ack.seq, 1);
    for (const { id, seq, data, epoch } of await Promise.all(heard)) {
      deepEqual({ id, seq, epoch, data }, { id: ack.id, seq: 1, epoch: ack.epoch, data: { content: "Hello", author: "ada" } });
    }
    deepEqual(bob.position, { epoch: ack.epoch, seq: 1 });
  });

  test("a repeat is recognised, and another message under the id refused", async () => {
    const room = person("ada").room(newRoom());
    const first = await room.send("text", { n: 1 }, { id: "one" });
    const second = await room.send("text", { n: 1 }, { id: "one" });
    deepEqual([first.duplicate, second.duplicate, second.seq], [false, true, first.seq]);
    await rejects(room.send("text", { n: 2 }, { id: "one" }), { code: "conflict" });
  });

  test("many at once keep their order", async () => {
    const room = person("ada").room(newRoom());
    const got = [];
    room.on("text", ({ data }) => got.push(data.n));
    const acks = await Promise.all(Array.from({ length: 300 }, (_, n) => room.send("text", { n })));
    deepEqual(acks.map(({ seq }) => seq), acks.map((_, n) => n + 1));
    await until(room, ["text"], () => got.length === 300);
    deepEqual(got, acks.map((_, n) => n));
  });

  test("who is here, and with what", async () => {
    const name = newRoom();
    const ada = person("ada").room(name, { state: { mood: "fine" } });
    await until(ada.presence, ["change"], () => ada.presence.count === 1);
    const bob = person("bob").room(name);
    const members = await until(ada.presence, ["change"], () => ada.presence.members.length === 2 && ada.presence.members);
    deepEqual(members.map(({ user }) => user), ["ada", "bob"]);
    bob.presence.set({ mood: "new" });
    await until(ada.presence, ["change"], () => ada.presence.members[1]?.state.mood === "new");
    equal(bob.presence.members[0].state.mood, "fine");
    bob.leave();
    await until(ada.presence, ["change"], () => ada.presence.count === 1);
  });

  test("who reads without being a member is not seen", async () => {
    const name = newRoom();
    const ada = person("ada").room(name);
    const reader = person("eve").room(name, { presence: false });
    await reaches(reader, "live");
    await until(ada.presence, ["change"], () => ada.presence.count === 1);
    deepEqual(ada.presence.members.map(({ user }) => user), ["ada"]);
  });

  test("typing and volatile messages reach who is there", async () => {
    const name = newRoom();
    const [ada, bob] = [person("ada").room(name), person("bob").room(name)];
    await Promise.all([reaches(ada, "live"), reaches(bob, "live")]);
    const cursor = new Promise((then) => bob.on("cursor", then));
    const typing = new Promise((then) => bob.on("typing", then));
    // Between two polls nobody is there: the sign that gets through is one of many.
    const again = setInterval(() => ada.send("cursor", { x: 1 }, { volatile: true }), transport === poll ? 20 : 2 ** 30);
    await ada.send("cursor", { x: 1 }, { volatile: true });
    ada.typing();
    const { seq, data } = await cursor;
    clearInterval(again);
    deepEqual([seq, data], [undefined, { x: 1, author: "ada" }]);
    if (transport !== poll) deepEqual((await typing).data, { author: "ada", typing: true });
  });

  test("a state too large is told", async () => {
    const client = person("ada");
    const room = client.room(newRoom());
    await reaches(room, "live");
    const error = new Promise((then) => client.on("error", then));
    room.presence.set({ large: "x".repeat(2000) });
    equal((await error).code, "too_large");
  });

  test("history goes back page by page", async () => {
    const room = person("ada").room(newRoom());
    for (let n = 1; n <= 5; n++) await room.send("text", { n });
    const newest = await room.history({ limit: 2 });
    deepEqual([newest.messages.map(({ seq }) => seq), newest.complete], [[4, 5], false]);
    const older = await room.history({ before: newest.messages[0], limit: 10 });
    deepEqual([older.messages.map(({ seq }) => seq), older.complete], [[1, 2, 3], true]);
    const younger = await room.history({ since: older.messages[1] });
    deepEqual(younger.messages.map(({ data }) => data.n), [3, 4, 5]);
  });

  test("a reader that comes later begins where it likes", async () => {
    const name = newRoom();
    const ada = person("ada").room(name);
    const acks = [];
    for (let n = 1; n <= 5; n++) acks.push(await ada.send("text", { n }));
    const read = async (options) => {
      const room = person("bob").room(name, options);
      const got = [];
      room.on("text", ({ seq }) => got.push(seq));
      await until(room, ["text"], () => room.position?.seq === 5);
      return got;
    };
    deepEqual(await read({ last: 2 }), [4, 5]);
    const { epoch } = acks[0];
    deepEqual(await read({ since: { epoch, seq: 3 } }), [4, 5]);
    deepEqual(await read({ since: `${epoch}.1` }), [2, 3, 4, 5]);
  });

  test("a position of another log is a gap", async () => {
    const room = person("ada").room(newRoom(), { since: "elsewhere.7" });
    const gap = await new Promise((then) => room.on("gap", then));
    deepEqual([gap.reason, gap.seq], ["epoch", 0]);
    await reaches(room, "live");
  });

  test("a room read as a loop", async () => {
    const name = newRoom();
    const room = person("ada").room(name);
    const reading = (async () => {
      for await (const { data } of room) if (data.n === 3) return data.author;
    })();
    await reaches(room, "live");
    for (let n = 1; n <= 3; n++) await room.send("text", { n });
    equal(await reading, "ada");
  });

  test("a server that is told to stop says when to come back", async () => {
    const own = await Server.dev({ disk: true });
    const client = connect(own.url, { transports: [transport], websocket: WebSocket });
    clients.push(client);
    const room = client.room(newRoom());
    await room.send("text", {});
    const waiting = new Promise((then) => client.on("state", (state, { retryIn }) => state === "waiting" && then(retryIn)));
    own.process.kill("SIGTERM");
    ok((await waiting) <= 10_000);
    await own.stop();
  });
});
