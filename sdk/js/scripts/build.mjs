// Makes `dist`: one module for each file, with its types, for bundlers, Node and editors; and what pages without a
// build load, each all in one: `sdk.js` and `sdk-webtransport.js`. With `--publish` these go to where the server takes
// them from.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { bundled } from "./bundle.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const ASSETS = `${here}../../crates/roomcast-server/assets/`;
const SERVED = { sdk: "index", "sdk-webtransport": "webtransport" };
const BANNER = "/* roomcast, MIT OR Apache-2.0; made from sdk/js by `npm run bundle` */\n";

rmSync(`${here}dist`, { recursive: true, force: true });
execFileSync("npx", ["tsc", "-p", "."], { cwd: here, stdio: "inherit" });
for (const [name, entry] of Object.entries(SERVED)) writeFileSync(`${here}dist/${name}.js`, BANNER + (await bundled(entry)));
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`${here}../../${name}`, here + name);
if (process.argv.includes("--publish")) for (const name in SERVED) copyFileSync(`${here}dist/${name}.js`, `${ASSETS}${name}.js`);
