// @ts-check
/** Who else is there, as one person sees it: the chips of those in the room, and the dots of those who type. */
import { el, initials, toneOf } from "./dom.js";

/** @import { Member } from "./types/sdk.js" */

/** The server ends a typing lease after 5 s; this is for a page that missed it. */
const TYPING_MS = 6_000;
const MEMBERS_SHOWN = 6;

export class Company {
  #parts;
  /** Who looks. */ #me;
  /** Who types, each with the timer that ends it. @type {Map<string, ReturnType<typeof setTimeout>>} */ #typists = new Map();

  /** @param {Record<string, any>} parts of the panel @param {string} me */
  constructor(parts, me) {
    this.#parts = parts;
    this.#me = me;
    this.show([], 0);
    this.#showTypists();
  }

  /** @param {Member[]} all those whose names are told @param {number} total */
  show(all, total) {
    const { members, count } = this.#parts;
    members.replaceChildren(...all.slice(0, MEMBERS_SHOWN).map((member) => this.#chip(member)));
    const more = total - members.childElementCount;
    count.textContent = more <= 0 ? "" : all.length ? `and ${more} more` : `${total} here`;
  }

  /** @param {string|undefined} author @param {boolean} on */
  typist(author, on) {
    if (!author) return;
    clearTimeout(this.#typists.get(author));
    this.#typists.delete(author);
    if (on && author !== this.#me) this.#typists.set(author, setTimeout(() => this.typist(author, false), TYPING_MS));
    this.#showTypists();
  }

  nobodyTypes() {
    for (const timer of this.#typists.values()) clearTimeout(timer);
    this.#typists.clear();
    this.#showTypists();
  }

  /** @param {Member} member */
  #chip({ user, connections }) {
    const avatar = el("span", "avatar", initials(user));
    avatar.ariaHidden = "true";
    const chip = el("li", "chip", avatar, el("bdi", "", user));
    if (user === this.#me) chip.append(el("span", "aside", "you"));
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
}
