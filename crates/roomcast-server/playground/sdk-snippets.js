// @ts-check
/** What a page would run to do the same with the SDK, as this page does itself. Every snippet runs as it stands. Pure. */
import { contentOf, literal, quoted, sinceOf } from "./snippets.js";

/** @import { Happening, Scene } from "./recipes.js" */

/** @type {Record<Happening, (scene: Scene) => string>} */
export const SDK = {
  join: (scene) => `${entered(scene, "{ last: 50 }")}

room.on("text", ({ data }) => console.log(data.author, data.content));`,
  send: (scene) => `${entered(scene)}

// Waits for a connection if there is none, and goes out once.
const { seq } = await room.send("text", ${literal(contentOf(scene))});
console.log("delivered", seq);`,
  typing: (scene) => `${entered(scene)}

// Call it at every key; at most once a second it is told.
room.on("state", (state) => state === "live" && room.typing());`,
  resume: (scene) => `// It comes back by itself; this is for a room.position that was kept.
${entered(scene, `{ since: ${quoted(sinceOf(scene))} }`)}

room.on("text", ({ seq, data }) => console.log(seq, data.author, data.content));
room.on("gap", ({ reason }) => console.log("reset", reason));`,
  presence: (scene) => `${entered(scene)}

room.presence.on("change", (members) => console.log("here:", members.map(({ user }) => user)));`,
};

/** The lines that come into the room. @param {Scene} scene @param {string} [options] */
function entered({ base, room, user, transport }, options) {
  const url = new URL(base);
  url.search = new URLSearchParams({ user }).toString();
  // The SDK calls each transport as this page does, and tries this one first.
  const over = transport === "websocket" ? "" : transport;
  const more = over && `, { transports: [${over}] }`;
  return `${imports(base, over)}

const rt = connect(${quoted(url.href)}${more});
const room = rt.room(${quoted(room)}${options ? `, ${options}` : ""});`;
}

/** @param {URL} base @param {string} over a transport that is asked for, if one is */
function imports(base, over) {
  const from = (/** @type {string} */ path) => `from ${quoted(new URL(path, base).href)};`;
  if (over !== "webtransport") return `import { connect${over && `, ${over}`} } ${from("sdk.js")}`;
  return `import { connect } ${from("sdk.js")}\nimport { webtransport } ${from("sdk/webtransport.js")}`;
}
