// @ts-check
/** The code panel: follows what happens on the page, or stays with the recipe chosen from its menu. */
import { byId, copyOnClick, el } from "./dom.js";
import { MENU, RECIPES } from "./recipes.js";
import { coloured } from "./syntax.js";

/** @import { Happening, Scene } from "./recipes.js" */

export class CodePanel {
  #menu = byId("recipe", HTMLSelectElement);
  #caption = byId("code-caption", HTMLElement);
  #text = byId("code-text", HTMLElement);
  #panel = byId("code-panel", HTMLElement);
  #tabs = [byId("tab-js", HTMLElement), byId("tab-curl", HTMLElement)];
  /** @type {"js"|"curl"} */ #language = "js";
  /** @type {Happening} */ #latest = "join";
  /** @type {Scene} */ #scene;

  /** @param {Scene} scene what to speak of until something happens */
  constructor(scene) {
    this.#scene = scene;
    this.#fillMenu();
    this.#menu.addEventListener("change", () => this.#show());
    for (const tab of this.#tabs) {
      tab.addEventListener("click", () => this.#choose(tab));
      tab.addEventListener("keydown", (event) => this.#moveTab(event));
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
    this.#text.replaceChildren(coloured(recipe[this.#language](this.#scene), this.#language));
  }

  /** @param {HTMLElement} chosen */
  #choose(chosen) {
    this.#language = chosen.id === "tab-js" ? "js" : "curl";
    for (const tab of this.#tabs) {
      tab.ariaSelected = String(tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    this.#panel.setAttribute("aria-labelledby", chosen.id);
    this.#show();
  }

  /** Arrow keys walk along the tabs. @param {KeyboardEvent} event */
  #moveTab(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = this.#tabs.find((tab) => tab !== event.currentTarget);
    other?.focus();
    if (other) this.#choose(other);
  }
}
