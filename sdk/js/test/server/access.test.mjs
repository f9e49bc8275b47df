// Tokens, against the real server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import WebSocket from "ws";

import { connect, events, poll, websocket } from "roomcast";

import { Server, mint, newRoom, reaches, until } from "./server.mjs";

const { deepEqual, equal, rejects } = assert;

const TRANSPORTS = { WebSocket: websocket, "Server-Sent Events": events, "long polling": poll };

for (const [over, transport] of Object.entries(TRANSPORTS)) describe(`over ${over}`, () => {
  let server;
  const clients = [];
  before(async () => (server = await Server.serve()));
  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
  });

  function person(token, options = {}) {
    const client = connect(server.url, { transports: [transport], websocket: WebSocket, token, backoff: { base: 10 }, ...options });
    clients.push(client);
    return client;
  }

  test("a token says who it is", async () => {
    const client = person(mint("ada"));
    await client.room(newRoom()).send("text", {});
    equal(client.user, "ada");
  });

  test("without a token, or with a bad one, the client stops", async () => {
    for (const token of [undefined, "no.token.this"]) {
      const client = person(token);
      const room = client.room(newRoom());
      await rejects(room.send("text", {}), { code: "unauthorized" });
      deepEqual([client.state, room.state], ["closed", "left"]);
    }
  });

  test("a bad token is followed by a good one", async () => {
    const why = [];
    const client = person((reason) => (why.push(reason), why.length === 1 ? "no.token.this" : mint("ada")));
    await client.room(newRoom()).send("text", {});
    deepEqual(why, ["connect", "expired"]);
  });

  test("a token that ends soon is replaced in place", async () => {
    const why = [];
    const [client, stuck] = [
      person((reason) => (why.push(reason), mint("ada", { seconds: reason === "connect" ? 1 : 600 }))),
      person((reason) => (reason === "connect" ? mint("bob", { seconds: 2 }) : new Promise(() => {}))),
    ];
    const states = [];
    client.on("state", (state) => states.push(state));
    const room = client.room(newRoom());
    await reaches(stuck.room(newRoom()), "live");
    await reaches(stuck, "waiting");
    await room.send("text", {});
    const inPlace = [["connect", "expiring"], ["connecting", "online"]];
    // A poll has no time to be told beforehand: it ends, and the next one goes on.
    const anew = [["connect", "expired"], ["connecting", "online", "waiting", "connecting", "online"]];
    deepEqual([why, states], transport === poll ? anew : inPlace);
  });

  test("an expired token is followed by a fresh one, without a gap", async () => {
    const client = person(mint("ada"));
    // The token for `expiring` never comes, as on a page that sleeps.
    const stuck = person((why) => (why === "expiring" ? new Promise(() => {}) : mint("bob", { seconds: why === "connect" ? 1 : 600 })));
    const name = newRoom();
    const seen = [];
    const room = stuck.room(name);
    room.on("gap", () => seen.push("gap"));
    room.on("text", ({ data }) => seen.push(data.n));
    await reaches(room, "live");
    const writer = client.room(name);
    await writer.send("text", { n: 1 });
    await reaches(stuck, "waiting");
    await writer.send("text", { n: 2 });
    await reaches(stuck, "online");
    await writer.send("text", { n: 3 });
    await until(room, ["text"], () => seen.length === 3);
    deepEqual(seen, [1, 2, 3]);
  });

  test("a room that the token doesn't name is denied, and the others go on", async () => {
    const [allowed, other] = [newRoom(), newRoom()];
    const client = person(mint("ada", { rooms: { [allowed]: ["*"] } }));
    const denied = client.room(other);
    const refused = rejects(denied.send("text", {}), { code: "forbidden", retryable: false });
    equal((await client.room(allowed).send("text", {})).seq, 1);
    await refused;
    equal(denied.state, "denied");
  });

  test("fewer rights put the user out of a room", async () => {
    const [kept, lost] = [newRoom(), newRoom()];
    const rooms = (why) => (why === "connect" ? { [kept]: ["*"], [lost]: ["*"] } : { [kept]: ["*"] });
    const client = person((why) => mint("ada", { seconds: 1, rooms: rooms(why) }));
    const room = client.room(lost);
    await reaches(client.room(kept), "live");
    await reaches(room, "denied");
    await reaches(client.room(kept), "live");
  });
});
