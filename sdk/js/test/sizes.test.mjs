// What a page pays for each entry, bundled, minified and gzipped.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const BYTES_MAX = { index: 6_400, ws: 4_700, react: 2_000, webtransport: 2_000, outbox: 2_000 };

for (const [entry, max] of Object.entries(BYTES_MAX)) {
  test(`${entry}: at most ${max} bytes`, async () => {
    const entryPoints = [fileURLToPath(new URL(`../dist/${entry}.js`, import.meta.url))];
    const made = await build({ entryPoints, bundle: true, minify: true, format: "esm", target: "es2022", write: false, external: ["react"] });
    const bytes = gzipSync(made.outputFiles[0].contents, { level: 9 }).length;
    assert.ok(bytes <= max, `${bytes} bytes`);
  });
}
