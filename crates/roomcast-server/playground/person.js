// @ts-check
/**
 * One person on the page: a panel with the log, who is here, who types and a composer, on a connection of its own.
 * Draws what the client tells; decides nothing about the wire.
 */
import { RoomClient } from "./client.js";
import { el, fromTemplate, initials, toneOf } from "./dom.js";
import { Identity } from "./identity.js";
import { MessageLog } from "./log.js";
import { Roster } from "./roster.js";

/** @import { Missed, State } from "./client.js" */
/** @import { Transport } from "./links.js" */
/** @import { Joined, Position, Refusal } from "./protocol.js" */
/** @import { Happening, Scene } from "./recipes.js" */
/**
 * Where a person tells what goes on.
 * @typedef {object} Inspector
 * @property {(person: Person, direction: "out"|"in", text: string) => void} frame
 * @property {(person: Person, text: string) => void} link
 * @property {(what: Happening, scene: Scene) => void} happened
 * @property {(person: Person) => void} changed the name or the transport
 * @property {(person: Person) => void} roster
 */

const HISTORY = 50;
/** The server ends a typing lease after 5 s; this is for a page that missed it. */
const TYPING_MS = 6_000;
const MEMBERS_SHOWN = 6;
/** Above this many people, comings and goings would drown the talk. */
const NOTED_MAX = 20;

/** @type {Record<State, {label: string, action: string, icon: string}>} */
const STATES = {
  idle: { label: "not connected", action: "Connect", icon: "plug" },
  connecting: { label: "connecting…", action: "Cut the cable", icon: "cut" },
  joining: { label: "joining…", action: "Cut the cable", icon: "cut" },
  live: { label: "live", action: "Cut the cable", icon: "cut" },
  waiting: { label: "offline", action: "Try now", icon: "plug" },
  cut: { label: "cable cut", action: "Plug it back in", icon: "plug" },
  stopped: { label: "stopped", action: "Connect again", icon: "plug" },
};

/** @type {Record<string, string>} */
const RESETS = {
  epoch: "the room's log has begun anew",
  too_old: "what was missed is no longer kept",
  future: "this reader was ahead of the room",
};

export class Person {
  slot;
  name;
  /** @type {Transport} */ transport;
  roster = new Roster();
  #base;
  #transports;
  #inspector;
  #parts;
  /** @type {Identity} */ #identity;
  /** @type {RoomClient} */ #client;
  /** @type {MessageLog} */ #log;
  /** Why there is no connection, or was none. @type {"cut"|"lost"|"moved"} */ #away = "cut";
  /** Who types, each with the timer that ends it. @type {Map<string, ReturnType<typeof setTimeout>>} */ #typists = new Map();

  /**
   * @param {{slot: string, name: string, room: string, base: URL, transports: Transport[], over?: string}} place
   * @param {Inspector} inspector
   */
  constructor({ slot, name, room, base, transports, over }, inspector) {
    this.slot = slot;
    this.name = name;
    this.#base = base;
    this.#transports = transports;
    this.transport = this.#transportNamed(over);
    this.#inspector = inspector;
    const { root, parts } = fromTemplate("person");
    this.root = root;
    this.#parts = parts;
    this.#identity = new Identity(slot, name);
    this.#log = this.#newLog();
    this.#client = this.#newClient(room);
    this.#offerTransports();
    this.#listen();
    this.#nameAll();
  }

  connect() {
    this.#client.connect();
  }

  /** Goes to another room. @param {string} room */
  move(room) {
    this.#forget();
    this.#client.move(room);
  }

  /** Whether a screen reader is told of new messages here: one panel at a time. @param {boolean} on */
  attended(on) {
    this.#parts.log.ariaLive = on ? "polite" : "off";
  }

  // What the person does.

