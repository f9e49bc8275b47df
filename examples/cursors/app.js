import { connect } from "/sdk.js";

const $ = (id) => document.getElementById(id);

// One person per tab, the same after a reload. In `dev` guests say who they are; with `serve` a token does.
const user = (sessionStorage.user ??= crypto.randomUUID());
const animals = ["Otter", "Heron", "Lynx", "Badger", "Marten", "Stork", "Hare", "Falcon"];
const name = (sessionStorage.name ??= animals[Math.floor(Math.random() * animals.length)]);
const color = `oklch(.55 .15 ${parseInt(user.slice(0, 3), 16) % 360})`;

const rt = connect(`/?user=${user}`);
const room = rt.room("board", { state: { name, color } });
rt.on("state", (state) => ($("state").textContent = $("state").dataset.is = state));

// Yours: as parts of the board, for theirs may be of another size. Twenty times a second is smooth enough.
const EVERY_MS = 50;
let next;
$("board").onpointermove = ({ clientX, clientY }) => {
  if (!next) setTimeout(send, EVERY_MS);
  next = { x: clientX / innerWidth, y: clientY / innerHeight };
};
function send() {
  // To those who are here now, or to nobody: it is not kept, and offline there is nothing to make up for.
  room.send("cursor", next, { volatile: true }).catch(() => {});
  next = undefined;
}

// Theirs.
const cursors = new Map();
room.on("cursor", ({ data: { author, x, y } }) => {
  const member = room.presence.members.find(({ user }) => user === author);
  if (author === user || !member) return;
  if (!cursors.has(author)) cursors.set(author, newCursor(member.state));
  cursors.get(author).style.translate = `${x * innerWidth}px ${y * innerHeight}px`;
});

function newCursor({ name, color }) {
  const cursor = $("cursor").content.firstElementChild.cloneNode(true);
  cursor.style.setProperty("--tone", color);
  cursor.querySelector("span").textContent = name;
  return $("board").appendChild(cursor);
}

room.presence.on("change", (members) => {
  const others = members.filter((member) => member.user !== user);
  const names = others.map(({ state }) => state.name).join(", ");
  $("who").textContent = `You are ${name}. ${names ? `With you: ${names}` : "Open this page in a second window."}`;
  for (const [author, cursor] of cursors) {
    if (!others.some(({ user }) => user === author)) cursor.remove(), cursors.delete(author);
  }
});
