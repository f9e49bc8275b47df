// @ts-check
/**
 * The few things every part of the page does with elements. Text goes in as text: nothing here, or anywhere in the
 * playground, reads a string as HTML.
 */

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} className
 * @param {...(Node|string)} children strings become text
 */
export function el(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/**
 * The element of the page with this id.
 * @template {HTMLElement} T
 * @param {string} id @param {new () => T} kind @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`index.html has no ${kind.name} #${id}`);
}

/** A fresh copy of a template and the elements in it that are named by `data-part`. @param {string} id */
export function fromTemplate(id) {
  const copy = document.importNode(byId(id, HTMLTemplateElement).content, true);
  const root = /** @type {HTMLElement} */ (copy.firstElementChild);
  /** @type {Record<string, any>} */
  const parts = {};
  for (const part of root.querySelectorAll("[data-part]")) parts[/** @type {HTMLElement} */ (part).dataset.part ?? ""] = part;
  return { root, parts };
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockFine = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** A `<time>` for a Unix time in seconds. @param {number} seconds */
export function timeOf(seconds, fine = false) {
  const date = new Date(seconds * 1000);
  const time = el("time", "", (fine ? clockFine : clock).format(date));
  time.dateTime = date.toISOString();
  time.title = date.toLocaleString();
  return time;
}

/**
 * Keeps a scrolling list at its newest end, unless the reader has scrolled away from it.
 * @param {HTMLElement} scroller
 * @returns {() => void} to be called after something was added
 */
export function stickToEnd(scroller) {
  let atEnd = true;
  let due = false;
  /** Where the end was when it was last looked at: lines that came since are no sign that the reader went away. */
  let end = 0;
  scroller.addEventListener("scroll", () => {
    atEnd = scroller.scrollTop + scroller.clientHeight > Math.min(end, scroller.scrollHeight) - 48;
  });
  const settle = () => {
    due = false;
    end = scroller.scrollHeight;
    if (atEnd) scroller.scrollTop = end;
  };
  const schedule = () => {
    if (!due) requestAnimationFrame(settle);
    due = true;
  };
  new ResizeObserver(schedule).observe(scroller);
  return schedule;
}

/** Makes a button copy what `text` gives, and say so for a moment. @param {HTMLButtonElement} button @param {() => string} text */
export function copyOnClick(button, text) {
  const label = button.textContent;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard.writeText(text()).then(() => true, () => false);
    button.textContent = copied ? "Copied" : "Not allowed";
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = label), 1500);
  });
}

/** One or two letters for an avatar. @param {string} name */
export function initials(name) {
  const words = name.trim().split(/[\s_.-]+/).filter(Boolean);
  const first = (/** @type {string} */ word) => [...new Intl.Segmenter().segment(word)][0]?.segment ?? "";
  return words.slice(0, 2).map(first).join("").toUpperCase() || "?";
}

/** Which of the eight tones of the style sheet a name has: the same on every page. @param {string} name */
export function toneOf(name) {
  let hash = 0;
  for (const character of name) hash = (Math.imul(hash, 33) + (character.codePointAt(0) ?? 0)) | 0;
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return String(((hash ^ (hash >>> 13)) >>> 0) % 8);
}
