import { connect } from "/sdk.js";

const $ = (id) => document.getElementById(id);

/** Asks our own back end. */
async function ask(path, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

$("enter").onsubmit = (event) => {
  event.preventDefault();
  enter($("name").value);
};

function enter(name) {
  $("enter").hidden = true;
  $("inside").hidden = false;
  $("content").focus();

  // Asked before each connection, and again before a token ends; the connection stays.
  const token = async () => (await ask("/api/token", { name })).token;
  const rt = connect("/", { token });
  const room = rt.room("chat:lobby", { last: 50 });
  rt.on("state", (state) => {
    $("state").textContent = $("state").dataset.is = state;
    $("who").textContent = rt.user ? `you are ${rt.user}` : "";
  });

  room.on("text", ({ data: { author, content } }) => {
    const line = document.createElement("li");
    const head = document.createElement("small");
    head.textContent = author;
    line.className = author === rt.user ? "message mine" : "message";
    line.dataset.author = author;
    line.append(head, content);
    $("messages").append(line);
    line.scrollIntoView({ block: "nearest" });
  });
  room.on("gap", () => $("messages").replaceChildren());

  const take = (send) => {
    if (!$("content").value) return;
    send($("content").value);
    $("say").reset();
  };
  $("say").onsubmit = (event) => {
    event.preventDefault();
    take((content) => room.send("text", { content }));
  };
  // The back end speaks in the name of the office; the page could not.
  $("announce").onclick = () => take((text) => ask("/api/announce", { text }));
}
