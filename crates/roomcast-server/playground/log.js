// @ts-check
/**
 * What one person has read and written, in the order of the room's log. Own messages stand at the end until their
 * place is known, then move there.
 */
import { el, initials, stickToEnd, timeOf, toneOf } from "./dom.js";

/** @import { Ack } from "./types/sdk.js" */
/** @import { Envelope, Refusal } from "./protocol.js" */
/**
 * A message on its way: `waiting` for a connection, `sending` until the answer, then `delivered` or `refused`.
 * @typedef {object} Send
 * @property {string} id
 * @property {Record<string, any>} data
 * @property {"waiting"|"sending"|"delivered"|"refused"} state
 * @property {Ack} [ack]
 * @property {Refusal} [refusal] why it isn't sent, or not yet
 */
/**
 * @typedef {object} Row
 * @property {HTMLLIElement} element
 * @property {number|null} seq the place; null while it isn't known
 * @property {string|null} author null for a note
 * @property {boolean} settled whether it stands where it will stay
 * @property {HTMLElement} [meta] when it was said, and where it stands
 * @property {HTMLElement} [trouble] why it isn't sent, and what to do
 */

const ROWS_MAX = 500;
const LONG = 1_500;

export class MessageLog {
  #list;
  #me;
  #edit;
  #stick;
  /** As on the page: settled rows by seq, then those on their way. @type {Row[]} */ #rows = [];
  /** Own sends that are still on their way. @type {Map<string, Row>} */ #pending = new Map();
  /** @type {Set<number>} */ #seqs = new Set();

  /**
   * @param {HTMLElement} list an `ol` in a scroller
   * @param {string} me
   * @param {(data: Record<string, any>) => void} edit takes a refused message back into the composer
   */
  constructor(list, me, edit) {
    this.#list = list;
    this.#me = me;
    this.#edit = edit;
    this.#stick = stickToEnd(/** @type {HTMLElement} */ (list.parentElement));
  }

  clear() {
    this.#rows = [];
    this.#pending.clear();
    this.#seqs.clear();
    this.#list.replaceChildren();
  }

  /** Forgets what stood in the log; what is on its way there stays. */
  restart() {
    for (const { element, settled } of this.#rows) if (settled) element.remove();
    this.#rows = this.#rows.filter(({ settled }) => !settled);
    this.#seqs.clear();
  }

  /** A line that is no message: who came, what the connection did. @param {string} text @param {string} kind */
  note(text, kind = "") {
    const span = el("span", "", text);
    this.#place({ element: el("li", `note ${kind}`, span), seq: null, author: null, settled: true });
    return span;
  }

  /** A message of the room, from the log or live. @param {Envelope} message */
  message(message) {
    const { seq, id, data, timestamp = Date.now() / 1000 } = message;
    const own = id !== undefined && data.author === this.#me ? this.#pending.get(id) : undefined;
    if (own) return this.#arrived(own, seq, timestamp, false);
    if (seq !== undefined && this.#seqs.has(seq)) return;
    const row = this.#row(String(data.author ?? ""), contentOf(message));
    this.#meta(row, timestamp, seq === undefined ? "" : this.#tick(row, seq));
    this.#place(Object.assign(row, { seq: seq ?? null, settled: true }));
  }

  /** A send of this person, whenever its state changes. @param {Send} send */
  send(send) {
    const row = this.#pending.get(send.id) ?? this.#begin(send);
    row.element.dataset.state = send.state;
    if (send.ack) {
      this.#pending.delete(send.id);
      return this.#arrived(row, send.ack.seq, send.ack.timestamp, send.ack.duplicate);
    }
    if (row.settled) return;
    const tick = el("span", "tick", TICKS[send.state] ?? "");
    row.meta?.replaceChildren(tick);
    row.trouble?.replaceChildren(...(send.refusal ? this.#trouble(send) : []));
    this.#stick();
  }

  /** @param {Send} send */
  #begin(send) {
    const row = this.#row(this.#me, contentOf({ type: "text", data: send.data }));
    this.#pending.set(send.id, row);
    this.#place(row);
    return row;
  }

  /** An own message has its place. @param {Row} row @param {number|undefined} seq @param {number} timestamp @param {boolean} duplicate */
  #arrived(row, seq, timestamp, duplicate) {
    if (row.settled) return;
    row.element.dataset.state = "delivered";
    this.#meta(row, timestamp, seq === undefined ? el("span", "tick", "delivered") : this.#tick(row, seq, duplicate));
    this.#rows.splice(this.#rows.indexOf(row), 1);
    this.#place(Object.assign(row, { seq: seq ?? null, settled: true }));
  }

  /** Puts a row where its seq belongs: before what is on its way, and before greater seqs. @param {Row} row */
  #place(row) {
    let index = this.#rows.length;
    const before = (/** @type {Row} */ other) => row.settled && (!other.settled || (row.seq !== null && (other.seq ?? -1) > row.seq));
    while (index > 0 && before(this.#rows[index - 1])) index -= 1;
    this.#list.insertBefore(row.element, this.#rows[index]?.element ?? null);
    this.#rows.splice(index, 0, row);
    if (row.seq !== null) this.#seqs.add(row.seq);
    this.#group(index);
    this.#group(index + 1);
    this.#forget();
    this.#stick();
  }

  /** Messages of one author in a row share a name and an avatar. @param {number} index */
  #group(index) {
    const row = this.#rows[index];
    if (row) row.element.classList.toggle("continued", row.author !== null && this.#rows[index - 1]?.author === row.author);
  }

  #forget() {
    if (this.#rows.length <= ROWS_MAX) return;
    const [oldest] = this.#rows.splice(0, 1);
    oldest.element.remove();
    if (oldest.seq !== null) this.#seqs.delete(oldest.seq);
    this.#group(0);
  }

  /** @param {string} author @param {HTMLElement} content @returns {Row} */
  #row(author, content) {
    const own = author === this.#me;
    const avatar = el("span", "avatar", initials(author));
    avatar.ariaHidden = "true";
    const name = el("p", "author", author || "no author");
    const meta = el("p", "meta");
    const trouble = el("div", "refused");
    const element = el("li", own ? "message own" : "message", avatar, el("div", "bubble", name, content, meta, trouble));
    element.dataset.tone = toneOf(author);
    return { element, seq: null, author, settled: false, meta, trouble };
  }

  /** @param {Row} row @param {number} timestamp @param {string|Node} tick */
  #meta(row, timestamp, tick) {
    row.meta?.replaceChildren(timeOf(timestamp), tick);
    row.trouble?.replaceChildren();
  }

  /** @param {Row} row @param {number} seq */
  #tick(row, seq, duplicate = false) {
    row.element.dataset.seq = String(seq);
    const own = row.author === this.#me;
    const spoken = el("span", "hidden", own ? "Delivered, number " : "Number ");
    const tick = el("span", "tick", spoken, String(seq), duplicate ? " (sent twice, kept once)" : "");
    tick.title = own ? `Delivered: in the room's log as number ${seq}` : `Number ${seq} in the room's log`;
    return tick;
  }

