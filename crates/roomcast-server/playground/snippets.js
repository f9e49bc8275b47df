// @ts-check
/** What a page would run to do the same over each transport, without a library. Every snippet runs as it stands. Pure. */
import { formatPosition } from "./protocol.js";
import { showHidden } from "./syntax.js";

/** @import { Happening, Scene } from "./recipes.js" */
/** @typedef {Record<Happening, (scene: Scene) => string>} Snippets */

/** @type {Snippets} */
const SOCKET = {
  join: (scene) => `${socket(scene, { last: "50" })}

socket.onmessage = ({ data: frame }) => {
  const { type, data } = JSON.parse(frame);
  if (type === "text") console.log(data.author, data.content);
};`,
  send: (scene) => `${socket(scene)}

socket.onopen = () => socket.send(JSON.stringify({
  type: "text",
  id: crypto.randomUUID(), // comes back in the ack
  data: ${literal(contentOf(scene))},
}));

socket.onmessage = ({ data: frame }) => {
  const { type, data } = JSON.parse(frame);
  if (type === "ack") console.log(data.status, data.seq);
};`,
  typing: (scene) => `${socket(scene)}

socket.onopen = () => socket.send(JSON.stringify({
  type: "typing",
  data: { typing: true },
}));`,
  resume: (scene) => `// The epoch of the join's ack, and the seq of the last message read.
${socket(scene, { since: sinceOf(scene) })}

socket.onmessage = ({ data: frame }) => {
  const { type, seq, data } = JSON.parse(frame);
  if (data.status === "joined") console.log(data.recovered ? "resumed" : "reset");
  if (type === "text") console.log(seq, data.author, data.content);
};`,
  presence: (scene) => `${socket(scene)}

socket.onmessage = ({ data: frame }) => {
  const { type, data } = JSON.parse(frame);
  if (data.status === "joined") console.log("here:", data.members);
  if (type === "presence") console.log(data.event, data.user ?? data.members);
};`,
};

/** Where nothing goes up, requests do. @type {Pick<Snippets, "send"|"typing">} */
const REQUESTS = {
  send: (scene) => `const answer = await fetch(${quoted(httpUrl(scene, "rooms", "/messages", { user: scene.user }))}, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    type: "text",
    id: crypto.randomUUID(), // of what is posted again with it, one is kept
    data: ${literal(contentOf(scene))},
  }),
});

const { status, seq } = await answer.json();
console.log(status, seq);`,
  typing: (scene) => `await fetch(${quoted(httpUrl(scene, "rooms", "/typing", { user: scene.user }))}, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ typing: true }),
});`,
};

/** @type {Snippets} */
const EVENTS = {
  ...REQUESTS,
  join: (scene) => `${events(scene, { last: "50" })}

events.onmessage = ({ data: envelope }) => {
  const { data } = JSON.parse(envelope);
  console.log(data.author, data.content);
};`,
  resume: (scene) => `// It comes back by itself; this is for a position from elsewhere.
${events(scene, { since: sinceOf(scene) })}

events.onmessage = ({ data: envelope }) => {
  const { seq, data } = JSON.parse(envelope);
  console.log(seq, data.author, data.content);
};
events.addEventListener("system", ({ data: envelope }) => {
  const { data } = JSON.parse(envelope);
  if (data.event === "reset") console.log("reset", data.reason);
});`,
  presence: (scene) => `${events(scene, { presence: "1" })}

events.addEventListener("presence", ({ data: envelope }) => {
  const { data } = JSON.parse(envelope);
  console.log(data.event, data.user ?? data.members);
});`,
};

/** @type {Snippets} */
const POLL = {
  ...REQUESTS,
  join: (scene) => `let from = "last=50";
for (;;) {
  ${poll(scene)}
  for (const { data } of answer.messages) console.log(data.author, data.content);
  from = "since=" + encodeURIComponent(answer.position);
}`,
  resume: (scene) => `let from = ${quoted(new URLSearchParams({ since: sinceOf(scene) }).toString())};
for (;;) {
  ${poll(scene)}
  if (!answer.recovered) console.log("reset", answer.resets);
  for (const { seq, data } of answer.messages) console.log(seq, data.author, data.content);
  from = "since=" + encodeURIComponent(answer.position);
}`,
  presence: (scene) => `let from = "presence=1";
for (;;) {
  ${poll(scene)}
  if (answer.presence) console.log("here:", answer.presence.members);
  const v = answer.presence?.v ?? new URLSearchParams(from).get("v");
  from = new URLSearchParams({ presence: "1", since: answer.position, v }).toString();
}`,
};

