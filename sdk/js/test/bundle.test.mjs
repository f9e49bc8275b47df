// What the server serves is what these sources make.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

test("the server's copy of the bundle is fresh", () => {
  const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
  const served = read("../../../crates/roomcast-server/assets/sdk.js");
  assert.ok(served === read("../dist/sdk.js"), "crates/roomcast-server/assets/sdk.js is stale; run `npm run bundle` and commit it");
});
