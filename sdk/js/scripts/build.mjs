// Makes `dist`: one module for each file, with its types, for bundlers, Node and editors; and `sdk.js`, all in one.
// With `--publish` the latter goes to where the server takes it from.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const SERVED = `${here}../../crates/roomcast-server/assets/sdk.js`;

rmSync(`${here}dist`, { recursive: true, force: true });
execFileSync("npx", ["tsc", "-p", "."], { cwd: here, stdio: "inherit" });
await build({
  entryPoints: [`${here}dist/index.js`],
  outfile: `${here}dist/sdk.js`,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  banner: { js: "/* roomcast, MIT OR Apache-2.0; made from sdk/js by `npm run bundle` */" },
});
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`${here}../../${name}`, here + name);
if (process.argv.includes("--publish")) copyFileSync(`${here}dist/sdk.js`, SERVED);
