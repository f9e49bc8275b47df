// Makes `dist`: one module for each file, with its types, for bundlers, Node and editors; and what pages without a
// build load, each all in one: `sdk.js` and `sdk-webtransport.js`. With `--publish` these go to where the server takes
// them from.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const ASSETS = `${here}../../crates/roomcast-server/assets/`;
const SERVED = { sdk: "index", "sdk-webtransport": "webtransport" };

rmSync(`${here}dist`, { recursive: true, force: true });
execFileSync("npx", ["tsc", "-p", "."], { cwd: here, stdio: "inherit" });
await build({
  entryPoints: Object.entries(SERVED).map(([out, entry]) => ({ out, in: `${here}dist/${entry}.js` })),
  outdir: `${here}dist`,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  banner: { js: "/* roomcast, MIT OR Apache-2.0; made from sdk/js by `npm run bundle` */" },
});
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`${here}../../${name}`, here + name);
if (process.argv.includes("--publish")) for (const name in SERVED) copyFileSync(`${here}dist/${name}.js`, `${ASSETS}${name}.js`);
