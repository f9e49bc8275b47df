import { connect } from "/sdk.js";

const $ = (id) => document.getElementById(id);
const rt = connect();
rt.on("state", (state) => ($("state").textContent = $("state").dataset.is = state));

/** The answer's room stands in the address: a reload, or somebody with the link, reads all of it and goes on. */
function read(name) {
  const room = rt.room(name, { last: 1000, presence: false });
  $("conversation").ariaBusy = "true";
  room.on("question", ({ data }) => ($("question").textContent = data.text));
  // In order and once, across any loss of the connection: so it is enough to append.
  room.on("token", ({ data }) => $("answer").append(data.text));
  room.on("end", () => ($("conversation").ariaBusy = "false"));
  // The room has forgotten something of what is shown.
  room.on("gap", () => location.reload());
}

if (location.hash) read(location.hash.slice(1));
onhashchange = () => location.reload();

$("ask").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("/api/ask", { method: "POST", body: JSON.stringify({ question: $("text").value }) });
  location.hash = (await answer.json()).room;
};
