// @ts-check
/**
 * What the wire says, as far as this page speaks it: shapes, limits, close codes, positions.
 * Pure: no socket, no page, no clock.
 */

/** @typedef {{epoch: string, seq: number}} Position a place in a room's log */
/** @typedef {{user: string, state?: object, connections: number, info?: object}} Member */
/**
 * One message on the wire, in either direction.
 * @typedef {object} Envelope
 * @property {string} type
 * @property {string} [id] the sender's, comes back in the ack and in everybody's copy
 * @property {string} [room]
 * @property {number} [seq] the place in the log; ephemeral messages have none
 * @property {number} [prev] seq of the logged message before this one, when that isn't `seq - 1`
 * @property {Record<string, any>} data
 * @property {number} [timestamp] Unix seconds
 */
/** @typedef {{code: string, message: string, retryable: boolean, retry_after?: number}} Refusal */
/** @typedef {{status: "joined", room: string, epoch: string, seq: number, from: number, recovered: boolean,
 *   v?: number, members?: Member[], count?: number}} Joined a stream's has no members: a `sync` follows */
/** @typedef {{epoch: string, seq: number, from: number}} Standing a room's head, and the seq before the first message to come */

/** Largest envelope the server takes, in bytes of UTF-8. */
export const ENVELOPE_BYTES_MAX = 65_536;

/** What a room name may look like, also as the `pattern` of an input. */
export const ROOM_NAME = "[A-Za-z0-9_.:@~=+\\-]{1,128}";

/** 128 random bits as 22 characters of base64url: a session, or an id that no other tab draws. */
export function randomToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** @param {string} text */
export function utf8Bytes(text) {
  return new TextEncoder().encode(text).length;
}

/** @param {Position} position */
export function formatPosition({ epoch, seq }) {
  return `${epoch}.${seq}`;
}

/**
 * Seconds to wait before try number `failures`: exponential, with full jitter, so that a thousand pages that lost
 * the same server don't come back in the same instant.
 * @param {number} failures 1 for the first failure in a row
 */
export function backoff(failures, random = Math.random) {
  return random() * Math.min(30, 0.5 * 2 ** (failures - 1));
}

/** What each close code means to a person. */
const CLOSES = new Map([
  [1000, "The connection was closed."],
  [1001, "The server went away."],
  [1002, "The server read a frame that breaks the WebSocket protocol."],
  [1003, "The server takes text frames only."],
  [1005, "The connection was closed without a reason."],
  [1006, "The connection was lost."],
  [1007, "The server read text that isn't UTF-8."],
  [1009, "A message was larger than the server takes."],
  [1011, "The server ran into an error."],
  [1012, "The server is restarting."],
  [1013, "The server is overloaded."],
  [4008, "This reader was too slow."],
  [4009, "This session was opened in another tab, which took it over."],
]);
const COME_BACK = new Set([1001, 1006, 1011, 1012, 1013, 4008]);

/**
 * What a close means and whether to come back after it.
 * @param {number} code
 * @param {string} reason for 1008: `code: text`
 * @returns {{retry: boolean, text: string}}
 */
export function readClose(code, reason) {
  if (code === 1008) {
    const retry = reason.startsWith("rate_limited");
    return { retry, text: `The server refused: ${reason || "no reason given"}.` };
  }
  return { retry: COME_BACK.has(code), text: CLOSES.get(code) ?? `The connection was closed with code ${code}.` };
}
