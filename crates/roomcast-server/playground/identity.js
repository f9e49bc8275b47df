// @ts-check
/**
 * The sessions of this tab. A reload finds its session again and takes its place back; another tab has its own.
 */
import { randomToken } from "./protocol.js";

const KEY = "roomcast.playground.sessions";

/** @returns {Record<string, {session: string, attempt: number}>} */
function load() {
  return JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
}

/** One person's place in this tab. */
export class Identity {
  #key;

  /** @param {string} slot which side of the page @param {string} user */
  constructor(slot, user) {
    this.#key = `${slot}:${user}`;
  }

  /** The session, and a number that rises with every try: the newest try wins. */
  next() {
    const { session, attempt } = load()[this.#key] ?? { session: randomToken(), attempt: 0 };
    const next = { session, attempt: attempt + 1 };
    this.#save(next);
    return next;
  }

  /** Takes a new session, when another tab has taken the old one over. */
  renew() {
    this.#save({ session: randomToken(), attempt: 0 });
  }

  /** @param {{session: string, attempt: number}} identity */
  #save(identity) {
    sessionStorage.setItem(KEY, JSON.stringify({ ...load(), [this.#key]: identity }));
  }
}
