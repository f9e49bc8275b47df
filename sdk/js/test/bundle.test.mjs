// What the server serves is what these sources make.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

for (const name of ["sdk.js", "sdk-webtransport.js"]) {
  test(`the server's copy of ${name} is fresh`, () => {
    const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
    const served = read(`../../../crates/roomcast-server/assets/${name}`);
    assert.ok(served === read(`../dist/${name}`), `crates/roomcast-server/assets/${name} is stale; run \`npm run bundle\` and commit it`);
  });
}
