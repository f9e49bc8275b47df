// @ts-check
/**
 * A link made of plain requests. What goes up are requests, one at a time and in order, whose answers come back as the
 * acks and errors that a socket would bring. What comes down is read by a function that is given: of a stream of
 * events, or of polls. Speaks HTTP alone; keeps nothing of what was said.
 */

/** @import { Address } from "./links.js" */
/** @import { Envelope, Position, Refusal, Standing } from "./protocol.js" */
/**
 * What the reader of one room is given.
 * @typedef {object} Reading
 * @property {string} room
 * @property {Record<string, string>} from where to begin: `since` or `last`, as a query
 * @property {(path: string, query: Record<string, string>) => Promise<Response>} get
 * @property {(standing: Standing, roster?: object) => void} joined tells that it reads, and from where on
 * @property {(text: string) => void} deliver
 */
/** @typedef {{method?: string, path: string, query?: Record<string, string>, body?: string}} Asked */

/** A good-bye must not overtake the poll that is given up with it: that one would take the place again. */
const BYE_AFTER_MS = 300;

/** The server answered that it will not. */
class Refused extends Error {
  /** @param {Refusal} refusal */
  constructor(refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}
/** There was no answer, or only a part of one. */
class Lost extends Error {}

export class HttpLink {
  /** @type {((event: any) => void)|null} */ onopen = null;
  /** @type {((event: any) => void)|null} */ onmessage = null;
  /** @type {((event: any) => void)|null} */ onclose = null;
  #address;
  #read;
  /** The room joined last. */ #room = "";
  /** Ends with the link. */ #life = new AbortController();
  /** Ends with the link, or when that room is left. */ #stay = new AbortController();
  /** Over when all that was sent so far has been answered. @type {Promise<void>} */ #sent = Promise.resolve();

  /**
   * @param {Address} address
   * @param {(reading: Reading) => Promise<void>} read over when there is no more to read
   */
  constructor(address, read) {
    this.#address = address;
    this.#read = read;
    queueMicrotask(() => this.onopen?.({}));
  }

  /** @param {string} text */
  send(text) {
    /** @type {Envelope} */
    const envelope = JSON.parse(text);
    if (envelope.type === "join") return void this.#join(envelope);
    if (envelope.type === "leave") return this.#leave(envelope, text);
    this.#sent = this.#sent.then(() => this.#pass(envelope, text));
  }

  /** @param {number} code */
  close(code) {
    this.#life.abort();
    this.#stay.abort();
    if (code !== 1000 || !this.#room) return;
    const bye = () => fetch(this.#url(path(this.#room, "presence")), { method: "DELETE" }).catch(() => {});
    setTimeout(bye, BYE_AFTER_MS);
  }

  /** Reads a room until it is left. @param {Envelope} join */
  async #join({ id, room = "", data: { since, last } }) {
    const stay = new AbortController();
    [this.#room, this.#stay] = [room, stay];
    /** @type {Reading} */
    const reading = {
      room,
      from: since ? { since: `${since.epoch}.${since.seq}` } : { last: String(last) },
      get: (path, query) => this.#fetch({ path, query }, stay.signal),
      joined: (standing, roster) => this.#deliver({ type: "ack", id, room, data: joinedData(room, standing, since, roster) }),
      deliver: (text) => this.onmessage?.({ data: text }),
    };
    const end = await this.#read(reading).then(() => new Lost(), (error) => error);
    if (!stay.signal.aborted) this.#failed(end);
  }

  /** @param {Envelope} leave @param {string} text */
  #leave(leave, text) {
    this.#stay.abort();
    setTimeout(() => this.#pass(leave, text), BYE_AFTER_MS);
  }

  /** Sends what a socket would send as a request of its own. @param {Envelope} envelope @param {string} text */
  async #pass({ type, id, room = "", data }, text) {
    if (this.#life.signal.aborted) return;
    try {
      const answer = await readJson(await this.#fetch(requestOf({ type, room, data }, text), this.#life.signal));
      if (id) this.#deliver({ type: "ack", id, room, data: type === "leave" ? { status: "left" } : answer });
    } catch (error) {
      if (error instanceof Refused) this.#deliver({ type: "error", id, room, data: error.refusal });
      else this.#failed(error);
    }
  }

  /** @param {Asked} asked @param {AbortSignal} signal */
  async #fetch({ method = "GET", path, query = {}, body }, signal) {
    const said = new URLSearchParams(query).toString();
    this.#address.told(`${method} /${path}${said && `?${said}`}`);
    const headers = new Headers(body === undefined ? [] : [["content-type", "application/json"]]);
    const answer = await fetch(this.#url(path, query), { method, body, headers, signal }).catch(() => null);
    if (!answer) throw new Lost();
    if (!answer.ok) throw new Refused(await readRefusal(answer));
    return answer;
  }

  /** @param {string} path @param {Record<string, string>} query */
  #url(path, query = {}) {
    const { base, user, session } = this.#address;
    const url = new URL(path, base);
    url.search = new URLSearchParams({ user, session, ...query }).toString();
    return url;
  }

  /** @param {Envelope} envelope */
  #deliver(envelope) {
    this.onmessage?.({ data: JSON.stringify(envelope) });
  }

  /** Ends the link as a socket would end. @param {unknown} error */
  #failed(error) {
    if (this.#life.signal.aborted) return;
    if (!(error instanceof Refused || error instanceof Lost)) throw error;
    this.close(1006);
    this.onclose?.(error instanceof Lost ? { code: 1006, reason: "" } : closeOf(error.refusal));
  }
}

/** A whole answer. @param {Response} answer */
export async function readJson(answer) {
  return answer.json().catch(() => {
    throw new Lost();
  });
}

/** @param {string} room @param {string} what */
function path(room, what) {
  return `rooms/${encodeURIComponent(room)}/${what}`;
}

/** The request that says the same as an envelope. @param {{type: string, room: string, data: any}} envelope @param {string} text @returns {Asked} */
function requestOf({ type, room, data }, text) {
  switch (type) {
    case "leave": return { method: "DELETE", path: path(room, "presence") };
    case "presence": return { method: "POST", path: path(room, "presence"), body: JSON.stringify(data) };
    case "typing": return { method: "POST", path: path(room, "typing"), body: JSON.stringify(data) };
    case "history": return { path: path(room, "messages"), query: { limit: String(data.limit) } };
    default: return { method: "POST", path: path(room, "messages"), body: text };
  }
}

/** A join's ack. It was resumed exactly if reading goes on where it was asked to. @param {string} room @param {Standing} standing @param {Position|undefined} since @param {object} [roster] */
function joinedData(room, { epoch, seq, from }, since, roster) {
  const recovered = since !== undefined && since.epoch === epoch && since.seq === from;
  return { status: "joined", room, epoch, seq, from, recovered, ...roster };
}

/** Problem details as the data of an `error`. @param {Response} answer @returns {Promise<Refusal>} */
async function readRefusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  const { code = "internal", detail = `The server answered ${answer.status}.`, retryable = answer.status >= 500, retry_after } = problem;
  return { code, message: detail, retryable, retry_after };
}

/** The close that a socket would have got. @param {Refusal} refusal */
function closeOf({ code, message, retryable }) {
  return retryable ? { code: 1013, reason: code } : { code: 1008, reason: `${code}: ${message}` };
}
