// @ts-check
/**
 * One user's connection to one room, as a state machine on a link, whatever its transport:
 *
 *     idle -> connecting -> joining -> live          connect(), the link is open, the join's ack
 *               ^  any of these -> waiting -> connecting     the connection was lost: backoff, then resume
 *               |  any of these -> cut                        cut(): as if the cable was pulled, until connect()
 *               +- any of these -> stopped                    a close code after which nobody should come back
 *
 * Owns the link, the position in the room's log and every send that has no answer yet. Tells what happens through
 * `Events`; never touches the page.
 */
import { ENVELOPE_BYTES_MAX, backoff, randomToken, readClose, utf8Bytes } from "./protocol.js";

/** @import { Link } from "./links.js" */
/** @import { Envelope, Joined, Position, Refusal } from "./protocol.js" */
/** @typedef {"idle"|"connecting"|"joining"|"live"|"waiting"|"cut"|"stopped"} State */
/**
 * A message on its way: `waiting` for a connection, `sending` until the answer, then `delivered` or `refused`.
 * @typedef {object} Send
 * @property {string} id
 * @property {string} text the frame, the same bytes on every try
 * @property {Record<string, any>} data
 * @property {"waiting"|"sending"|"delivered"|"refused"} state
 * @property {{seq?: number, epoch?: string, timestamp: number, duplicate?: boolean}} [ack]
 * @property {Refusal} [refusal]
 */
/**
 * @typedef {object} Events
 * @property {(state: State, detail: {text?: string, code?: number, seconds?: number}) => void} state
 * @property {(direction: "out"|"in", text: string) => void} frame an envelope, as it is on the wire
 * @property {(text: string) => void} link the link itself: opened, closed, what it asks for, when the next try is
 * @property {(ack: Joined, since: Position|null) => void} joined
 * @property {(missed: Missed) => void} resumed everything that was missed has arrived
 * @property {(reset: {reason: string, epoch: string, seq: number}, before: number) => void} reset what is shown, up to
 *   the seq `before`, must be loaded again
 * @property {(message: Envelope) => void} message
 * @property {(data: Record<string, any>) => void} typing
 * @property {(data: Record<string, any>) => void} presence
 * @property {(send: Send) => void} send a send changed its state
 * @property {(refusal: Refusal) => void} refusal of anything that isn't a send
 */
/** @typedef {{head: number, count: number, first?: number}} Missed the log's end at the join, how many came of it, and the first */
/** @typedef {{room: string, last: number, open: (told: (text: string) => void) => Link}} Options */

const ANSWER_WITHIN_MS = 10_000;
const TYPING_EVERY_MS = 1_000;
const UNANSWERED_MAX = 500;

export class RoomClient {
  /** @type {Options} */ #options;
  /** @type {Events} */ #events;
  /** @type {Link|null} */ #link = null;
  /** @type {State} */ #state = "idle";
  /** @type {Position|null} */ #position = null;
  /** Requests without an answer. @type {Map<string, (answer: Envelope|null) => void>} */ #requests = new Map();
  /** Sends without an answer, oldest first. @type {Map<string, Send>} */ #outbox = new Map();
  /** What a resume is still to bring. @type {Missed|null} */ #missed = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  /** Set while sends are held back after a refusal. @type {ReturnType<typeof setTimeout>|undefined} */ #hold;
  /** Said by `draining`, in seconds. @type {number|null} */ #reconnectIn = null;
  #failures = 0;
  #typing = { on: false, toldAt: -Infinity };

  /**
   * @param {Options} options
   * @param {Events} events
   */
  constructor(options, events) {
    this.#options = options;
    this.#events = events;
  }

  get state() {
    return this.#state;
  }

  get room() {
    return this.#options.room;
  }

  /** Where this reader stands, or null before the first join. */
  get position() {
    return this.#position;
  }

  // What the page asks for.

