/**
 * A back end in plain Node. It mints tokens for its users, publishes in the name of the office, and reads the room: who
 * asks a question there gets an answer of its bot. The secret and the API key come from the environment, as they would
 * in production.
 */
import { createHmac, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";

// In your own project: `from "roomcast"`. This is the same, as the server has it at /sdk.js.
import { connect, events } from "../../../crates/roomcast-server/assets/sdk.js";

const { ROOMCAST_URL, ROOMCAST_AUTH_SECRET, ROOMCAST_API_KEY, PORT = 4000 } = process.env;
const ROOM = "chat:lobby";
const TOKEN_SECONDS = 600;

// 1. Mint. A token is a JWT; `jose` or `jsonwebtoken` make one too.

function mint(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp })}`;
  return `${signed}.${createHmac("sha256", ROOMCAST_AUTH_SECRET).update(signed).digest("base64url")}`;
}

// 2. Publish. With the API key a back end may name any author. Sent again with the same id, a message is there once.

async function publish(author, content, id = randomUUID()) {
  const headers = { authorization: `Bearer ${ROOMCAST_API_KEY}`, "content-type": "application/json" };
  const body = JSON.stringify({ type: "text", id, data: { content, author } });
  const answer = await fetch(`${ROOMCAST_URL}/rooms/${ROOM}/messages`, { method: "POST", headers, body });
  if (!answer.ok) throw new Error(`not published: ${await answer.text()}`);
  return answer.json();
}

// 3. Read. Over a stream of events, for Node below 22 has no WebSocket; it comes back for ever, and misses nothing.

const rt = connect(ROOMCAST_URL, { token: ROOMCAST_API_KEY, transports: [events] });
const room = rt.room(ROOM, { presence: false });
const say = (content, id) => publish("bot", content, id).catch(console.error);

// Within five minutes an id is said once, however often the stream begins anew.
room.on("state", (state) => state === "live" && say("Ask me a question.", "hello"));
room.on("text", ({ epoch, seq, data: { author, content } }) => {
  if (author === "bot" || !String(content).endsWith("?")) return;
  // The id is the question's place: two of these programs, or one that does it twice, still answer once.
  say(`Good question, ${author}.`, `answer-${epoch}.${seq}`);
});

// What the page asks for. Who somebody is, your log-in knows; this one believes everybody, and lets everybody announce.

const routes = {
  "POST /api/token": ({ name }) => ({ token: mint(name) }),
  "POST /api/announce": ({ text }) => publish("office", text),
};

const server = createServer(async (request, response) => {
  const route = routes[`${request.method} ${request.url}`];
  if (!route) return response.writeHead(404).end();
  try {
    response.end(JSON.stringify(await route(await json(request))));
  } catch (error) {
    response.writeHead(500).end(error.message);
  }
});
server.listen(PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