  #listen() {
    const { name, transport, cable, composer, text } = this.#parts;
    name.addEventListener("change", () => this.#rename(name.value.trim()));
    name.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && name.blur());
    transport.addEventListener("change", () => this.#ride(transport.value));
    cable.addEventListener("click", () => this.#pullOrPlug());
    composer.addEventListener("submit", (/** @type {Event} */ event) => this.#submit(event));
    text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => isSend(event) && this.#submit(event));
    text.addEventListener("input", () => this.#typed());
    text.addEventListener("blur", () => this.#client.typing(false));
  }

  /** Another name is another user: a new session, and a clean good-bye from the old one. @param {string} name */
  #rename(name) {
    if (!name || name === this.name) return void (this.#parts.name.value = this.name);
    const { room } = this.#client;
    this.#client.close();
    this.#forget();
    this.name = name;
    this.#identity = new Identity(this.slot, name);
    this.#log = this.#newLog();
    this.#client = this.#newClient(room);
    this.#nameAll();
    this.#inspector.changed(this);
    this.connect();
  }

  /** Goes on over another transport: a position from one is good on every other. @param {string} over */
  #ride(over) {
    this.transport = this.#transportNamed(over);
    this.#inspector.changed(this);
    if (!["connecting", "joining", "live", "waiting"].includes(this.#client.state)) return;
    this.#away = "moved";
    this.#client.reconnect();
  }

  #pullOrPlug() {
    const on = ["connecting", "joining", "live"].includes(this.#client.state);
    if (on) this.#client.cut();
    else this.#client.connect();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const { text } = this.#parts;
    const content = text.value;
    if (!content.trim()) return;
    text.value = "";
    const data = { content };
    this.#log.send(this.#client.send("text", data));
    this.#client.typing(false);
    this.#happened("send", { data });
  }

  #typed() {
    const told = this.#client.typing(this.#parts.text.value !== "");
    if (told && this.#parts.text.value) this.#happened("typing");
  }

  // What the client tells.

  /** @param {string} room */
  #newClient(room) {
    const address = () => ({ base: this.#base, user: this.name, ...this.#identity.next() });
    const open = (/** @type {(text: string) => void} */ told) => this.transport.open({ ...address(), told });
    return new RoomClient({ room, last: HISTORY, open }, {
      state: (state, detail) => this.#showState(state, detail),
      frame: (direction, text) => this.#inspector.frame(this, direction, text),
      link: (text) => this.#inspector.link(this, text),
      joined: (ack, since) => this.#joined(ack, since),
      resumed: (missed) => this.#note(this.#resumption(missed), "good"),
      reset: (reset, before) => this.#reload(reset, before),
      message: (message) => this.#message(message),
      typing: ({ author, typing }) => this.#typist(author, typing),
      presence: (data) => this.#presence(data),
      send: (send) => this.#log.send(send),
      refusal: (refusal) => this.#refused(refusal),
    });
  }

  /** @param {State} state @param {{text?: string, code?: number, seconds?: number}} detail */
  #showState(state, { text = "", code, seconds = 0 }) {
    const { label, action, icon } = STATES[state];
    this.root.dataset.state = state;
    this.#parts.state.textContent = label;
    this.#parts["cable-text"].textContent = action;
    this.#parts["cable-icon"].setAttribute("href", `#icon-${icon}`);
    this.#parts.text.placeholder = state === "cut" || state === "waiting" ? "Write now, sent when you are back" : "Write a message";
    if (state !== "live") this.#nobodyTypes();
    if (state === "cut") this.#note("cable cut", "bad");
    if (state === "cut") this.#away = "cut";
    if (state === "waiting") this.#away = "lost";
    if (code === 4009) this.#identity.renew();
    const next = state === "waiting" ? ` Next try in ${Math.ceil(seconds)} s.` : "";
    this.#trouble(state === "stopped" || seconds >= 1 ? text + next : "");
  }

  /** @param {Joined} ack @param {Position|null} since */
  #joined(ack, since) {
    this.roster.joined(ack);
    this.#showRoster();
    this.#happened(since ? "resume" : "join", { position: since });
  }

  /** What a resume has brought, and what that shows. @param {Missed} missed */
  #resumption({ count, first, head }) {
    const missed = count ? `${count} recovered, seq ${count > 1 ? `${first}-${head}` : head}` : "nothing was missed";
    if (this.#away === "moved") return `${this.transport.label} from here on, ${missed}`;
    if (this.#away === "lost" && head) return count ? `nothing lost: the room was kept, ${missed}` : `nothing lost: the room was kept up to seq ${head}`;
    return count ? missed : `resumed, ${missed}`;
  }

  /** What is shown can't be continued: shows the room as it is now. @param {{reason: string, seq: number}} reset @param {number} before the seq read last */
  async #reload({ reason, seq: head }, before) {
    this.#log.restart();
    const note = this.#note(`reset: ${reason}, ${RESETS[reason] ?? "the server asks to load again"}`, "bad");
    const messages = await this.#client.history(HISTORY);
    if (!messages) return;
    const kept = messages.find(({ seq = 0 }) => seq <= head);
    note.append(kept ? `; shown again from seq ${kept.seq} on` : `; nothing up to seq ${before} was kept`);
    for (const message of messages) this.#log.message(message);
    this.#showEmpty();
  }

  /** @param {import("./protocol.js").Envelope} message */
  #message(message) {
    this.#typist(message.data.author, false);
    this.#log.message(message);
    this.#showEmpty();
  }

  /** @param {Record<string, any>} data */
  #presence(data) {
    const { fresh, members } = this.roster;
    const before = new Set(members.keys());
    const whole = this.roster.apply(data);
    if (fresh) this.#noteChanges(before);
    this.#showRoster();
    if (!whole) this.#repairRoster();
  }

  /** Says who came and went, whether the wire told the change or, to polls, the whole roster. @param {Set<string>} before */
  #noteChanges(before) {
    const { members, count } = this.roster;
    const came = [...members.keys()].filter((user) => !before.has(user) && user !== this.name);
    const gone = [...before].filter((user) => !members.has(user) && user !== this.name);
    for (const user of gone) this.#typist(user, false);
    if (count > NOTED_MAX) return;
    for (const user of came) this.#note(`${user} joined`);
    for (const user of gone) this.#note(`${user} left`);
  }

  /** A change was missed: asks for the whole roster. */
  async #repairRoster() {
    const url = new URL(`rooms/${encodeURIComponent(this.#client.room)}/presence`, this.#base);
    url.search = new URLSearchParams({ user: this.name }).toString();
    const answer = await fetch(url);
    if (!answer.ok) return this.#trouble(`Who is here can't be told: the server answered ${answer.status}.`);
    this.roster.replace(await answer.json());
    this.#showRoster();
  }

  /** @param {Refusal} refusal */
  #refused({ code, message }) {
    this.#trouble(`${code}: ${message}`);
  }

