// @ts-check
/**
 * What a person's client hangs on: one of the SDK's transports, which can be exchanged, cut and plugged in again, while
 * all that passes is shown. Connects nothing itself: how each transport works, and when to come back, the SDK knows.
 */
import { events, poll, websocket } from "../sdk.js";
import { webtransport } from "../sdk/webtransport.js";

/** @import { Transport } from "./types/sdk.js" */
/** @import { Identity } from "./identity.js" */
/** @import { Envelope } from "./protocol.js" */
/** @typedef {Parameters<Transport>[0]} To */
/** @typedef {Parameters<Transport>[1]} From */
/** @typedef {{name: string, label: string, word: string, open: Transport}} Kind */
/**
 * Who is shown what passes.
 * @typedef {object} Witness
 * @property {(direction: "out"|"in", text: string, envelope: Envelope) => void} frame
 * @property {(text: string) => void} link what the link does besides carrying envelopes
 */

/** @type {Kind} */
const WEB_TRANSPORT = { name: "webtransport", label: "WebTransport", word: "quic", open: webtransport };

/** @type {Kind[]} */
const EVERYWHERE = [
  { name: "websocket", label: "WebSocket", word: "socket", open: websocket },
  { name: "events", label: "SSE", word: "events", open: events },
  { name: "poll", label: "Long poll", word: "poll", open: poll },
];

/** What this browser and this server both have. @param {URL} base @returns {Promise<Kind[]>} */
export async function kindsOf(base) {
  if (!("WebTransport" in window)) return EVERYWHERE;
  const answer = await fetch(new URL("wt/certificate", base)).catch(() => null);
  return answer?.ok ? [...EVERYWHERE, WEB_TRANSPORT] : EVERYWHERE;
}

/** Lets every client that waits for its next try go now: what a browser says when its network is back. */
export function retryNow() {
  dispatchEvent(new Event("online"));
}

export class Cable {
  kind;
  isCut = false;
  #identity;
  #witness;
  /** Whom the link that was opened last tells. @type {From|null} */ #from = null;

  /** @param {Kind} kind @param {Identity} identity @param {Witness} witness */
  constructor(kind, identity, witness) {
    this.kind = kind;
    this.#identity = identity;
    this.#witness = witness;
  }

  /** The one transport that the client knows. @type {Transport} */
  transport = (to, from) => {
    if (this.isCut) throw new Error("the cable is cut");
    let isOver = false;
    /** @param {string} text */
    const over = (text) => {
      if (!isOver) this.#witness.link(text);
      isOver = true;
    };
    const link = this.kind.open({ ...to, address: this.#address(to) }, {
      message: (envelope) => {
        // A link's own sign of life, every two seconds, tells nobody anything.
        const isNews = envelope && (envelope.id || envelope.data.status !== "pong");
        if (!isOver && isNews) this.#witness.frame("in", JSON.stringify(envelope), envelope);
        from.message(envelope);
      },
      closed: (code, reason) => {
        over(`closed ${code}${reason && ` ${reason}`}`);
        from.closed(code, reason);
      },
    });
    this.#from = from;
    return {
      send: (text, request) => {
        this.#witness.frame("out", text, /** @type {Envelope} */ (request));
        return link.send(text, request);
      },
      close: (code) => {
        over(code === 1000 ? "good-bye" : this.isCut ? "cut" : "let go");
        link.close(code);
      },
    };
  };

  /** Breaks the link, and every try to open another one, without a good-bye. */
  cut() {
    this.isCut = true;
    this.#from?.closed(1006, "the cable is cut");
  }

  plug() {
    this.isCut = false;
    retryNow();
  }

  /** Goes on over another transport. @param {Kind} kind */
  exchange(kind) {
    this.kind = kind;
    if (this.isCut) return;
    this.#from?.closed(1006, "another transport");
    retryNow();
  }

  /**
   * A client of the SDK has a session of its own. Here it is the tab's, so that a reload takes its place back.
   * @param {To} to @returns {To["address"]}
   */
  #address(to) {
    const { session, attempt } = this.#identity.next();
    return (path, query) => {
      const url = to.address(path, query);
      url.searchParams.set("session", session);
      if (url.searchParams.has("attempt")) url.searchParams.set("attempt", String(attempt));
      this.#witness.link(briefly(url));
      return url;
    };
  }
}

/** What is asked for, without what is the same in every request. @param {URL} url */
function briefly(url) {
  const query = new URLSearchParams(url.searchParams);
  for (const name of ["user", "session"]) query.delete(name);
  return url.pathname + (query.size ? `?${query}` : "");
}
