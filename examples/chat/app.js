import { connect } from "/sdk.js";

const $ = (id) => document.getElementById(id);
const known = sessionStorage.getItem("user");

if (known) enter(known);
$("enter").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("user", $("user").value);
  enter($("user").value);
};

function enter(user) {
  $("enter").hidden = true;
  $("inside").hidden = false;
  $("content").focus();

  // In `dev` guests say who they are. With `serve` a token does: see ../backend.
  const rt = connect(`/?user=${encodeURIComponent(user)}`);
  const room = rt.room("general", { last: 50 });
  rt.on("state", (state) => ($("state").textContent = $("state").dataset.is = state));
  room.presence.on("change", () => ($("count").textContent = `${room.presence.count} here`));

  // Your own message is shown at once, and moves to its place when the room has it. An id is its author's own, and may
  // be missing.
  const lines = new Map();
  room.on("text", ({ id, seq, data, time }) => {
    const key = `${data.author} ${id ?? seq}`;
    lines.get(key)?.remove();
    lines.set(key, show(data, time));
  });
  // The log has begun anew, or forgot something: only what still waits to be sent is sure to be right.
  room.on("gap", () => $("messages").replaceChildren(...document.querySelectorAll(".waiting")));

  $("say").onsubmit = (event) => {
    event.preventDefault();
    const id = crypto.randomUUID();
    const data = { content: $("content").value };
    const line = show({ ...data, author: user });
    lines.set(`${user} ${id}`, line);
    line.classList.add("waiting");
    // Offline it waits, and goes out after the reconnect: in order, and once.
    room.send("text", data, { id }).catch((error) => line.append(` (not sent: ${error.message})`));
    room.typing(false);
    $("say").reset();
  };

  const typists = new Set();
  $("content").oninput = () => room.typing($("content").value !== "");
  const showTypists = () => ($("typing").textContent = typists.size ? `${[...typists].join(", ")} …` : "");
  room.on("typing", ({ data }) => {
    data.typing ? typists.add(data.author) : typists.delete(data.author);
    showTypists();
  });
  // Signs of typing are only for now: what was missed meanwhile isn't told again.
  room.on("state", () => {
    typists.clear();
    showTypists();
  });

  /** Text is set as text, never as HTML: somebody else wrote it. */
  function show({ author, content }, time) {
    const line = document.createElement("li");
    const head = document.createElement("small");
    head.textContent = `${author} ${time?.toLocaleTimeString([], { timeStyle: "short" }) ?? ""}`;
    line.className = author === user ? "message mine" : "message";
    line.append(head, content);
    $("messages").append(line);
    line.scrollIntoView({ block: "nearest" });
    return line;
  }
}
