// @ts-check
/**
 * The transports of this page. Each opens a link: whatever carries envelopes, with a WebSocket's face, so that whoever
 * speaks over it needn't know which it is. Owns the list; reads nothing of what is said.
 */
import { readEvents } from "./events.js";
import { HttpLink } from "./http-link.js";
import { readPolls } from "./poll.js";
import { WebTransportLink, readCertificate } from "./web-transport.js";

/**
 * Where a link goes, and as whom.
 * @typedef {object} Address
 * @property {URL} base of the server
 * @property {string} user
 * @property {string} session
 * @property {number} attempt
 * @property {(text: string) => void} told what the link does besides carrying envelopes
 */
/**
 * @typedef {object} Link
 * @property {((event: any) => void)|null} onopen a join may be sent now
 * @property {((event: any) => void)|null} onmessage `data` is the text of an envelope
 * @property {((event: any) => void)|null} onclose with the `code` and `reason` of a WebSocket's close
 * @property {(text: string) => void} send
 * @property {(code: number, reason: string) => void} close 1000 is a good-bye; 4000 is a cable that is cut
 */
/** @typedef {{name: string, label: string, word: string, open: (address: Address) => Link}} Transport */

/** @type {Transport} */
const WEB_TRANSPORT = { name: "webtransport", label: "WebTransport", word: "quic", open: (address) => new WebTransportLink(address) };

/** @type {Transport[]} */
const EVERYWHERE = [
  { name: "websocket", label: "WebSocket", word: "socket", open: openSocket },
  { name: "events", label: "SSE", word: "events", open: (address) => new HttpLink(address, readEvents) },
  { name: "poll", label: "Long poll", word: "poll", open: (address) => new HttpLink(address, readPolls) },
];

/** What this browser and this server both have. @param {URL} base @returns {Promise<Transport[]>} */
export async function transportsOf(base) {
  const offered = "WebTransport" in window && (await readCertificate(base)) !== null;
  return offered ? [...EVERYWHERE, WEB_TRANSPORT] : EVERYWHERE;
}

/** @param {Address} address @returns {Link} */
function openSocket({ base, user, session, attempt }) {
  const url = new URL("ws", base);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ user, session, attempt: String(attempt) }).toString();
  return new WebSocket(url);
}