/** @type {Snippets} */
const WEB_TRANSPORT = {
  join: (scene) => webTransport(scene, "", `{ type: "join", room: ${quoted(scene.room)}, data: { last: 50 } }`),
  send: (scene) => webTransport(scene, scene.room, `{ type: "text", id: crypto.randomUUID(), data: ${literal(contentOf(scene))} }`),
  typing: (scene) => webTransport(scene, scene.room, '{ type: "typing", data: { typing: true } }'),
  resume: (scene) => webTransport(scene, "", `{ type: "join", room: ${quoted(scene.room)}, data: { since: ${quoted(sinceOf(scene))} } }`),
  presence: (scene) => webTransport(scene, "", `{ type: "join", room: ${quoted(scene.room)} }`),
};

/** @type {Record<string, Snippets>} */
const SNIPPETS = { websocket: SOCKET, events: EVENTS, poll: POLL, webtransport: WEB_TRANSPORT };

/** @param {Happening} what @param {Scene} scene */
export function snippet(what, scene) {
  return (SNIPPETS[scene.transport] ?? SOCKET)[what](scene);
}

/** @param {Scene} scene @returns {Record<string, any>} */
export function contentOf({ data }) {
  return data ?? { content: "Hello" };
}

/** @param {Scene} scene */
export function sinceOf({ position }) {
  return position ? formatPosition(position) : "EPOCH.SEQ";
}

/** An address of the room below one of the server's paths. @param {Scene} scene @param {string} top @param {string} below @param {Record<string, string>} query */
export function httpUrl({ base, room }, top, below, query) {
  const url = new URL(`${top}/${encodeURIComponent(room)}${below}`, base);
  url.search = new URLSearchParams(query).toString();
  return url.href;
}

/** The line that opens a socket which is in the room at once. @param {Scene} scene @param {Record<string, string>} [query] */
function socket(scene, query = {}) {
  const url = httpUrl(scene, "ws", "", { user: scene.user, ...query });
  return `const socket = new WebSocket(${quoted(url.replace("http", "ws"))});`;
}

/** @param {Scene} scene @param {Record<string, string>} query */
function events(scene, query) {
  return `const events = new EventSource(${quoted(httpUrl(scene, "events", "", { user: scene.user, ...query }))});`;
}

/** @param {Scene} scene */
function poll(scene) {
  return `const answer = await (await fetch(${quoted(`${httpUrl(scene, "poll", "", { user: scene.user })}&`)} + from)).json();`;
}

/** A session in which one thing is said, and all that comes is shown. @param {Scene} scene @param {string} room of the path, or none @param {string} message */
function webTransport({ base, user }, room, message) {
  const url = new URL(room ? `wt/${encodeURIComponent(room)}` : "wt", base);
  url.protocol = "https:";
  url.search = new URLSearchParams({ user }).toString();
  return `const { hash } = await (await fetch(${quoted(new URL("wt/certificate", base).href)})).json();
const value = Uint8Array.from(atob(hash.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const transport = new WebTransport(${quoted(url.href)}, {
  serverCertificateHashes: [{ algorithm: "sha-256", value }],
});
await transport.ready;
const { readable, writable } = await transport.createBidirectionalStream();

// JSON behind its length, an integer as QUIC writes it: here in two bytes.
const text = new TextEncoder().encode(JSON.stringify(${message}));
await writable.getWriter().write(Uint8Array.of(0x40 | (text.length >> 8), text.length & 255, ...text));

for await (const bytes of readable) console.log(new TextDecoder().decode(bytes));`;
}

/** @param {string} text */
export function quoted(text) {
  return JSON.stringify(text);
}

/** An object as somebody would type it. @param {Record<string, any>} object */
export function literal(object) {
  const fields = Object.entries(object).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return showHidden(`{ ${fields.join(", ").replace(/"([A-Za-z_]\w*)": /, "$1: ")} }`);
}
