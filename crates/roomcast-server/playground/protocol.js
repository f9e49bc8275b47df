// @ts-check
/** What this page shows of the wire: shapes, names, positions. Pure: no socket, no page, no clock. */

/** @typedef {{epoch: string, seq: number}} Position a place in a room's log */
/**
 * One message on the wire, in either direction.
 * @typedef {object} Envelope
 * @property {string} type
 * @property {string} [id] the sender's, comes back in the ack and in everybody's copy
 * @property {string} [room]
 * @property {number} [seq] the place in the log; ephemeral messages have none
 * @property {Record<string, any>} data
 * @property {number} [timestamp] Unix seconds
 */
/** @typedef {{code: string, message: string, retry_after?: number}} Refusal */

/** What a room name may look like, also as the `pattern` of an input. */
export const ROOM_NAME = "[A-Za-z0-9_.:@~=+\\-]{1,128}";

/** 128 random bits as 22 characters of base64url: a session, or an id that no other tab draws. */
export function randomToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Whether an ack is a join's, whatever its transport. @param {Record<string, any>} data */
export function isJoined(data) {
  return "recovered" in data;
}

/** @param {Position} position */
export function formatPosition({ epoch, seq }) {
  return `${epoch}.${seq}`;
}
