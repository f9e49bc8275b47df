// npm's `ws` and undici's WebSocket against the server: the core of PROTOCOL sections 1 to 6, with either.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { CLIENTS, Client, Server, newRoom, newSession } from "./support.mjs";

for (const library of Object.keys(CLIENTS)) {
  describe(library, () => {
    let server;
    const open = (options) => Client.open(library, server, options);

    before(async () => (server = await Server.dev()));
    after(() => server.stop());

    test("two people chat", async () => {
      const room = newRoom();
      const [ada, bob] = [await open({ user: "ada" }), await open({ user: "bob" })];
      assert.equal(ada.welcome.event, "welcome");
      assert.equal(ada.welcome.user, "ada");
      const joined = await ada.request("join", room);
      assert.deepEqual([joined.data.status, joined.data.seq, joined.data.count], ["joined", 0, 1]);
      await bob.request("join", room);
      const ack = await ada.request("text", room, { content: "Hello 👋" }, { id: "msg_1" });
      assert.deepEqual([ack.data.status, ack.data.seq, ack.data.epoch], ["delivered", 1, joined.data.epoch]);
      for (const reader of [ada, bob]) {
        const message = await reader.take({ type: "text" });
        assert.deepEqual(message.data, { content: "Hello 👋", author: "ada" });
        assert.deepEqual([message.id, message.seq, typeof message.timestamp], ["msg_1", 1, "number"]);
      }
      await ada.close();
      const left = await bob.take({ type: "presence", data: { event: "leave", user: "ada" } });
      assert.equal(left.data.count, 1);
    });

    test("concurrent senders make one order", async () => {
      const room = newRoom();
      const clients = await Promise.all([1, 2, 3, 4].map(() => open()));
      for (const client of clients) await client.request("join", room);
      const sends = clients.flatMap((client) =>
        Array.from({ length: 25 }, (_, n) => client.request("text", room, { n })),
      );
      await Promise.all(sends);
      const expected = Array.from({ length: 100 }, (_, n) => n + 1);
      for (const client of clients) {
        await client.take({ type: "text", seq: 100 });
        assert.deepEqual(
          client.logged(room).map((message) => message.seq),
          expected,
        );
        assert.deepEqual(client.logged(room), clients[0].logged(room));
      }
    });

    test("a cut reader resumes", async () => {
      const room = newRoom();
      const session = newSession();
      const [ada, bob] = [await open(), await open({ session })];
      const { epoch } = (await ada.request("join", room)).data;
      await bob.request("join", room);
      await ada.request("text", room, { n: 1 });
      const { seq } = await bob.take({ type: "text" });
      await bob.close();
      for (const n of [2, 3]) await ada.request("text", room, { n });
      const again = await open({ session });
      const ack = await again.request("join", room, { since: { epoch, seq } });
      assert.deepEqual([ack.data.recovered, ack.data.from], [true, 1]);
      for (const expected of [2, 3]) assert.equal((await again.take({ type: "text" })).seq, expected);
    });

    test("a repeated send is one message", async () => {
      const room = newRoom();
      const ada = await open();
      await ada.request("join", room);
      await ada.request("text", room, { a: 1 }, { id: "same" });
      const again = await ada.request("text", room, { a: 1 }, { id: "same" });
      assert.deepEqual([again.data.duplicate, again.data.seq], [true, 1]);
      const other = await ada.request("text", room, { a: 2 }, { id: "same" });
      assert.deepEqual([other.type, other.data.code], ["error", "conflict"]);
    });

    test("the sub-protocol and compression are agreed on", async () => {
      const ada = await open({ protocols: ["roomcast.v1"] });
      assert.equal(ada.socket.protocol, "roomcast.v1");
      assert.match(ada.socket.extensions, /permessage-deflate/);
    });

    test("large messages travel compressed both ways", async () => {
      const room = newRoom();
      const [ada, bob] = [await open(), await open()];
      await ada.request("join", room);
      await bob.request("join", room);
      const content = "the same words again and again ".repeat(1000);
      await ada.request("text", room, { content });
      assert.equal((await bob.take({ type: "text" })).data.content, content);
    });

    test("closes say why", async () => {
      const taken = newSession();
      const old = await open({ session: taken });
      await open({ session: taken });
      assert.equal((await old.closed).code, 4009);

      const binary = await open();
      binary.socket.send(new Uint8Array([1, 2, 3]));
      assert.equal((await binary.closed).code, 1003);

      const large = await open();
      large.send("text", newRoom(), { content: "x".repeat(70_000) });
      assert.equal((await large.closed).code, 1009);

      const nowhere = await open({ path: "/ws/no%20room" });
      const { code, reason } = await nowhere.closed;
      assert.equal(code, 1008);
      assert.match(reason, /^invalid_room: /);
    });

    test("a connection bound to one room needs to name none", async () => {
      const room = newRoom();
      const ada = await open({ path: `/ws/${room}`, user: "ada" });
      const joined = await ada.take({ type: "ack" });
      assert.deepEqual([joined.id, joined.data.status, joined.data.room], [undefined, "joined", room]);
      assert.equal((await ada.request("text", undefined, { a: 1 })).data.room, room);
    });

    test("a stop is told, then closed 1012", async () => {
      const stopping = await Server.dev();
      const ada = await Client.open(library, stopping);
      stopping.process.kill("SIGTERM");
      const draining = await ada.take({ type: "system", data: { event: "draining" } });
      assert.equal(typeof draining.data.reconnect_in, "number");
      assert.equal((await ada.closed).code, 1012);
      assert.equal(await stopping.ended, 0);
    });
  });
}

describe("compression on the wire", () => {
  let server;
  before(async () => (server = await Server.dev()));
  after(() => server.stop());

  test("shrinks what is received", async () => {
    const room = newRoom();
    const [ada, bob] = [await Client.open("ws", server), await Client.open("ws", server)];
    assert.match(ada.socket.extensions, /permessage-deflate/);
    await ada.request("join", room);
    await bob.request("join", room);
    await bob.request("ping");
    const wire = bob.socket._socket.bytesRead;
    await ada.request("text", room, { content: "x".repeat(20_000) });
    await bob.take({ type: "text" });
    const received = bob.socket._socket.bytesRead - wire;
    assert.ok(received < 2_000, `20,000 bytes of text took ${received} bytes on the wire`);
  });

  test("is left out when the client offers none", async () => {
    const room = newRoom();
    const plain = new Client(new CLIENTS.ws(`${server.ws}/ws`, { perMessageDeflate: false }));
    await plain.take({ type: "system" });
    assert.equal(plain.socket.extensions, "");
    await plain.request("join", room);
    await plain.request("text", room, { content: "x".repeat(20_000) });
    assert.equal((await plain.take({ type: "text" })).data.content.length, 20_000);
  });
});