  /** @param {string} author @param {boolean} on */
  #typist(author, on) {
    clearTimeout(this.#typists.get(author));
    this.#typists.delete(author);
    if (on && author !== this.name) this.#typists.set(author, setTimeout(() => this.#typist(author, false), TYPING_MS));
    this.#showTypists();
  }

  /** @param {string} [name] */
  #transportNamed(name) {
    return this.#transports.find((transport) => transport.name === name) ?? this.#transports[0];
  }

  // Drawing.

  #offerTransports() {
    const { transport } = this.#parts;
    for (const { name, label } of this.#transports) {
      const option = el("option", "", label);
      option.value = name;
      transport.append(option);
    }
    transport.value = this.transport.name;
  }

  #newLog() {
    return new MessageLog(this.#parts.messages, this.name, ({ content }) => {
      this.#parts.text.value = content;
      this.#parts.text.focus();
    });
  }

  #nameAll() {
    const { avatar, name, text, log } = this.#parts;
    this.root.ariaLabel = this.name;
    this.root.dataset.tone = toneOf(this.name);
    avatar.textContent = initials(this.name);
    name.value = this.name;
    text.ariaLabel = `Message as ${this.name}`;
    log.ariaLabel = `Messages, as ${this.name} reads them`;
    this.#showEmpty();
  }

  #forget() {
    this.#log.clear();
    this.#nobodyTypes();
    this.roster = new Roster();
    this.#showRoster();
    this.#trouble("");
    this.#showEmpty();
  }

  #showEmpty() {
    const others = this.slot === "solo" ? "in every other tab" : "on the other side";
    this.#parts.empty.textContent = `Nothing has been said in ${this.#client.room} yet. What you write appears ${others}.`;
  }

  #showRoster() {
    const { members, count } = this.#parts;
    const here = [...this.roster.members.values()];
    members.replaceChildren(...here.slice(0, MEMBERS_SHOWN).map((member) => this.#chip(member)));
    const more = this.roster.count - members.childElementCount;
    count.textContent = here.length ? (more > 0 ? `and ${more} more` : "") : this.roster.count ? `${this.roster.count} here` : "";
    this.#inspector.roster(this);
  }

  /** @param {import("./protocol.js").Member} member */
  #chip({ user, connections }) {
    const avatar = el("span", "avatar", initials(user));
    avatar.ariaHidden = "true";
    const chip = el("li", "chip", avatar, el("bdi", "", user));
    if (user === this.name) chip.append(el("span", "aside", "you"));
    if (connections > 1) chip.append(el("span", "aside", `× ${connections}`));
    chip.dataset.tone = toneOf(user);
    return chip;
  }

  #showTypists() {
    const names = [...this.#typists.keys()];
    const text = names.length > 2 ? `${names.length} people are typing` : `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing`;
    this.#parts["typing-text"].textContent = names.length ? text : "";
    this.#parts.typing.classList.toggle("on", names.length > 0);
  }

  #nobodyTypes() {
    for (const timer of this.#typists.values()) clearTimeout(timer);
    this.#typists.clear();
    this.#showTypists();
  }

  /** @param {string} text @param {string} [kind] */
  #note(text, kind) {
    return this.#log.note(text, kind);
  }

  /** @param {string} text nothing hides the line */
  #trouble(text) {
    this.#parts.trouble.textContent = text;
    this.#parts.trouble.hidden = text === "";
  }

  /** @param {Happening} what @param {Partial<Scene>} [more] */
  #happened(what, more = {}) {
    this.#inspector.happened(what, { base: this.#base, room: this.#client.room, user: this.name, transport: this.transport.name, position: this.#client.position, ...more });
  }
}

/** Enter sends, Shift+Enter starts a line, and Enter that ends a composition does neither. @param {KeyboardEvent} event */
function isSend(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}
