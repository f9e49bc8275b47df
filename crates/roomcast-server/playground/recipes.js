// @ts-check
/**
 * The code that does what just happened: with the SDK, in a browser without a library, over the transport it happened
 * on, and in a shell with curl. Every snippet runs as it stands. Pure.
 */
import { SDK } from "./sdk-snippets.js";
import { contentOf, httpUrl, sinceOf, snippet } from "./snippets.js";
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
/** @typedef {"sdk"|"js"|"curl"} Language */
/** @typedef {Record<"caption"|Language, (scene: Scene) => string>} Recipe */
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
    sdk: SDK.join,
    js: (scene) => snippet("join", scene),
    curl: (scene) => read(scene, { last: "50" }),
  },
  send: {
    caption: ({ user, room }) => `${user} wrote to ${room}.`,
    sdk: SDK.send,
    js: (scene) => snippet("send", scene),
    curl: (scene) => post(scene, "/messages", { type: "text", data: contentOf(scene) }),
  },
  typing: {
    caption: ({ user, room }) => `${user} is typing in ${room}; said at most once a second, over after 5.`,
    sdk: SDK.typing,
    js: (scene) => snippet("typing", scene),
    curl: (scene) => post(scene, "/typing", { typing: true }),
  },
  resume: {
    caption: ({ user, position }) => `${user} came back and asked for everything after ${position?.seq ?? "the last message read"}.`,
    sdk: SDK.resume,
    js: (scene) => snippet("resume", scene),
    curl: (scene) => read(scene, { since: sinceOf(scene) }),
  },
  presence: {
    caption: ({ room, transport }) => `Who is in ${room}. ${PRESENCE[transport] ?? PRESENCE.websocket}`,
    sdk: SDK.presence,
    js: (scene) => snippet("presence", scene),
    curl: (scene) => `curl ${shell(httpUrl(scene, "rooms", "/presence", {}))}`,
  },
};

/** @type {Record<string, string>} */
const PRESENCE = {
  websocket: "A join's ack tells it, and each change after that is a message.",
  events: "A stream that asks for it is told all of it first, then each change.",
  poll: "A poll that asks for it is told all of it, whenever it differs from the version it knows.",
};

/** What was said, by the transport's own way of reading; a socket has none for a shell. @param {Scene} scene @param {Record<string, string>} from */
function read(scene, from) {
  switch (scene.transport) {
    case "events": return `curl -N ${shell(httpUrl(scene, "events", "", { user: scene.user, ...from }))}`;
    case "poll": return `curl ${shell(httpUrl(scene, "poll", "", { user: scene.user, ...from }))}`;
    default: return `curl ${shell(httpUrl(scene, "rooms", "/messages", from.last ? { limit: from.last } : from))}`;
  }
}

/** @param {Scene} scene @param {string} what @param {Record<string, any>} body */
function post(scene, what, body) {
  return `curl -X POST ${shell(httpUrl(scene, "rooms", what, { user: scene.user }))} \\
  -H 'content-type: application/json' \\
  -d ${shell(showHidden(JSON.stringify(body)))}`;
}

/** One word for a POSIX shell. @param {string} text */
function shell(text) {
  return /^[A-Za-z0-9_.:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
