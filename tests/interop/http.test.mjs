// HTTP with fetch and curl: publish, history, presence, typing, the back end's API (PROTOCOL section 4).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";

import { API_KEY, Client, Server, mint, newRoom, newSession } from "./support.mjs";

/** RFC 9457 problem details with the protocol's code. */
function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type"), /^application\/problem\+json/);
  assert.equal(answer.json.code, code);
  assert.equal(answer.json.status, status);
  assert.ok(answer.json.title || answer.json.detail, answer.text);
}

describe("dev", () => {
  let server;
  before(async () => (server = await Server.dev()));
  after(() => server.stop());

  test("a published message reaches the sockets", async () => {
    const room = newRoom();
    const ada = await Client.open("ws", server);
    const { epoch } = (await ada.request("join", room)).data;
    const answer = await server.post(`/rooms/${room}/messages?user=bob`, {
      type: "text",
      data: { content: "hi" },
      id: "m1",
    });
    assert.equal(answer.status, 200, answer.text);
    const { timestamp, ...ack } = answer.json;
    assert.deepEqual(ack, { status: "delivered", room, seq: 1, epoch });
    assert.equal(typeof timestamp, "number");
    const message = await ada.take({ type: "text" });
    assert.deepEqual(message.data, { content: "hi", author: "bob" });
    assert.deepEqual([message.id, message.seq], ["m1", 1]);
  });

  test("curl publishes, as the playground shows", async () => {
    const room = newRoom();
    const ada = await Client.open("ws", server);
    await ada.request("join", room);
    const body = '{"type":"text","data":{"content":"from curl"}}';
    const words = ["-sS", "-f", `${server.http}/rooms/${room}/messages`, "-d", body];
    assert.equal(JSON.parse(execFileSync("curl", words, { encoding: "utf8" })).status, "delivered");
    assert.equal((await ada.take({ type: "text" })).data.content, "from curl");
  });

  test("a session minted for a request comes back in a header", async () => {
    const first = await server.post(`/rooms/${newRoom()}/messages`, { type: "text" });
    const session = first.headers.get("roomcast-session");
    assert.match(session, /^[A-Za-z0-9_-]{22}$/);
    const second = await server.post(`/rooms/${newRoom()}/messages`, { type: "text" }, { session });
    assert.equal(second.status, 200);
    assert.ok([null, session].includes(second.headers.get("roomcast-session")));
  });

  test("an array is published in order, each answered", async () => {
    const room = newRoom();
    const ada = await Client.open("ws", server);
    await ada.request("join", room);
    const envelopes = [
      { type: "text", data: { n: 1 } },
      { type: "ack" },
      { type: "move", data: { n: 2 } },
      { type: "text", data: [] },
    ];
    const answer = await server.post(`/rooms/${room}/messages`, envelopes);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(
      answer.json.map(({ status, seq, code }) => [status, seq ?? code]),
      [
        ["delivered", 1],
        ["error", "unknown_type"],
        ["delivered", 2],
        ["error", "bad_request"],
      ],
    );
    assert.equal(answer.json[1].retryable, false);
    assert.ok(answer.json[1].message);
    assert.equal((await ada.take({ type: "move" })).seq, 2);
  });

  test("an array has at most 100 elements", async () => {
    const room = newRoom();
    const many = (count) => Array.from({ length: count }, (_, n) => ({ type: "text", data: { n } }));
    const full = await server.post(`/rooms/${room}/messages`, many(100));
    assert.deepEqual(
      full.json.map(({ seq }) => seq),
      many(100).map(({ data }) => data.n + 1),
    );
    const over = await server.post(`/rooms/${room}/messages`, many(101));
    assert.ok([400, 413].includes(over.status), over.text);
    assert.ok(["bad_request", "too_large"].includes(over.json.code));
  });

  test("Idempotency-Key is the id", async () => {
    const room = newRoom();
    const options = { session: newSession(), headers: { "idempotency-key": "key-1" } };
    const post = (data) => server.post(`/rooms/${room}/messages`, { type: "text", data }, options);
    const [first, again, other] = [await post({ a: 1 }), await post({ a: 1 }), await post({ a: 2 })];
    assert.equal(first.json.seq, 1);
    assert.deepEqual([again.json.seq, again.json.duplicate], [1, true]);
    assertProblem(other, 409, "conflict");
    const history = await server.get(`/rooms/${room}/messages`);
    assert.deepEqual(
      history.json.messages.map(({ id }) => id),
      ["key-1"],
    );
  });

  test("history by pages", async () => {
    const room = newRoom();
    await server.post(
      `/rooms/${room}/messages`,
      Array.from({ length: 10 }, (_, n) => ({ type: "text", data: { n } })),
    );
    const page = async (query) => {
      const { status, json, text } = await server.get(`/rooms/${room}/messages?${query}`);
      assert.equal(status, 200, text);
      return [json.messages.map(({ seq }) => seq), json.complete];
    };
    const published = await server.post(`/rooms/${room}/messages`, { type: "text" });
    const { epoch } = published.json;
    assert.deepEqual(await page(""), [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], true]);
    assert.deepEqual(await page("limit=2"), [[10, 11], false]);
    assert.deepEqual(await page(`limit=2&before=${epoch}.10`), [[8, 9], false]);
    assert.deepEqual(await page(`limit=20&since=${epoch}.9`), [[10, 11], true]);
    const foreign = await server.get(`/rooms/${room}/messages?since=another.3`);
    assert.deepEqual(foreign.json.messages, []);
    assert.ok(foreign.json.reset, foreign.text);
  });

  test("presence of a session without a socket", async () => {
    const room = newRoom();
    const ada = await Client.open("ws", server, { user: "ada" });
    await ada.request("join", room);
    const path = `/rooms/${room}/presence?user=bob`;
    const session = newSession();
    assert.deepEqual((await server.post(path, { state: { away: true } }, { session })).json, {
      status: "ok",
    });
    const joined = await ada.take({ type: "presence", data: { event: "join", user: "bob" } });
    assert.deepEqual(joined.data.state, { away: true });
    const roster = await server.get(path, { session });
    assert.equal(roster.status, 200);
    assert.equal(roster.json.count, 2);
    assert.equal(typeof roster.json.v, "number");
    assert.deepEqual(roster.json.members.map(({ user }) => user).sort(), ["ada", "bob"]);
    assert.deepEqual((await server.call("DELETE", path, { session })).json, { status: "ok" });
    await ada.take({ type: "presence", data: { event: "leave", user: "bob" } });
  });

  test("typing without a socket", async () => {
    const room = newRoom();
    const ada = await Client.open("ws", server);
    await ada.request("join", room);
    const answer = await server.post(`/rooms/${room}/typing?user=bob`, {}, { session: newSession() });
    assert.deepEqual([answer.status, answer.json], [200, { status: "ok" }]);
    await ada.take({ type: "typing", data: { author: "bob", typing: true } });
  });

  const REFUSED = [
    ["not JSON", "room", "{", 400, "bad_request"],
    ["two values", "room", "{} {}", 400, "bad_request"],
    ["a type of the server", "room", '{"type":"system"}', 400, "unknown_type"],
    ["no object as data", "room", '{"type":"text","data":7}', 400, "bad_request"],
    ["a duplicate key", "room", '{"type":"text","data":{"a":1,"a":2}}', 400, "bad_request"],
    ["another room than the path", "room", '{"type":"text","room":"else"}', 400, "bad_request"],
    ["no room's name", "a%20b", '{"type":"text"}', 400, "invalid_room"],
    [
      "a message over 64 KiB",
      "room",
      `{"type":"text","data":{"x":"${"y".repeat(70_000)}"}}`,
      413,
      "too_large",
    ],
    ["a body over 1 MiB", "room", `[${'{"type":"text"},'.repeat(80_000)}{"type":"text"}]`, 413, "too_large"],
  ];
  for (const [what, room, body, status, code] of REFUSED) {
    test(`refused: ${what}`, async () =>
      assertProblem(await server.post(`/rooms/${room}/messages`, body), status, code));
  }

  test("unknown paths and methods are problems too", async () => {
    for (const path of ["/nowhere", "/rooms/a/b/c/d"]) {
      const answer = await server.get(path);
      assert.equal(answer.status, 404, path);
    }
    assert.equal((await server.call("PUT", "/rooms/r/messages", { body: {} })).status, 405);
  });

  test("health, readiness, metrics, OpenAPI, playground", async () => {
    assert.equal((await server.get("/healthz")).status, 200);
    assert.equal((await server.get("/readyz")).status, 200);
    const metrics = await server.get("/metrics");
    assert.match(metrics.text, /^# TYPE roomcast_\w+ (counter|gauge|histogram)$/m);
    for (const line of metrics.text.split("\n")) {
      if (line && !line.startsWith("#")) assert.match(line, /^roomcast_[a-z0-9_]+(\{.*\})? [-+0-9.eE]+( |$)/);
    }
    const { json } = await server.get("/openapi.json");
    assert.match(json.openapi, /^3\./);
    for (const path of [
      "/rooms/{room}/messages",
      "/rooms/{room}/presence",
      "/rooms/{room}/typing",
      "/rooms",
      "/publish",
    ]) {
      assert.ok(json.paths[path], `${path} is documented`);
    }
    const page = await server.get("/");
    assert.match(page.headers.get("content-type"), /^text\/html/);
    assert.match(page.text, /<title>/);
  });

  test("pages of this machine may call, others may not", async () => {
    const preflight = (origin) =>
      server.call("OPTIONS", "/rooms/r/messages", {
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "content-type,authorization,roomcast-session,idempotency-key",
        },
      });
    const fine = await preflight("http://localhost:3000");
    assert.equal(fine.headers.get("access-control-allow-origin"), "http://localhost:3000");
    for (const header of ["authorization", "content-type", "roomcast-session", "idempotency-key"]) {
      assert.match(fine.headers.get("access-control-allow-headers").toLowerCase(), new RegExp(header));
    }
    const foreign = await preflight("https://evil.example");
    assert.equal(foreign.headers.get("access-control-allow-origin"), null);
    const answer = await server.post(
      "/rooms/r/messages",
      { type: "text" },
      { headers: { origin: "http://localhost:3000" } },
    );
    assert.match(answer.headers.get("access-control-expose-headers").toLowerCase(), /roomcast-session/);
  });
});

