// @ts-check
/**
 * One person on the page: a panel with the log, the company and a composer, on a client of the SDK. Draws what the
 * client tells, and counts what a resume has brought; connecting, resuming and sending again are the client's.
 */
import { connect } from "../sdk.js";
import { Cable, retryNow } from "./cable.js";
import { Company } from "./company.js";
import { el, fromTemplate, initials, toneOf } from "./dom.js";
import { Identity } from "./identity.js";
import { MessageLog } from "./log.js";
import { isJoined, randomToken } from "./protocol.js";

/** @import { Client, Gap, Room, RoomcastError } from "./types/sdk.js" */
/** @import { Kind } from "./cable.js" */
/** @import { Send } from "./log.js" */
/** @import { Envelope, Position, Refusal } from "./protocol.js" */
/** @import { Happening, Scene } from "./recipes.js" */
/** @typedef {"idle"|"connecting"|"joining"|"live"|"waiting"|"cut"|"stopped"} State as it is shown */
/**
 * Where a person tells what goes on.
 * @typedef {object} Inspector
 * @property {(person: Person, direction: "out"|"in", text: string, envelope: Envelope) => void} frame
 * @property {(person: Person, text: string) => void} link
 * @property {(what: Happening, scene: Scene) => void} happened
 * @property {(person: Person) => void} changed the name or the transport
 * @property {(person: Person) => void} roster
 */

const HISTORY = 50;
/** On one's own machine no crowd comes back at once. */
const BACKOFF = { base: 500, max: 5_000 };
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

/** What an error means to a person, where its message is for programmers. @type {Record<string, string>} */
const TROUBLES = {
  offline: "The connection was lost.",
  taken_over: "This session was opened in another tab, which took it over.",
};

export class Person {
  slot;
  name;
  #base;
  #kinds;
  #inspector;
  #parts;
  /** @type {Identity} */ #identity;
  /** @type {Cable} */ #cable;
  /** @type {Client} */ #client;
  /** @type {Room} */ #room;
  /** @type {MessageLog} */ #log;
  /** @type {Company} */ #company;
  /** Own messages without an answer. @type {Map<string, Send>} */ #sends = new Map();
  /** Where the reader was when the connection was lost. @type {Position|undefined} */ #since;
  /** Why it was. @type {"cut"|"lost"|"moved"|"refused"} */ #away = "lost";
  /** The room's last seq at the join, as its ack told. */ #head = 0;
  /** What a resume is still to bring: how many came of it, and the first. @type {{count: number, first: number}|null} */ #missed = null;
  /** The last seq that was shown. */ #seq = 0;
  /** Who is here, once that is known of this connection. @type {Set<string>|null} */ #here = null;