  /** Why a send was refused, and what to do. @param {Send} send */
  #trouble(send) {
    const { code = "", message = "", retry_after } = send.refusal ?? {};
    const again = send.state === "waiting" ? ` It is sent again by itself in ${retry_after ?? 1} s.` : "";
    const why = el("p", "", el("b", "", code), ` ${[message, REMEDIES[code]].filter(Boolean).join(". ")}${again}`);
    if (send.state === "waiting") return [why];
    const edit = el("button", "button small", "Edit and send again");
    edit.type = "button";
    edit.addEventListener("click", () => this.#takeBack(send));
    return [why, edit];
  }

  /** @param {Send} send */
  #takeBack(send) {
    const row = this.#pending.get(send.id);
    if (!row) return;
    this.#pending.delete(send.id);
    const index = this.#rows.indexOf(row);
    this.#rows.splice(index, 1);
    row.element.remove();
    this.#group(index);
    this.#edit(send.data);
  }
}

/** @type {Partial<Record<Send["state"], string>>} */
const TICKS = { waiting: "waiting…", sending: "sending…", refused: "not sent" };

/** What to do about a refusal, where its message leaves that to the application. @type {Record<string, string>} */
const REMEDIES = {
  too_large: "Shorten it, or send it in parts.",
  queue_full: "Connect first.",
};

/** The text of a message; of an application's own type, its data. @param {Pick<Envelope, "type"|"data">} message */
function contentOf({ type, data }) {
  const { author, ...rest } = data;
  const plain = type === "text" && typeof data.content === "string";
  const content = el("p", plain ? "content" : "content raw", plain ? data.content : `${type} ${JSON.stringify(rest)}`);
  content.dir = "auto";
  return content.textContent.length > LONG ? clamped(content) : content;
}

/** Shows the beginning of a long text, and the rest on demand. @param {HTMLElement} content */
function clamped(content) {
  const more = el("button", "button small", `Show all ${content.textContent.length.toLocaleString("en")} characters`);
  more.type = "button";
  more.addEventListener("click", () => {
    content.classList.remove("clamped");
    more.remove();
  });
  content.classList.add("clamped");
  return el("div", "", content, more);
}
