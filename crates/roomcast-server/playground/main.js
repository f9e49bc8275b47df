// @ts-check
/**
 * Puts the page together: two people side by side, or one who is named in the address, `?user=ada`; the room,
 * `?room=general`; and the inspector that watches them.
 */
import { kindsOf } from "./cable.js";
import { CodePanel } from "./code.js";
import { byId } from "./dom.js";
import { Person } from "./person.js";
import { ROOM_NAME } from "./protocol.js";
import { Wire } from "./wire.js";

const NAMES_KEY = "roomcast.playground.names";
const TRANSPORTS_KEY = "roomcast.playground.transports";
const VISITORS = ["Lin", "Edsger", "Barbara", "Alan", "Radia", "Donald", "Katherine", "Tim"];

const base = new URL("./", location.href);
base.search = "";
const address = new URLSearchParams(location.search);
const alone = address.get("user");
let room = address.get("room") || "general";

const names = alone ? { solo: alone } : JSON.parse(sessionStorage.getItem(NAMES_KEY) ?? '{"left":"Ada","right":"Grace"}');
const over = JSON.parse(sessionStorage.getItem(TRANSPORTS_KEY) ?? "{}");
const kinds = await kindsOf(base);
const wire = new Wire();
const code = new CodePanel({ base, room, user: alone ?? names.left, transport: kinds[0].name });
const people = Object.entries(names).map(([slot, name]) => new Person({ slot, name, room, base, kinds, over: over[slot] }, {
  frame: (person, direction, text, envelope) => wire.frame(person, direction, text, envelope),
  link: (person, text) => wire.link(person, text),
  happened: (what, scene) => code.happened(what, scene),
  changed: remember,
  roster: inviteAnother,
}));

/** @param {Person} person */
function remember(person) {
  wire.person(person.slot, person.name);
  names[person.slot] = person.name;
  over[person.slot] = person.kind.name;
  sessionStorage.setItem(TRANSPORTS_KEY, JSON.stringify(over));
  if (alone) address.set("user", person.name);
  else sessionStorage.setItem(NAMES_KEY, JSON.stringify(names));
  showAddress();
}

/** The link to another tab names somebody who isn't here yet. */
function inviteAnother() {
  const here = new Set(people.flatMap(({ company }) => company));
  const user = VISITORS.find((name) => !here.has(name)) ?? `Guest ${here.size + 1}`;
  byId("another-tab", HTMLAnchorElement).href = `./?${new URLSearchParams({ user, room })}`;
}

function showAddress() {
  address.set("room", room);
  history.replaceState(null, "", `./?${address}`);
  document.title = `${room} · Roomcast playground`;
}

/** @param {Event} event */
function changeRoom(event) {
  event.preventDefault();
  const wanted = roomInput.value.trim();
  const fits = new RegExp(`^${ROOM_NAME}$`).test(wanted);
  roomInput.ariaInvalid = String(!fits);
  trouble.hidden = fits;
  trouble.textContent = fits ? "" : "A room's name is 1 to 128 letters, digits or _ . : @ ~ = + -";
  if (!fits || wanted === room) return;
  room = wanted;
  for (const person of people) person.move(room);
  inviteAnother();
  showAddress();
}

/** Of two logs that show the same, a screen reader speaks for the one that is worked in. @param {Person} attended */
function attend(attended) {
  for (const person of people) person.attended(person === attended);
}

const roomInput = byId("room", HTMLInputElement);
const trouble = byId("room-trouble", HTMLElement);
roomInput.value = room;
roomInput.addEventListener("change", changeRoom);
byId("room-form", HTMLFormElement).addEventListener("submit", changeRoom);

document.body.dataset.people = String(people.length);
byId("people", HTMLElement).append(...people.map(({ root }) => root));
for (const person of people) {
  wire.person(person.slot, person.name);
  person.root.addEventListener("focusin", () => attend(person));
}
attend(people[0]);
inviteAnother();
showAddress();
