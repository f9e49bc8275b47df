// A crowd that is dropped at once by a server that lives: it comes back spread out. How the returns of 5,000 are spread in
// time is measured by docs/bench/comeback.mjs; on a machine that does other things only the waits can be asserted.
import assert from "node:assert/strict";
import { test } from "node:test";

import WebSocket from "ws";

import { connect, websocket } from "roomcast";

import { Proxy } from "./proxy.mjs";
import { Server, range, until } from "./server.mjs";

const CLIENTS = 500;
/** The waits are uniform in 2 s, so that 25 ± 5 of them end in the same 100 ms: this is 7 standard deviations more. */
const AT_ONCE_MAX = 60;

test("500 clients that a cut drops at once all come back, never many in the same 100 ms", async (t) => {
  const server = await Server.dev();
  const proxy = await Proxy.before(server);
  const clients = range(CLIENTS).map(() => connect(proxy.url, { transports: [websocket], websocket: WebSocket }));
  t.after(async () => {
    for (const client of clients) client.close();
    await proxy.stop();
    await server.stop();
  });
  const heard = range(CLIENTS).map(() => []);
  const rooms = clients.map((client, n) => {
    const room = client.room(`comeback:${n % 50}`, { presence: false });
    room.on("text", ({ data }) => heard[n].push(data.n));
    return room;
  });
  await Promise.all(rooms.map((room) => until(room, ["state"], () => room.state === "live")));

  const waits = clients.map((client) => new Promise((then) => client.on("state", (_, { retryIn }) => retryIn && then(retryIn))));
  proxy.cut();
  const drawn = (await Promise.all(waits)).sort((a, b) => a - b);
  assert.ok(drawn.at(-1) <= 2000, `a wait of ${drawn.at(-1)} ms`);
  const most = Math.max(...drawn.map((from) => drawn.filter((ms) => from <= ms && ms < from + 100).length));
  assert.ok(most <= AT_ONCE_MAX, `${most} of ${CLIENTS} in the same 100 ms`);

  await Promise.all(clients.map((client) => until(client, ["state"], () => client.state === "online")));
  for (const n of range(50)) await server.post(`/rooms/comeback:${n}/messages`, { type: "text", data: { n } });
  await Promise.all(rooms.map((room, n) => until(room, ["text"], () => heard[n].length > 0)));
  assert.deepEqual(heard, range(CLIENTS).map((n) => [n % 50]));
});
