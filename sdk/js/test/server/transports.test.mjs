// What is the business of the transports: many rooms on one stream, and going from one transport to another.
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { connect as connectTcp } from "node:net";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { connect, events, poll, websocket } from "roomcast";

import { Server, mint, newRoom, reaches, until } from "./server.mjs";

const { deepEqual, equal, ok } = assert;

let server;
const ends = [];
before(async () => (server = await Server.serve()));
after(async () => {
  for (const end of ends) await end();
  await server.stop();
});

function person(user, { url = server.url, ...options } = {}) {
  const client = connect(url, { websocket: WebSocket, token: mint(user), ...options });
  ends.push(() => client.close());
  return client;
}

/** The texts of a room, as they come. */
function texts(room) {
  const got = [];
  room.on("text", ({ data }) => got.push(data.n));
  room.on("gap", () => got.push("gap"));
  return got;
}

for (const [name, transport] of Object.entries({ events, poll })) {
  test(`${name}: rooms come and go on one stream, and no other loses a message`, async () => {
    const reader = person("ada", { transports: [transport] });
    const writer = person("bob");
    const names = Array.from({ length: 5 }, newRoom);
    const kept = reader.room(names[0]);
    const got = texts(kept);
    await reaches(kept, "live");
    let n = 0;
    const say = () => writer.room(names[0]).send("text", { n: n++ });
    for (const name of names.slice(1)) {
      const sent = [say(), say()];
      const room = reader.room(name);
      const other = texts(room);
      await Promise.all([...sent, reaches(room, "live")]);
      await writer.room(name).send("text", { n: 0 });
      await until(room, ["text"], () => other.length);
      room.leave();
      await say();
    }
    await until(kept, ["text"], () => got.length === n);
    deepEqual(got, Array.from({ length: n }, (_, n) => n));
    equal(reader.state, "online");
  });

  test(`${name}: each room begins where it was told to`, async () => {
    const names = Array.from({ length: 3 }, newRoom);
    const writer = person("bob");
    for (const name of names) for (let n = 0; n < 4; n++) await writer.room(name).send("text", { n });
    const reader = person("ada", { transports: [transport] });
    const rooms = [reader.room(names[0]), reader.room(names[1], { last: 2 }), reader.room(names[2], { last: 1 })];
    const got = rooms.map(texts);
    for (const room of rooms) await reaches(room, "live");
    for (const name of names) await writer.room(name).send("text", { n: 4 });
    for (const [n, room] of rooms.entries()) await until(room, ["text"], () => got[n].includes(4));
    deepEqual(got, [[4], [2, 3, 4], [3, 4]]);
  });

  test(`${name}: a room too many is denied, the others go on`, async () => {
    const reader = person("ada", { transports: [transport] });
    const rooms = Array.from({ length: 33 }, () => reader.room(newRoom(), { presence: false }));
    for (const room of rooms.slice(0, 32)) await reaches(room, "live");
    equal(rooms[32].state, "denied");
  });

  test(`${name}: without a room it stays online, and reads the next one`, async () => {
    const reader = person("ada", { transports: [transport] });
    const room = reader.room(newRoom());
    await reaches(room, "live");
    room.leave();
    await reaches(reader.room(newRoom()), "live");
    const forbidden = person("eve", { transports: [transport], token: mint("eve", { rooms: {} }) });
    await reaches(forbidden.room(newRoom()), "denied");
    await reaches(forbidden, "online");
  });

  test(`${name}: closed while a room is being joined it rests`, async () => {
    const reader = person("ada", { transports: [transport] });
    await reaches(reader.room(newRoom()), "live");
    reader.room(newRoom());
    reader.close();
    await new Promise((then) => setImmediate(then));
  });

  test(`${name}: one who leaves is gone at once`, async () => {
    const name = newRoom();
    const watcher = person("bob").room(name);
    const reader = person("ada", { transports: [transport] });
    await reaches(watcher, "live");
    reader.room(name);
    await until(watcher.presence, ["change"], () => watcher.presence.count === 2);
    reader.close();
    await until(watcher.presence, ["change"], () => watcher.presence.count === 1);
  });
}

