import { connect } from "/sdk.js";

const $ = (id) => document.getElementById(id);

// One person per tab, the same after a reload. In `dev` guests say who they are; with `serve` a token does.
const user = (sessionStorage.user ??= crypto.randomUUID());
const names = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Linus"];
const colors = ["#0d766e", "#7656c4", "#c2553a", "#2f6fb8", "#a8487f", "#5d7c2b"];
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const me = JSON.parse(sessionStorage.me ?? null) ?? { name: pick(names), color: pick(colors) };

const rt = connect(`/?user=${user}`);
const room = rt.room("office", { state: me });
rt.on("state", (state) => ($("state").textContent = $("state").dataset.is = state));

// What others see of you is any small object. It is told again after each reconnect.
function change(what) {
  Object.assign(me, what);
  sessionStorage.me = JSON.stringify(me);
  room.presence.set(me);
}

$("name").value = me.name;
$("color").value = me.color;
$("name").oninput = () => change({ name: $("name").value });
$("color").oninput = () => change({ color: $("color").value });
$("me").onsubmit = (event) => event.preventDefault();
document.addEventListener("visibilitychange", () => change({ away: document.hidden }));

const avatars = new Map();
room.presence.on("change", (members) => {
  $("count").textContent = room.presence.count;
  for (const [user, avatar] of avatars) {
    if (!members.some((member) => member.user === user)) avatar.remove(), avatars.delete(user);
  }
  for (const member of members) {
    if (!avatars.has(member.user)) avatars.set(member.user, newAvatar());
    draw(avatars.get(member.user), member);
  }
});

function newAvatar() {
  const member = $("members").appendChild(document.createElement("li"));
  member.innerHTML = '<span class="avatar" aria-hidden="true"></span><span><span class="name"></span><small></small></span>';
  return member;
}

/** `state` is what that person's page has said; it may be anything. */
function draw(avatar, { user: whose, state, connections }) {
  const name = String(state.name || "Nobody");
  const notes = [whose === user && "you", state.away && "away", connections > 1 && `${connections} tabs`];
  avatar.className = state.away ? "member away" : "member";
  avatar.style.setProperty("--tone", state.color);
  avatar.querySelector(".avatar").textContent = [...name][0].toUpperCase();
  avatar.querySelector(".name").textContent = name;
  avatar.querySelector("small").textContent = notes.filter(Boolean).join(", ");
}
