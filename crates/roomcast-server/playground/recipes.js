// @ts-check
/**
 * The code that does what just happened: in a browser with a bare WebSocket, and in a shell with curl. Every snippet
 * runs as it stands. Pure.
 */
import { formatPosition } from "./protocol.js";
import { showHidden } from "./syntax.js";

/** @import { Position } from "./protocol.js" */
/**
 * What the snippets are about.
 * @typedef {object} Scene
 * @property {URL} base of the server
 * @property {string} room
 * @property {string} user
 * @property {string} transport its name
 * @property {Record<string, any>} [data] of the message sent
 * @property {Position|null} [position] where the reader stands
 */
/** @typedef {{caption: (scene: Scene) => string, js: (scene: Scene) => string, curl: (scene: Scene) => string}} Recipe */
/** @typedef {"join"|"send"|"typing"|"resume"|"presence"} Happening */

/** Names as in the menu. @type {Record<Happening, string>} */
export const MENU = {
  join: "Join, with history",
  send: "Send a message",
  typing: "Say that I type",
  resume: "Resume after a cut",
  presence: "Who is here",
};

/** @type {Record<Happening, Recipe>} */
export const RECIPES = {
  join: {
    caption: ({ user, room }) => `${user} joined ${room} and asked for its newest 50 messages.`,
    js: (scene) => `${socket(scene, { last: "50" })}

socket.onmessage = ({ data: frame }) => {
  const { type, data } = JSON.parse(frame);
  if (type === "text") console.log(data.author, data.content);
};`,
    curl: (scene) => `curl ${shell(http(scene, "messages", { limit: "50" }))}`,
  },
  send: {
    caption: ({ user, room }) => `${user} wrote to ${room}.`,
    js: (scene) => `${socket(scene)}

socket.onopen = () => socket.send(JSON.stringify({
  type: "text",
  id: crypto.randomUUID(), // comes back in the ack
  data: ${literal(content(scene))},
}));

socket.onmessage = ({ data: frame }) => {
  const { type, data } = JSON.parse(frame);
  if (type === "ack") console.log(data.status, data.seq);
};`,
    curl: (scene) => post(scene, "messages", { type: "text", data: content(scene) }),
  },
  typing: {
    caption: ({ user, room }) => `${user} is typing in ${room}; said at most once a second, over after 5.`,
    js: (scene) => `${socket(scene)}

socket.onopen = () => socket.send(JSON.stringify({
  type: "typing",
  data: { typing: true },
}));`,
    curl: (scene) => post(scene, "typing", { typing: true }),
  },
  resume: {
    caption: ({ user, position }) => `${user} came back and asked for everything after ${position?.seq ?? "the last message read"}.`,
    js: (scene) => `// The epoch of the join's ack, and the seq of the last message read.
${socket(scene, { since: since(scene) })}

socket.onmessage = ({ data: frame }) => {
  const { type, seq, data } = JSON.parse(frame);
  if (data.status === "joined") console.log(data.recovered ? "resumed" : "reset");
  if (type === "text") console.log(seq, data.author, data.content);
};`,
    curl: (scene) => `curl ${shell(http(scene, "messages", { since: since(scene) }))}`,
  },
  presence: {
    caption: ({ room }) => `Who is in ${room}. A join's ack tells it, and each change after that is a message.`,
    js: (scene) => `${socket(scene)}

socket.onmessage = ({ data: frame }) => {
  const { type, data } = JSON.parse(frame);
  if (data.status === "joined") console.log("here:", data.members);
  if (type === "presence") console.log(data.event, data.user ?? data.members);
};`,
    curl: (scene) => `curl ${shell(http(scene, "presence"))}`,
  },
};

/** @param {Scene} scene */
function content({ data }) {
  return data ?? { content: "Hello" };
}

/** @param {Scene} scene */
function since({ position }) {
  return position ? formatPosition(position) : "EPOCH.SEQ";
}

/** The line that opens a socket which is in the room at once. @param {Scene} scene @param {Record<string, string>} [query] */
function socket({ base, room, user }, query = {}) {
  const url = new URL(`ws/${encodeURIComponent(room)}`, base);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ user, ...query }).toString();
  return `const socket = new WebSocket(${JSON.stringify(url.href)});`;
}

/** @param {Scene} scene @param {string} what @param {Record<string, string>} [query] */
function http({ base, room }, what, query = {}) {
  const url = new URL(`rooms/${encodeURIComponent(room)}/${what}`, base);
  url.search = new URLSearchParams(query).toString();
  return url.href;
}

/** @param {Scene} scene @param {string} what @param {Record<string, any>} body */
function post(scene, what, body) {
  return `curl -X POST ${shell(http(scene, what, { user: scene.user }))} \\
  -H 'content-type: application/json' \\
  -d ${shell(showHidden(JSON.stringify(body)))}`;
}

/** One word for a POSIX shell. @param {string} text */
function shell(text) {
  return /^[A-Za-z0-9_.:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** An object as somebody would type it. @param {Record<string, any>} object */
function literal(object) {
  const fields = Object.entries(object).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return showHidden(`{ ${fields.join(", ").replace(/"([A-Za-z_]\w*)": /, "$1: ")} }`);
}
