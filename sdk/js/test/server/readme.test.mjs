// The first lines that anybody copies do what they say.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import { Server } from "./server.mjs";

test("the five lines of the README", async (t) => {
  const server = await Server.dev();
  t.after(() => server.stop());
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [, snippet] = /```ts\n([^]*?)```/.exec(readme);
  const script = snippet.replace("http://localhost:8000", server.url);
  assert.equal(script.trim().split("\n").filter(Boolean).length, 5);
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  const node = spawn("node", ["--input-type=module", "--eval", script], { cwd, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => node.kill());
  for await (const line of createInterface(node.stdout)) {
    assert.match(line, /^guest_\w+: Hello$/);
    return;
  }
  assert.fail("it said nothing");
});
