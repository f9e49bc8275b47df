// What a page pays for each entry, bundled, minified and gzipped.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { bundled } from "../scripts/bundle.mjs";

const BYTES_MAX = { index: 6_150, ws: 4_420, react: 2_000, webtransport: 2_000, outbox: 2_000 };

const sizeOf = async (entry) => gzipSync(await bundled(entry), { level: 9 }).length;

for (const [entry, max] of Object.entries(BYTES_MAX)) {
  test(`${entry}: at most ${max} bytes`, async () => {
    const bytes = await sizeOf(entry);
    assert.ok(bytes <= max, `${bytes} bytes`);
  });
}

for (const entry of ["share", "eventsource"]) {
  test(`${entry}: at most 2000 bytes on top of a client`, async () => {
    const bytes = (await sizeOf(`../test/${entry}-on-top`)) - (await sizeOf("index"));
    assert.ok(bytes <= 2_000, `${bytes} bytes`);
  });
}
