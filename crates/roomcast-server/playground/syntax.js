// @ts-check
/** Colours for JSON, JavaScript and shell: text in, spans out. */
import { el } from "./dom.js";

/** What to look for, first match wins; each name is a class of the style sheet. @type {Record<"json"|"js"|"curl", RegExp>} */
const GRAMMARS = {
  json: /(?<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?<string>"(?:[^"\\]|\\.)*")|(?<number>-?\d[\d.eE+-]*)|(?<word>true|false|null)/gu,
  js: /(?<comment>\/\/.*)|(?<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?<word>\b(?:const|let|new|import|from(?= ")|if|for|of|return|await|async|true|false|null)\b)|(?<number>\b\d[\d_.]*\b)/gu,
  curl: /(?<comment>^#.*)|(?<string>'[^']*')|(?<word>^curl|\s-{1,2}[A-Za-z-]+)/gmu,
};

/** Bidirectional controls could make code read other than it runs. */
const HIDDEN = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Writes invisible direction marks as escapes, as JSON and JavaScript take them. @param {string} text */
export function showHidden(text) {
  return text.replace(HIDDEN, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @param {string} source @param {"json"|"js"|"curl"} language */
export function coloured(source, language) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const match of source.matchAll(GRAMMARS[language])) {
    const [kind] = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined) ?? [""];
    fragment.append(source.slice(end, match.index), el("span", `s-${kind}`, match[0]));
    end = match.index + match[0].length;
  }
  fragment.append(source.slice(end));
  return fragment;
}
