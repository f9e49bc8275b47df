// What goes wrong between a client and its server, on every transport: nothing is lost, and nothing comes twice.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import WebSocket from "ws";

import { RoomcastError, events, poll, websocket } from "roomcast";

import { createClient } from "../../dist/client.js";
import { io } from "../../dist/io.js";
import { History } from "./history.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, mint, newRoom, range, reaches, until } from "./server.mjs";

const { deepEqual, equal, ok } = assert;

const TRANSPORTS = { WebSocket: websocket, "Server-Sent Events": events, "long polling": poll };

/** Numbers that are the same in every run. */
function seeded(seed) {
  return () => {
    seed = (seed * 1664525 + 1013904223) % 2 ** 32;
    return seed / 2 ** 32;
  };
}

for (const [over, transport] of Object.entries(TRANSPORTS)) {
  describe(`over ${over}`, { concurrency: true }, () => {

    /** A server, a proxy before it and a way to make clients; ends with the test. */
    async function scene(t, starting) {
      const server = await starting;
      const proxy = await Proxy.before(server);
      const clients = [];
      t.after(async () => {
        for (const client of clients) client.close();
        await proxy.stop();
        await server.stop();
      });
      const pages = [];
      const person = (options = {}) => {
        const watched = { ...io, watch: (seen) => (pages.push(seen), () => {}) };
        const all = { transports: [transport], websocket: WebSocket, backoff: { base: 20, max: 200 }, ...options };
        const client = createClient(watched, proxy.url, all);
        clients.push(client);
        return client;
      };
      return { server, proxy, person, page: (event) => pages.forEach((seen) => seen(event)) };
    }

    /** The numbers of a room's messages, as they come. */
    function numbers(room) {
      const got = [];
      room.on("text", ({ data }) => got.push(data.n));
      room.on("gap", ({ reason }) => got.push(`gap: ${reason}`));
      return got;
    }

    test("a cut between store and ack: sent again, recognised, heard once", async (t) => {
      const { proxy, person } = await scene(t, Server.dev());
      const room = person().room(newRoom());
      const got = numbers(room);
      await reaches(room, "live");
      proxy.swallowAck();
      const acks = await Promise.all(range(5).map((n) => room.send("text", { n })));
      ok(acks.some(({ duplicate }) => duplicate), "some were stored before");
      await until(room, ["text"], () => got.length === 5);
      deepEqual(got, range(5));
    });

    test("a half-open peer: the page is shown again, and the connection is made anew", async (t) => {
      const { proxy, person, page } = await scene(t, Server.dev());
      const [client, writer] = [person(), person()];
      const name = newRoom();
      const room = client.room(name);
      const got = numbers(room);
      await reaches(room, "live");
      await reaches(writer.room(name), "live");
      proxy.freeze();
      const sent = [writer.room(name).send("text", { n: 0 }), room.send("text", { n: 1 })];
      page("visible");
      await Promise.all(sent);
      await until(room, ["text"], () => got.length === 2);
      deepEqual(got.sort(), [0, 1]);
      equal(client.state, "online");
    });

    test("50 sends queued offline arrive in order and once", async (t) => {
      const { proxy, person } = await scene(t, Server.dev());
      const [room, other] = [person(), person()].map((client) => client.room("r"));
      const got = numbers(other);
      await Promise.all([reaches(room, "live"), reaches(other, "live")]);
      proxy.down();
      await reaches(room, "joining");
      const sent = range(50).map((n) => room.send("text", { n }));
      await proxy.refuses(6);
      proxy.up();
      const acks = await Promise.all(sent);
      deepEqual(acks.map(({ seq }) => seq), range(50).map((n) => n + 1));
      await until(other, ["text"], () => got.length === 50);
      deepEqual(got, range(50));
    });

    test("bits that turn on the way: a client comes back or says why not, and its sends are answered", async (t) => {
      const { server, proxy, person } = await scene(t, Server.dev());
      const people = range(4).map(() => {
        const [client, name] = [person(), newRoom()];
        return { client, name, room: client.room(name) };
      });
      await Promise.all(people.map(({ room }) => reaches(room, "live")));
      proxy.spoil(300, seeded(3));
      const sent = people.flatMap(({ room }) => range(20).map((n) => room.send("text", { n })));
      const settled = Promise.allSettled(sent);
      for (const n of range(20)) {
        for (const { name } of people) await server.post(`/rooms/${name}/messages`, { type: "text", data: { n } });
      }
      ok(proxy.turned > 0);
      proxy.clear();
      proxy.cut();
      // A room or a session whose name arrived spoilt is none: that ends a client. Nothing else does.
      for (const { client } of people) await until(client, ["state"], () => /online|closed/.test(client.state));
      // What was spoilt may have been the id of an ack: whoever sends is told at the latest now that nobody knows.
      for (const { client } of people) client.close();
      for (const { status, reason } of await settled) {
        ok(status === "fulfilled" || reason instanceof RoomcastError, String(reason));
      }
      for (const { name } of people) {
        const room = person().room(name);
        const { seq } = await room.send("text", { n: "last" });
        const { messages } = await room.history({ limit: 100 });
        deepEqual(messages.map(({ seq }) => seq), range(seq).map((n) => n + 1));
      }
    });

    test("a server that is killed and started again with its data goes on where it was", async (t) => {
      const { server, person } = await scene(t, Server.dev({ disk: true }));
      const room = person().room(newRoom());
      const got = numbers(room);
      await Promise.all(range(10).map((n) => room.send("text", { n })));
      const sent = range(10).map((n) => room.send("text", { n: n + 10 }));
      await server.kill();
      sent.push(room.send("text", { n: 20 }));
      await server.start();
      await Promise.all(sent);
      await until(room, ["text"], () => got.length === 21);
      deepEqual(got, range(21));
    });

    test("a server that has forgotten says so", async (t) => {
      const { server, person } = await scene(t, Server.dev());
      const room = person().room(newRoom());
      const got = numbers(room);
      await room.send("text", { n: 0 });
      await until(room, ["text"], () => got.length === 1);
      await server.kill();
      await reaches(room, "joining");
      await server.start();
      await room.send("text", { n: 1 });
      await until(room, ["text"], () => got.length === 3);
      deepEqual(got, [0, "gap: epoch", 1]);
    });

    test("a token that ended offline is followed by a fresh one", async (t) => {
      const { proxy, person } = await scene(t, Server.serve());
      const why = [];
      const client = person({ token: (reason) => (why.push(reason), mint("ada", { seconds: why.length < 3 ? 0.3 : 600 })) });
      const room = client.room(newRoom());
      const got = numbers(room);
      await reaches(room, "live");
      proxy.down();
      const sent = room.send("text", { n: 0 });
      await proxy.refuses(6);
      proxy.up();
      await sent;
      await until(room, ["text"], () => got.length === 1);
      deepEqual(got, [0]);
    });

    test("1,000 messages with 50 random cuts: every history is as promised", async (t) => {
      const { proxy, person } = await scene(t, Server.dev());
      const name = newRoom();
      const history = new History();
      const random = seeded(7);
      const writers = range(4).map((n) => [`writer${n}`, person().room(name, { presence: false })]);
      const readers = range(3).map((n) => {
        const room = person().room(name, { presence: false });
        return { client: `reader${n}`, room, ...{ seen: history.follow(`reader${n}`, room) } };
      });
      await Promise.all(readers.map(({ room }) => reaches(room, "live")));
      let acked = 0;
      let cutAt = 0;
      const write = async ([client, room], ids) => {
        for (let at = 0; at < ids.length; at += 5) {
          await Promise.all(
            ids.slice(at, at + 5).map(async (id) => {
              await history.send(client, room, id, `${id} says so`);
              if (++acked < cutAt) return;
              cutAt = acked + 5 + Math.floor(random() * 30);
              proxy.cut();
            }),
          );
        }
      };
      await Promise.all(writers.map((writer) => write(writer, range(250).map((n) => `${writer[0]}-${n}`))));
      const { messages } = await writers[0][1].history({ limit: 1 });
      const head = { epoch: messages[0].epoch, seq: messages[0].seq };
      for (const { client, room } of readers) {
        await until(room, ["*"], () => room.position.seq >= head.seq);
        history.note("end", client, room, head);
      }
      history.judge();
      deepEqual([head.seq, ...readers.map(({ seen }) => seen.count)], [1000, 1000, 1000, 1000]);
      ok(history.events.filter(({ ev, recovered }) => ev === "join" && recovered).length > 50);
    });
  });
}