describe("serve", () => {
  let server;
  before(async () => (server = await Server.serve()));
  after(() => server.stop());

  test("a user's token publishes with its rights", async () => {
    const room = newRoom();
    const token = mint("ada");
    const answer = await server.post(
      `/rooms/${room}/messages`,
      { type: "text", data: { author: "eve" } },
      { token },
    );
    assert.equal(answer.status, 200, answer.text);
    const { json } = await server.get(`/rooms/${room}/messages`, { token });
    assert.equal(json.messages[0].data.author, "ada");
    const reader = mint("bob", { rooms: { [room]: ["join"] } });
    assertProblem(
      await server.post(`/rooms/${room}/messages`, { type: "text" }, { token: reader }),
      403,
      "forbidden",
    );
    assertProblem(await server.get(`/rooms/${room}/messages`, { token: reader }), 403, "forbidden");
    assertProblem(await server.get(`/rooms/${room}/presence`, { token: reader }), 403, "forbidden");
  });

  test("who may not is told how", async () => {
    const post = (options) => server.post("/rooms/r/messages", { type: "text" }, options);
    assertProblem(await post({}), 401, "unauthorized");
    assertProblem(await post({ token: "nonsense" }), 401, "unauthorized");
    assertProblem(await post({ key: "rk_wrong_wrong_wrong_wrong_wrong" }), 401, "unauthorized");
    assertProblem(await post({ token: mint("ada", { exp: 1 }) }), 401, "token_expired");
    assert.ok((await post({})).headers.get("www-authenticate"));
  });

  test("an API key names any author or none", async () => {
    const room = newRoom();
    const post = (data) => server.post(`/rooms/${room}/messages`, { type: "text", data }, { key: API_KEY });
    await post({ author: "anybody", n: 1 });
    await post({ n: 2 });
    const { json } = await server.get(`/rooms/${room}/messages`, { key: API_KEY });
    assert.deepEqual(
      json.messages.map(({ data }) => data),
      [{ author: "anybody", n: 1 }, { n: 2 }],
    );
  });

  test("the back end's API", async () => {
    const rooms = [newRoom(), newRoom()];
    const ada = await Client.open("ws", server, { token: mint("ada") });
    for (const room of rooms) await ada.request("join", room);
    const published = await server.post(
      "/publish",
      { rooms, message: { type: "text", data: { n: 1 } } },
      { key: API_KEY },
    );
    assert.equal(published.status, 200, published.text);
    assert.deepEqual(
      published.json.map(({ status, room, seq }) => [status, room, seq]),
      rooms.map((room) => ["delivered", room, 1]),
    );
    for (const room of rooms) assert.equal((await ada.take({ type: "text", room })).data.n, 1);
    const half = { rooms: [rooms[0], "no room"], message: { type: "text" } };
    const refused = await server.post("/publish", half, { key: API_KEY });
    assert.deepEqual([refused.status, refused.json.code], [400, "invalid_room"]);
    const list = await server.get("/rooms", { key: API_KEY });
    assert.equal(list.status, 200);
    for (const room of rooms) assert.ok(list.text.includes(room), list.text);
    const one = await server.get(`/rooms/${rooms[0]}`, { key: API_KEY });
    assert.equal(one.status, 200);
    assert.equal(one.json.seq, 1);
    assert.equal(one.json.epoch, published.json[0].epoch);
  });

  test("the back end's API is for API keys alone", async () => {
    for (const [method, path, body] of [
      ["GET", "/rooms"],
      ["GET", "/rooms/r"],
      ["DELETE", "/users/ada/connections"],
      ["POST", "/publish", { rooms: ["r"], message: { type: "text" } }],
    ]) {
      assertProblem(await server.call(method, path, { body }), 401, "unauthorized");
      assertProblem(await server.call(method, path, { body, token: mint("ada") }), 403, "forbidden");
    }
  });

  test("a user's connections are ended", async () => {
    const [first, second] = [
      await Client.open("ws", server, { token: mint("ada") }),
      await Client.open("undici", server, { token: mint("ada") }),
    ];
    const bob = await Client.open("ws", server, { token: mint("bob") });
    const answer = await server.call("DELETE", "/users/ada/connections", { key: API_KEY });
    assert.ok(answer.status === 200 || answer.status === 204, answer.text);
    for (const client of [first, second]) {
      const { code, reason } = await client.closed;
      assert.equal(code, 1008);
      assert.match(reason, /^kicked/);
    }
    assert.equal((await bob.request("ping")).type, "ack");
  });

  test("publishing to too many rooms is refused", async () => {
    const rooms = Array.from({ length: 101 }, (_, n) => `r${n}`);
    const answer = await server.post("/publish", { rooms, message: { type: "text" } }, { key: API_KEY });
    assert.ok([400, 413].includes(answer.status), answer.text);
  });

  test("there is no playground", async () => {
    assert.equal((await server.get("/")).status, 404);
  });

  test("no Origin passes, a foreign one gets no answer that a page may read", async () => {
    const answer = await server.get("/healthz", { headers: { origin: "https://evil.example" } });
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  });
});
