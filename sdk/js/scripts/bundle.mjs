// One entry as a page loads it, made as most pages are made: by Vite.
import { fileURLToPath } from "node:url";

import { build } from "vite";

const TARGET = "es2022";

/** The script of `dist/{entry}.js`, minified, with all that it needs but React. */
export async function bundled(entry) {
  const input = fileURLToPath(new URL(`../dist/${entry}.js`, import.meta.url));
  const rolldownOptions = { input, preserveEntrySignatures: "strict", external: ["react"] };
  const options = { write: false, target: TARGET, modulePreload: false, rolldownOptions };
  const { output } = await build({ configFile: false, logLevel: "warn", build: options });
  return output[0].code;
}