  /**
   * @param {{slot: string, name: string, room: string, base: URL, kinds: Kind[], over?: string}} place
   * @param {Inspector} inspector
   */
  constructor({ slot, name, room, base, kinds, over }, inspector) {
    this.slot = slot;
    this.name = name;
    this.#base = base;
    this.#kinds = kinds;
    this.#inspector = inspector;
    const { root, parts } = fromTemplate("person");
    this.root = root;
    this.#parts = parts;
    this.#identity = new Identity(slot, name);
    this.#cable = this.#newCable(this.#kindNamed(over));
    [this.#log, this.#company] = this.#newView();
    [this.#client, this.#room] = this.#connect(room);
    this.#offerKinds();
    this.#listen();
    this.#nameAll();
  }

  /** By what this person is connected. */
  get kind() {
    return this.#cable.kind;
  }

  /** Who is in the room, as far as names are told. */
  get company() {
    return this.#room.presence.members.map(({ user }) => user);
  }

  /** Goes to another room. @param {string} room */
  move(room) {
    this.#room.leave();
    this.#forget();
    if (this.#client.state === "closed") [this.#client, this.#room] = this.#connect(room);
    else this.#room = this.#enter(this.#client, room);
    this.#showEmpty();
    this.#showState();
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
    cable.addEventListener("click", () => this.#cutOrPlug());
    composer.addEventListener("submit", (/** @type {Event} */ event) => this.#submit(event));
    text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => isSend(event) && this.#submit(event));
    text.addEventListener("input", () => this.#room.typing(text.value !== ""));
    text.addEventListener("blur", () => this.#room.typing(false));
  }

  /** Another name is another user: a new session, and a clean good-bye from the old one. @param {string} name */
  #rename(name) {
    if (!name || name === this.name) return void (this.#parts.name.value = this.name);
    this.#client.close();
    this.#forget();
    this.name = name;
    this.#identity = new Identity(this.slot, name);
    this.#cable = this.#newCable(this.kind);
    [this.#log, this.#company] = this.#newView();
    [this.#client, this.#room] = this.#connect(this.#room.name);
    this.#nameAll();
    this.#inspector.changed(this);
  }

  /** Goes on over another transport: a position from one is good on every other. @param {string} name */
  #ride(name) {
    const state = this.#state;
    if (state !== "cut" && state !== "stopped") this.#away = "moved";
    this.#cable.exchange(this.#kindNamed(name));
    this.#inspector.changed(this);
  }

  #cutOrPlug() {
    switch (this.#state) {
      case "cut": this.#cable.plug(); break;
      case "waiting": retryNow(); break;
      case "stopped": this.#connectAgain(); break;
      default: this.#cut();
    }
    this.#showState();
  }

  #cut() {
    this.#away = "cut";
    this.#note("cable cut", "bad");
    this.#cable.cut();
  }

  /** After the server has refused the client, or the room to it. */
  #connectAgain() {
    const { name, position } = this.#room;
    this.#away = "refused";
    this.#client.close();
    [this.#client, this.#room] = this.#connect(name, position);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const { text } = this.#parts;
    const content = text.value;
    if (!content.trim()) return;
    text.value = "";
    const data = { content };
    this.#send(data);
    this.#room.typing(false);
    this.#happened("send", { data });
  }

  /** @param {Record<string, any>} data */
  #send(data) {
    /** @type {Send} */
    const send = { id: randomToken(), data, state: "waiting" };
    this.#sends.set(send.id, send);
    this.#log.send(send);
    this.#room.send("text", data, { id: send.id }).then(
      (ack) => this.#sends.delete(send.id) && this.#tick(send, "delivered", { ack }),
      (refusal) => this.#sends.delete(send.id) && this.#tick(send, "refused", { refusal }),
    );
  }

  /** @param {Send} send @param {Send["state"]} state @param {Partial<Send>} outcome */
  #tick(send, state, outcome = { refusal: undefined }) {
    this.#log.send(Object.assign(send, outcome, { state }));
  }

  // The client.

  /** @param {Kind} kind */
  #newCable(kind) {
    return new Cable(kind, this.#identity, {
      link: (text) => this.#inspector.link(this, text),
      frame: (direction, text, envelope) => {
        this.#inspector.frame(this, direction, text, envelope);
        this.#passed(direction, envelope);
      },
    });
  }

  /** A client of one's own in a room. @param {string} name @param {Position} [since] where to go on @returns {[Client, Room]} */
  #connect(name, since) {
    const url = new URL(this.#base);
    url.search = new URLSearchParams({ user: this.name }).toString();
    const client = connect(url, { transports: [this.#cable.transport], backoff: BACKOFF });
    client.on("state", (state, why) => client === this.#client && this.#connection(state, why));
    client.on("error", ({ code, message }) => client === this.#client && this.#trouble(`${code}: ${message}`));
    return [client, this.#enter(client, name, since)];
  }

  /** @param {Client} client @param {string} name @param {Position} [since] */
  #enter(client, name, since) {
    this.#since = since;
    const room = client.room(name, { since, last: since ? undefined : HISTORY });
    /** What another room still tells is no longer shown. @template {unknown[]} A @param {(...args: A) => void} show */
    const here = (show) => (/** @type {A} */ ...args) => void (room === this.#room && show(...args));
    room.on("state", here((state, why) => this.#place(state, why)));
    room.on("gap", here((gap) => this.#reload(gap)));
    room.on("*", here((message) => this.#message(message)));
    room.on("typing", here(({ data }) => this.#company.typist(data.author, data.typing)));
    room.presence.on("change", here(() => this.#presence()));
    return room;
  }

  /** @returns {State} */
  get #state() {
    const { state } = this.#client;
    const place = this.#room.state;
    if (state === "closed" || place === "denied" || place === "left") return "stopped";
    if (this.#cable.isCut) return "cut";
    return state === "online" ? place : state;
  }

  // What the client tells.

  /** @param {string} state @param {{error?: RoomcastError, retryIn?: number}} why */
  #connection(state, { error, retryIn = 0 }) {
    if (error?.code === "taken_over") this.#identity.renew();
    const wait = retryIn >= 1000 && !this.#cable.isCut;
    const next = state === "closed" ? "" : ` Next try in ${Math.ceil(retryIn / 1000)} s.`;
    this.#trouble(error && (wait || state === "closed") ? told(error) + next : "");
    if (this.#client.state === "waiting") this.#inspector.link(this, `next try in ${(retryIn / 1000).toFixed(1)} s`);
    this.#showState();
  }

  /** @param {string} state of this person in the room @param {{recovered?: boolean, error?: RoomcastError}} why */
  #place(state, { recovered, error }) {
    if (state === "denied" && error) this.#trouble(told(error));
    if (state === "joining") this.#left();
    if (state === "live") this.#joined(recovered);
    this.#showState();
  }

  /** The connection is lost: nobody knows what of the sends has arrived, nor who is here. */
  #left() {
    this.#since = this.#room.position;
    this.#here = this.#missed = null;
    for (const send of this.#sends.values()) this.#tick(send, "waiting");
  }

  /** @param {boolean} [recovered] */
  #joined(recovered) {
    this.#seq = this.#room.position?.seq ?? 0;
    this.#happened(this.#since ? "resume" : "join", { position: this.#since });
    if (!recovered) return;
    this.#missed = { count: 0, first: 0 };
    this.#caughtUp();
  }

  /** What passes on the wire, which the client has no event for. @param {"out"|"in"} direction @param {Envelope} envelope */
  #passed(direction, { type, id = "", data }) {
    const send = this.#sends.get(id);
    if (send && direction === "out") this.#tick(send, "sending");
    if (send && type === "error" && data.retryable) this.#tick(send, "waiting", { refusal: /** @type {Refusal} */ (data) });
    if (type === "ack" && isJoined(data)) this.#head = data.seq;
    if (type === "typing" && direction === "out" && data.typing) this.#happened("typing");
  }

  /** @param {Envelope} message */
  #message(message) {
    const { seq, data } = message;
    this.#company.typist(data.author, false);
    this.#log.message(message);
    this.#showEmpty();
    if (!seq) return;
    this.#seq = seq;
    if (!this.#missed) return;
    this.#missed = { count: this.#missed.count + 1, first: this.#missed.first || seq };
    this.#caughtUp();
  }

  #caughtUp() {
    if (!this.#missed || this.#seq < this.#head) return;
    this.#note(this.#resumption(this.#missed), "good");
    this.#missed = null;
    this.#away = "lost";
  }

  /** What a resume has brought, and what that shows. @param {{count: number, first: number}} missed */
  #resumption({ count, first }) {
    const head = this.#head;
    const missed = count ? `${count} recovered, seq ${count > 1 ? `${first}-${head}` : head}` : "nothing was missed";
    if (this.#away === "moved") return `${this.kind.label} from here on, ${missed}`;
    if (this.#away === "lost" && head) return count ? `nothing lost: the room was kept, ${missed}` : `nothing lost: the room was kept up to seq ${head}`;
    return count ? missed : `resumed, ${missed}`;
  }

  /** What is shown can't be continued: shows the room as it is now. @param {Gap} gap */
  async #reload({ reason, seq: head }) {
    const before = this.#seq;
    const room = this.#room;
    this.#log.restart();
    const note = this.#note(`reset: ${reason}, ${RESETS[reason] ?? "the server asks to load again"}`, "bad");
    const page = await room.history({ limit: HISTORY }).catch(() => null);
    if (!page || room !== this.#room) return;
    const kept = page.messages.find(({ seq = 0 }) => seq <= head);
    note.append(kept ? `; shown again from seq ${kept.seq} on` : `; nothing up to seq ${before} was kept`);
    for (const message of page.messages) this.#log.message(message);
    this.#showEmpty();
  }

  #presence() {
    const { members, count } = this.#room.presence;
    const before = this.#here;
    this.#here = new Set(this.company);
    if (before) this.#noteChanges(before, this.#here);
    this.#company.show(members, count);
    this.#inspector.roster(this);
  }

  /** @param {Set<string>} before @param {Set<string>} now */
  #noteChanges(before, now) {
    const came = [...now].filter((user) => !before.has(user) && user !== this.name);
    const gone = [...before].filter((user) => !now.has(user) && user !== this.name);
    for (const user of gone) this.#company.typist(user, false);
    if (this.#room.presence.count > NOTED_MAX) return;
    for (const user of came) this.#note(`${user} joined`);
    for (const user of gone) this.#note(`${user} left`);
  }

  /** @param {string} [name] */
  #kindNamed(name) {
    return this.#kinds.find((kind) => kind.name === name) ?? this.#kinds[0];
  }

  // Drawing.

  #showState() {
    const state = this.#state;
    const { label, action, icon } = STATES[state];
    this.root.dataset.state = state;
    this.#parts.state.textContent = label;
    this.#parts["cable-text"].textContent = action;
    this.#parts["cable-icon"].setAttribute("href", `#icon-${icon}`);
    this.#parts.text.placeholder = state === "cut" || state === "waiting" ? "Write now, sent when you are back" : "Write a message";
    if (state !== "live") this.#company.nobodyTypes();
  }

  #offerKinds() {
    const { transport } = this.#parts;
    for (const { name, label } of this.#kinds) {
      const option = el("option", "", label);
      option.value = name;
      transport.append(option);
    }
    transport.value = this.kind.name;
  }

  /** @returns {[MessageLog, Company]} */
  #newView() {
    const { messages, text } = this.#parts;
    const edit = (/** @type {Record<string, any>} */ { content }) => {
      text.value = content;
      text.focus();
    };
    return [new MessageLog(messages, this.name, edit), new Company(this.#parts, this.name)];
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
    this.#sends.clear();
    this.#log.clear();
    this.#company.nobodyTypes();
    this.#company.show([], 0);
    this.#here = this.#missed = null;
    this.#away = "lost";
    this.#trouble("");
  }

  #showEmpty() {
    const others = this.slot === "solo" ? "in every other tab" : "on the other side";
    this.#parts.empty.textContent = `Nothing has been said in ${this.#room.name} yet. What you write appears ${others}.`;
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
    const { name, position } = this.#room;
    this.#inspector.happened(what, { base: this.#base, room: name, user: this.name, transport: this.kind.name, position, ...more });
  }
}

/** @param {RoomcastError} error why there is no connection */
function told({ code, message, retryable }) {
  return TROUBLES[code] ?? `${retryable ? "The server closed the connection" : "The server refused"}: ${message.replace(/\.$/, "")}.`;
}

/** Enter sends, Shift+Enter starts a line, and Enter that ends a composition does neither. @param {KeyboardEvent} event */
function isSend(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}
