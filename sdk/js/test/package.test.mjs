// The package, as it is published.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

test("the packed tarball works in Node", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const npm = (cwd, ...words) => execFileSync("npm", [...words, "--silent"], { cwd, encoding: "utf8" });
  const packed = npm(fileURLToPath(new URL("..", import.meta.url)), "pack", "--ignore-scripts", "--pack-destination", folder).trim();
  writeFileSync(join(folder, "package.json"), '{"private":true,"type":"module"}');
  npm(folder, "install", "--offline", "--no-audit", "--no-fund", `./${packed}`);
  const script = `
    import { connect, RoomcastError } from "roomcast";
    import { connect as bySocket } from "roomcast/ws";
    const states = [connect, bySocket].map((connect) => connect("http://localhost:1").state);
    console.log(states.join(), new RoomcastError("left", "m").code);
  `;
  writeFileSync(join(folder, "main.js"), script);
  assert.equal(execFileSync("node", ["main.js"], { cwd: folder, encoding: "utf8" }), "idle,idle left\n");
});
