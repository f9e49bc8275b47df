// @ts-check
/** The code panel: follows what happens on the page, or stays with the recipe chosen from its menu. */
import { byId, copyOnClick, el } from "./dom.js";
import { MENU, RECIPES } from "./recipes.js";
import { coloured } from "./syntax.js";

/** @import { Happening, Language, Scene } from "./recipes.js" */

/** What colours a language has. @type {Record<Language, "js"|"curl">} */
const GRAMMARS = { sdk: "js", js: "js", curl: "curl" };

export class CodePanel {
  #menu = byId("recipe", HTMLSelectElement);
  #caption = byId("code-caption", HTMLElement);
  #text = byId("code-text", HTMLElement);
  #panel = byId("code-panel", HTMLElement);
  #tabs = /** @type {Language[]} */ (["sdk", "js", "curl"]).map((language) => ({ language, tab: byId(`tab-${language}`, HTMLElement) }));
  /** @type {Language} */ #language = "sdk";
  /** @type {Happening} */ #latest = "join";
  /** @type {Scene} */ #scene;

  /** @param {Scene} scene what to speak of until something happens */
  constructor(scene) {
    this.#scene = scene;
    this.#fillMenu();
    this.#menu.addEventListener("change", () => this.#show());
    for (const [index, { language, tab }] of this.#tabs.entries()) {
      tab.addEventListener("click", () => this.#choose(language));
      tab.addEventListener("keydown", ({ key }) => this.#walk(index, key));
    }
    copyOnClick(byId("code-copy", HTMLButtonElement), () => this.#text.textContent);
    this.#show();
  }

  /** @param {Happening} what @param {Scene} scene */
  happened(what, scene) {
    this.#latest = what;
    this.#scene = scene;
    this.#show();
  }

  #fillMenu() {
    for (const [value, label] of [["", "What just happened"], ...Object.entries(MENU)]) {
      const option = el("option", "", label);
      option.value = value;
      this.#menu.append(option);
    }
  }

  #show() {
    const recipe = RECIPES[/** @type {Happening} */ (this.#menu.value) || this.#latest];
    this.#caption.textContent = recipe.caption(this.#scene);
    this.#text.replaceChildren(coloured(recipe[this.#language](this.#scene), GRAMMARS[this.#language]));
  }

  /** @param {Language} chosen */
  #choose(chosen) {
    this.#language = chosen;
    for (const { language, tab } of this.#tabs) {
      tab.ariaSelected = String(language === chosen);
      tab.tabIndex = language === chosen ? 0 : -1;
    }
    this.#panel.setAttribute("aria-labelledby", `tab-${chosen}`);
    this.#show();
  }

  /** Arrow keys walk along the tabs, and round. @param {number} index @param {string} key */
  #walk(index, key) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const next = step && this.#tabs.at((index + step) % this.#tabs.length);
    if (!next) return;
    next.tab.focus();
    this.#choose(next.language);
  }
}