  connect() {
    if (this.#link) return;
    const link = this.#options.open((text) => this.#events.link(text));
    link.onopen = () => this.#opened();
    link.onmessage = ({ data }) => this.#receive(String(data));
    link.onclose = ({ code, reason }) => this.#closed(code, reason);
    this.#link = link;
    this.#answerBefore(ANSWER_WITHIN_MS);
    this.#enter("connecting");
  }

  /** Takes the room up on a new link, without a good-bye to the old one: the position goes along. */
  reconnect() {
    this.#drop(4000, "another link");
    this.connect();
  }

  /** Drops the connection without a good-bye and stays away until `connect()`. */
  cut() {
    this.#drop(4000, "cable cut");
    this.#events.link("cut");
    this.#enter("cut");
  }

  /** Leaves for good, and says so: the others see it at once. */
  close() {
    this.#drop(1000, "");
    clearTimeout(this.#hold);
    this.#enter("idle");
  }

  /** Leaves the room for another one, on the same connection. @param {string} room */
  move(room) {
    if (this.#state === "live") this.#request("leave", {});
    this.#options.room = room;
    this.#position = null;
    this.#missed = null;
    this.#outbox.clear();
    if (this.#state === "live" || this.#state === "joining") this.#join();
  }

  /**
   * Sends a message; without a connection it waits for the next one. `Events.send` tells what becomes of it.
   * @param {string} type @param {Record<string, any>} data @returns {Send}
   */
  send(type, data) {
    const id = randomToken();
    const text = JSON.stringify({ type, id, room: this.room, data });
    /** @type {Send} */
    const send = { id, text, data, state: "waiting" };
    const refusal = this.#unfit(text);
    if (refusal) return Object.assign(send, { state: "refused", refusal });
    this.#outbox.set(id, send);
    this.#flush();
    return send;
  }

  /** Says that the user types, or has stopped. At most once a second goes out. @param {boolean} on */
  typing(on) {
    const now = performance.now();
    const renewed = this.#typing.on && now - this.#typing.toldAt < TYPING_EVERY_MS;
    if (this.#state !== "live" || (on ? renewed : !this.#typing.on)) return false;
    this.#typing = { on, toldAt: now };
    this.#write({ type: "typing", room: this.room, data: { typing: on } });
    return true;
  }

  /** The newest messages of the room, ascending; null if there was no answer. @param {number} limit @returns {Promise<Envelope[]|null>} */
  history(limit) {
    return new Promise((resolve) => {
      this.#request("history", { limit }, (answer) => resolve(answer?.data.messages ?? null));
    });
  }

  // What the server says.

  /** @param {string} text */
  #receive(text) {
    this.#events.frame("in", text);
    /** @type {Envelope} */
    const message = JSON.parse(text);
    switch (message.type) {
      case "system": return this.#system(message);
      case "ack": return this.#answered(message);
      case "error": return this.#answered(message);
      case "presence": return this.#here(message) && this.#events.presence(message.data);
      case "typing": return this.#here(message) && this.#events.typing(message.data);
      default: return this.#here(message) && this.#message(message);
    }
  }

  /** Whether a message belongs to this room and not to the one just left. @param {Envelope} message */
  #here(message) {
    return message.room === this.room && this.#state === "live";
  }

  /** @param {Envelope} message */
  #system({ data, room }) {
    switch (data.event) {
      case "reset": return (data.room ?? room) === this.room && this.#reset(/** @type {any} */ (data));
      case "draining": return void (this.#reconnectIn = data.reconnect_in);
    }
  }

  #opened() {
    this.#events.link("open");
    this.#join();
  }

  #join() {
    const since = this.#position;
    this.#answerBefore(ANSWER_WITHIN_MS);
    this.#enter("joining");
    this.#request("join", since ? { since } : { last: this.#options.last }, (answer) => {
      if (answer?.type === "ack") this.#joined(/** @type {Joined} */ (answer.data), since);
      else if (answer) this.#notJoined(/** @type {Refusal} */ (answer.data));
    });
  }

  /** @param {Joined} ack @param {Position|null} since */
  #joined(ack, since) {
    if (ack.room !== this.room) return;
    clearTimeout(this.#timer);
    this.#failures = 0;
    // Where it wasn't resumed a reset follows, and only then is the old position done with.
    if (!since || ack.recovered) this.#position = { epoch: ack.epoch, seq: ack.from };
    this.#missed = ack.recovered ? { head: ack.seq, count: 0 } : null;
    this.#enter("live");
    this.#events.joined(ack, since);
    this.#caughtUp();
    this.#flush();
  }

  /** @param {Refusal} refusal */
  #notJoined(refusal) {
    this.#drop(1000, "");
    if (refusal.retryable) this.#wait(refusal.message, refusal.retry_after);
    else this.#enter("stopped", { text: `${refusal.code}: ${refusal.message}` });
  }

  /** @param {{reason: string, epoch: string, seq: number}} reset */
  #reset(reset) {
    const before = this.#position?.seq ?? 0;
    this.#position = { epoch: reset.epoch, seq: reset.seq };
    this.#missed = null;
    this.#events.reset(reset, before);
  }

  /**
   * Takes a message if it is the next one. The server promises that it is; a client that checks needn't believe it.
   * @param {Envelope} message
   */
  #message(message) {
    const { seq } = message;
    if (seq === undefined || !this.#position) return this.#events.message(message);
    if (seq <= this.#position.seq) return;
    if ((message.prev ?? seq - 1) > this.#position.seq) return this.#lost("A message is missing; asking for it.");
    this.#position.seq = seq;
    if (this.#missed) this.#missed = { ...this.#missed, count: this.#missed.count + 1, first: this.#missed.first ?? seq };
    this.#events.message(message);
    this.#caughtUp();
  }

  #caughtUp() {
    if (!this.#missed || !this.#position || this.#position.seq < this.#missed.head) return;
    this.#events.resumed(this.#missed);
    this.#missed = null;
  }

  /** @param {Envelope} answer an ack or an error */
  #answered(answer) {
    const request = this.#requests.get(answer.id ?? "");
    const send = this.#outbox.get(answer.id ?? "");
    this.#requests.delete(answer.id ?? "");
    if (request) request(answer);
    if (send) this.#decide(send, answer);
    if (answer.type === "error" && !send) this.#events.refusal(/** @type {Refusal} */ (answer.data));
  }

  // Sends.

  /** @param {Send} send @param {Envelope} answer */
  #decide(send, { type, data }) {
    if (type === "ack") {
      this.#outbox.delete(send.id);
      return this.#settle(send, "delivered", { ack: /** @type {Send["ack"]} */ (data), refusal: undefined });
    }
    const refusal = /** @type {Refusal} */ (data);
    if (!refusal.retryable) this.#outbox.delete(send.id);
    else this.#holdSends(refusal.retry_after ?? 1);
    this.#settle(send, refusal.retryable ? "waiting" : "refused", { refusal });
  }

  /**
   * After a refusal that passes, nothing goes out until its time has come; then everything unanswered, oldest first,
   * so that the order holds.
   * @param {number} seconds
   */
  #holdSends(seconds) {
    clearTimeout(this.#hold);
    this.#hold = setTimeout(() => {
      this.#hold = undefined;
      this.#flush();
    }, seconds * 1000);
  }

  #flush() {
    if (this.#state !== "live" || this.#hold !== undefined) return;
    for (const send of this.#outbox.values()) {
      if (send.state !== "waiting") continue;
      this.#settle(send, "sending", { refusal: undefined });
      this.#writeText(send.text);
    }
  }

  /** @param {Send} send @param {Send["state"]} state @param {Partial<Send>} outcome */
  #settle(send, state, outcome) {
    this.#events.send(Object.assign(send, outcome, { state }));
  }

  /** Why a frame must not be sent: the server would close the connection over it. @param {string} text @returns {Refusal|null} */
  #unfit(text) {
    const bytes = utf8Bytes(text);
    if (bytes > ENVELOPE_BYTES_MAX) {
      const message = `The message is ${bytes.toLocaleString("en")} bytes on the wire; at most ${ENVELOPE_BYTES_MAX.toLocaleString("en")} are taken. Shorten it, or send it in parts.`;
      return { code: "too_large", message, retryable: false };
    }
    if (this.#outbox.size >= UNANSWERED_MAX) {
      return { code: "rate_limited", message: `${UNANSWERED_MAX} messages wait for an answer already. Connect first.`, retryable: true };
    }
    return null;
  }

  // The link.

  /** @param {string} type @param {Record<string, any>} data @param {(answer: Envelope|null) => void} [then] */
  #request(type, data, then = () => {}) {
    const id = randomToken();
    this.#requests.set(id, then);
    this.#write({ type, id, room: this.room, data });
  }

  /** @param {Envelope} envelope */
  #write(envelope) {
    this.#writeText(JSON.stringify(envelope));
  }

  /** @param {string} text */
  #writeText(text) {
    this.#events.frame("out", text);
    this.#link?.send(text);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    this.#drop(code, reason);
    this.#events.link(`closed ${code}${reason && ` ${reason}`}`);
    const { retry, text } = readClose(code, reason);
    if (retry) this.#wait(text, this.#reconnectIn ?? undefined);
    else this.#enter("stopped", { text, code });
  }

  /** @param {string} why */
  #lost(why) {
    this.#drop(4000, "");
    this.#wait(why);
  }

  /** Forgets the link; what had no answer is unknown, so sends wait to go out again under the same id. @param {number} code @param {string} reason */
  #drop(code, reason) {
    clearTimeout(this.#timer);
    this.#typing.on = false;
    const link = this.#link;
    this.#link = null;
    if (link) {
      link.onopen = link.onmessage = link.onclose = null;
      if (code === 1000 || code === 4000) link.close(code, reason);
    }
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request(null);
    for (const send of this.#outbox.values()) if (send.state === "sending") this.#settle(send, "waiting", {});
  }

  /** @param {string} text why @param {number} [seconds] said by the server; else the backoff */
  #wait(text, seconds) {
    this.#failures += 1;
    this.#reconnectIn = null;
    const pause = seconds ?? backoff(this.#failures);
    this.#events.link(`next try in ${pause.toFixed(1)} s`);
    this.#timer = setTimeout(() => this.connect(), pause * 1000);
    this.#enter("waiting", { text, seconds: pause });
  }

  /** Gives the connection up if nothing is heard in time. @param {number} ms */
  #answerBefore(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(`No answer within ${ms / 1000} s.`), ms);
  }

  /** @param {State} state @param {{text?: string, code?: number, seconds?: number}} [detail] */
  #enter(state, detail = {}) {
    this.#state = state;
    this.#events.state(state, detail);
  }
}
