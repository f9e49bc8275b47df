import { connect, events } from "/sdk.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 120; // a minute

// Nothing goes up, so a stream of events will do: plain HTTP, which every proxy lets through. It reads and isn't seen.
const rt = connect("/", { transports: [events] });
const room = rt.room("shop", { last: SHOWN, presence: false });
rt.on("state", (state) => ($("state").textContent = $("state").dataset.is = state));

const tiles = {
  visitors: newTile("Visitors", "now", 0),
  orders: newTile("Orders", "an hour", 0),
  response: newTile("Response time", "ms", 0),
  errors: newTile("Errors", "%", 2),
};
const rows = [];

room.on("numbers", ({ data }) => {
  rows.push(data);
  if (rows.length > SHOWN) rows.shift();
  requestAnimationFrame(draw);
});
room.on("gap", () => (rows.length = 0));

function draw() {
  for (const [name, tile] of Object.entries(tiles)) tile(rows.map((row) => row[name]));
}

/** Answers how to draw it anew. */
function newTile(title, unit, digits) {
  const tile = $("tile").content.firstElementChild.cloneNode(true);
  const part = (selector) => tile.querySelector(selector);
  part("h2").textContent = title;
  part("small").textContent = unit;
  $("tiles").append(tile);
  return (values) => {
    const [first, now] = [values[0], values.at(-1)];
    const change = (now / first - 1) * 100;
    part(".value span").textContent = now.toFixed(digits);
    part(".change").textContent = `${change < 0 ? "▼" : "▲"} ${Math.abs(change).toFixed(1)} %`;
    const line = path(values);
    part(".line").setAttribute("d", line);
    part(".area").setAttribute("d", `${line}V40H${SHOWN - values.length}Z`);
  };
}

/** The newest at the right edge, the largest at the top. */
function path(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value) => 36 - (32 * (value - low)) / (high - low || 1);
  return values.map((value, i) => `${i ? "L" : "M"}${SHOWN - values.length + i} ${y(value).toFixed(2)}`).join("");
}
