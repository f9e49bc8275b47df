// The package, as it is published.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { installed, run } from "./pack.mjs";

let project;
before(() => (project = installed()));
after(() => project.remove());

test("the packed tarball works in Node", () => {
  const script = `
    import { connect, RoomcastError } from "roomcast";
    import { connect as bySocket } from "roomcast/ws";
    import { outbox } from "roomcast/outbox";
    import { eventsource } from "roomcast/eventsource";
    import { share } from "roomcast/share";
    import { webtransport } from "roomcast/webtransport";
    const states = [connect, bySocket].map((connect) => connect("http://localhost:1").state);
    console.log(states.join(), new RoomcastError("left", "m").code, typeof eventsource, typeof outbox, typeof share, typeof webtransport);
  `;
  writeFileSync(join(project.folder, "main.js"), script);
  const said = execFileSync("node", ["main.js"], { cwd: project.folder, encoding: "utf8" });
  assert.equal(said, "idle,idle left function function function function\n");
});

test("publint finds no fault with it", () => {
  run("publint", project.tarball, "--strict");
});

test("its types are those of its modules, for whoever can import them", () => {
  run("attw", project.tarball, "--profile", "esm-only", "--no-color", "--no-emoji");
});
