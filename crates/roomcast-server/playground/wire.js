// @ts-check
/**
 * The wire view: every envelope of every person on this page, both ways, and what happened to the links. Keeps
 * the last few hundred, draws at most once a frame of the screen, and builds a row's JSON when it is opened.
 */
import { byId, copyOnClick, el, initials, stickToEnd, timeOf, toneOf } from "./dom.js";
import { isJoined } from "./protocol.js";
import { coloured, showHidden } from "./syntax.js";

/** @import { Envelope } from "./protocol.js" */
/**
 * @typedef {object} Frame
 * @property {string} slot whose
 * @property {string} name
 * @property {"out"|"in"|"link"} direction
 * @property {string} type
 * @property {string} gist
 * @property {string} text as it was on the wire
 * @property {number} at Unix seconds
 */
/** @typedef {{frame: Frame, element: HTMLLIElement}} Row */

const FRAMES_MAX = 300;
const ARROWS = { out: "↑", in: "↓", link: "·" };
const SPOKEN = { out: "sent", in: "received", link: "link" };

export class Wire {
  #list = byId("frames", HTMLOListElement);
  #who = byId("wire-who", HTMLSelectElement);
  #type = byId("wire-type", HTMLSelectElement);
  #pretty = byId("wire-pretty", HTMLInputElement);
  #stick = stickToEnd(/** @type {HTMLElement} */ (this.#list.parentElement));
  /** @type {Row[]} */ #rows = [];
  /** Not drawn yet. @type {Frame[]} */ #fresh = [];

  constructor() {
    for (const filter of [this.#who, this.#type]) filter.addEventListener("change", () => this.#filter());
    this.#pretty.addEventListener("change", () => this.#openAll());
    byId("wire-clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    copyOnClick(byId("wire-copy", HTMLButtonElement), () => this.#copied());
  }

  /** Names one person in the filter. @param {string} slot @param {string} name */
  person(slot, name) {
    const option = [...this.#who.options].find(({ value }) => value === slot) ?? this.#who.appendChild(el("option"));
    option.value = slot;
    option.textContent = name;
  }

  /** @param {{slot: string, name: string}} person @param {"out"|"in"} direction @param {string} text @param {Envelope} envelope what it says */
  frame({ slot, name }, direction, text, envelope) {
    this.#add({ slot, name, direction, type: envelope.type, gist: gistOf(envelope), text, at: Date.now() / 1000 });
  }

  /** @param {{slot: string, name: string, kind: {word: string}}} person @param {string} text */
  link({ slot, name, kind }, text) {
    this.#add({ slot, name, direction: "link", type: kind.word, gist: text, text, at: Date.now() / 1000 });
  }

  /** @param {Frame} frame */
  #add(frame) {
    if (this.#fresh.length === 0) requestAnimationFrame(() => this.#draw());
    this.#fresh.push(frame);
    if (this.#fresh.length > FRAMES_MAX) this.#fresh.shift();
  }

  #draw() {
    const rows = this.#fresh.map((frame) => ({ frame, element: this.#row(frame) }));
    this.#fresh = [];
    for (const { frame } of rows) this.#offer(frame.type);
    this.#rows.push(...rows);
    for (const old of this.#rows.splice(0, this.#rows.length - FRAMES_MAX)) old.element.remove();
    this.#list.append(...rows.map(({ element }) => element));
    this.#filter(rows);
  }

  /** @param {Frame} frame */
  #row(frame) {
    const who = el("span", "avatar", initials(frame.name));
    who.title = frame.name;
    const arrow = el("span", "arrow", ARROWS[frame.direction], el("span", "hidden", ` ${frame.name} ${SPOKEN[frame.direction]} `));
    const gist = el("span", "gist", frame.gist);
    gist.title = frame.direction === "link" ? frame.gist : "";
    const line = [timeOf(frame.at, true), who, arrow, el("span", "type", frame.type), gist];
    const element = el("li", `frame ${frame.direction}`);
    element.dataset.tone = toneOf(frame.name);
    element.dataset.kind = frame.type;
    if (frame.direction === "link") element.append(el("p", "line", ...line));
    else element.append(this.#details(frame, line));
    return element;
  }

  /** @param {Frame} frame @param {Node[]} line */
  #details(frame, line) {
    const details = el("details", "", el("summary", "line", ...line));
    details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(bodyOf(frame)));
    details.open = this.#pretty.checked;
    return details;
  }

  /** @param {string} type */
  #offer(type) {
    if ([...this.#type.options].some(({ value }) => value === type)) return;
    const option = el("option", "", type);
    option.value = type;
    this.#type.append(option);
  }

  /** @param {Frame} frame */
  #wanted({ slot, type }) {
    return (this.#who.value || slot) === slot && (this.#type.value || type) === type;
  }

  #filter(rows = this.#rows) {
    for (const { frame, element } of rows) element.hidden = !this.#wanted(frame);
    this.#list.classList.toggle("none", !this.#rows.some(({ element }) => !element.hidden));
    this.#stick();
  }

  #openAll() {
    for (const details of this.#list.querySelectorAll("details")) details.open = this.#pretty.checked;
    this.#stick();
  }

  #clear() {
    this.#rows = [];
    this.#list.replaceChildren();
    this.#filter();
  }

  /** What is shown, a line a frame, for an issue or a mail. */
  #copied() {
    const shown = this.#rows.map(({ frame }) => frame).filter((frame) => this.#wanted(frame));
    return shown.map(({ at, name, direction, text }) => `${new Date(at * 1000).toISOString()} ${name} ${ARROWS[direction]} ${text}\n`).join("");
  }
}

/** @param {Frame} frame */
function bodyOf({ text }) {
  const copy = el("button", "button quiet small", "Copy");
  copy.type = "button";
  copyOnClick(copy, () => text);
  const pretty = showHidden(JSON.stringify(JSON.parse(text), null, 2));
  return el("div", "body", el("pre", "source", coloured(pretty, "json")), copy);
}

/** What a frame says, in a few words. @param {Envelope} message */
function gistOf({ type, data = {}, seq }) {
  const place = seq === undefined ? "" : `${seq} `;
  switch (type) {
    case "system": return data.event === "reset" ? `reset: ${data.reason}` : `${data.event} ${data.user ?? ""}`;
    case "ack": return ackGist(data);
    case "error": return `${data.code}: ${data.message}`;
    case "presence": return [data.event, data.user ?? `${data.count} here`].join(" ");
    case "typing": return [data.author, data.typing ? "types" : "stopped"].filter(Boolean).join(" ");
    case "join": return data.since ? `since ${data.since}` : `last ${data.last}`;
    case "text": return `${place}“${String(data.content).slice(0, 120)}”`;
    default: return `${place}${JSON.stringify(data).slice(0, 120)}`;
  }
}

/** @param {Record<string, any>} data */
function ackGist(data) {
  if (isJoined(data)) return `joined, head ${data.seq}${data.recovered ? ", recovered" : ""}`;
  if (data.messages) return `history, ${data.messages.length} messages`;
  if (data.status === "delivered") return `delivered at ${data.seq}${data.duplicate ? ", duplicate" : ""}`;
  return String(data.status ?? "");
}