test("poll: a room that was left is not asked for again, while the next one is still waited for", async (t) => {
  const { fetch } = globalThis;
  t.after(() => (globalThis.fetch = fetch));
  const [old, next] = [newRoom(), newRoom()];
  const asked = [];
  let parked, taken;
  const isParked = new Promise((then) => (parked = then));
  const isTaken = new Promise((then) => (taken = then));
  /** Tells when the parked poll was sent and its answer read; holds back the first poll of the next room until then. */
  globalThis.fetch = async (url, init) => {
    const { pathname, searchParams } = new URL(url);
    if (pathname !== "/poll") return fetch(url, init);
    const rooms = searchParams.getAll("room");
    asked.push(rooms);
    if (rooms.includes(next)) await isTaken;
    if (searchParams.get("timeout") === "0") return fetch(url, init);
    const answered = fetch(url, init);
    parked();
    const answer = await answered;
    const json = async () => answer.json().finally(() => setImmediate(taken));
    return { ok: answer.ok, status: answer.status, json };
  };
  const reader = person("ada", { transports: [poll] });
  const room = reader.room(old);
  await isParked;
  room.leave();
  await reaches(reader.room(next), "live");
  deepEqual(asked.slice(0, 3), [[old], [old], [next]]);
  ok(!asked.slice(3).flat().includes(old), "the old room is left");
  equal(reader.state, "online");
});

test("a position moves from one transport to the next", async () => {
  const name = newRoom();
  const writer = person("bob").room(name);
  let since;
  let n = 0;
  const seen = [];
  for (const transport of [websocket, events, poll, websocket]) {
    const reader = person("ada", { transports: [transport] });
    const room = reader.room(name, { since });
    const got = texts(room);
    await reaches(room, "live");
    await writer.send("text", { n: n++ });
    await until(room, ["text"], () => got.at(-1) === n - 1);
    seen.push(...got);
    since = room.position;
    reader.close();
    await writer.send("text", { n: n++ });
  }
  deepEqual(seen, [0, 1, 2, 3, 4, 5, 6]);
});

/** A proxy that passes on some requests and refuses others, as some networks do. */
async function proxy({ sockets, streams }) {
  const asked = [];
  const front = createServer((incoming, outgoing) => {
    asked.push(incoming.url.split("?")[0]);
    if (!streams && incoming.url.startsWith("/events")) return outgoing.writeHead(502).end("<html>no</html>");
    const { method, url, headers } = incoming;
    const passed = request({ port: server.port, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(passed);
    passed.on("error", () => outgoing.destroy());
    outgoing.on("close", () => passed.destroy());
  });
  front.on("upgrade", (incoming, socket) => {
    asked.push("/ws");
    if (!sockets) return socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    connectTcp(server.port).on("error", () => socket.destroy());
  });
  await new Promise((then) => front.listen(0, "127.0.0.1", then));
  ends.push(() => (front.closeAllConnections(), front.close()));
  return { url: `http://127.0.0.1:${front.address().port}`, asked };
}

test("where no socket gets through a stream does, and where none does, polls do", async () => {
  for (const [streams, paths] of [[true, ["/ws", "/events"]], [false, ["/ws", "/events", "/poll"]]]) {
    const { url, asked } = await proxy({ sockets: false, streams });
    const client = person("ada", { url });
    const states = [];
    client.on("state", (state) => states.push(state));
    const room = client.room(newRoom());
    const got = texts(room);
    equal((await room.send("text", { n: 1 })).seq, 1);
    await until(room, ["text"], () => got.length);
    deepEqual(asked.slice(0, paths.length), paths);
    ok(!states.includes("waiting"), "at once");
  }
});

test("the server has the client itself, for pages of any origin", async () => {
  const load = async (path) => {
    const answer = await fetch(server.url + path);
    deepEqual([answer.status, answer.headers.get("access-control-allow-origin")], [200, "*"]);
    return import(`data:text/javascript,${encodeURIComponent(await answer.text())}`);
  };
  const { connect, websocket } = await load("/sdk.js");
  const { webtransport } = await load("/sdk/webtransport.js");
  equal(connect(server.url, { transports: [webtransport, websocket] }).state, "idle");
});
