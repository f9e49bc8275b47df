// The package as it is published, and a project that has installed it. Holds no assertion.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const npm = (cwd, ...words) => execFileSync("npm", [...words, "--silent"], { cwd, encoding: "utf8" });

/** A folder of a project with the package, the path of what was packed, and how to get rid of them. */
export function installed() {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
  const tarball = join(folder, npm(here, "pack", "--ignore-scripts", "--pack-destination", folder).trim());
  writeFileSync(join(folder, "package.json"), '{"private":true,"type":"module"}');
  npm(folder, "install", "--offline", "--no-audit", "--no-fund", tarball);
  return { folder, tarball, remove: () => rmSync(folder, { recursive: true }) };
}

/** A tool of the SDK's own; throws what it says if it finds fault. */
export function run(tool, ...words) {
  try {
    return execFileSync(join(here, "node_modules/.bin", tool), words, { encoding: "utf8", stdio: "pipe" });
  } catch ({ stdout, stderr }) {
    throw new Error(`${tool}: ${stdout}${stderr}`);
  }
}
