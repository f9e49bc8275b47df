// The guide does what it says: every fenced block of docs/guide, llms.txt, SKILL.md and docs/sdk-guide.md is run, in
// the order of its page, in a folder of its own, with the server that the page starts, else `roomcast dev`. A block of
// `text` is what the block before it shows, with `…` for what varies. Code is also checked by TypeScript.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { startBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const SDK = fileURLToPath(new URL("../../", import.meta.url));
const SDK_IMPORT = /from "roomcast/;
const CODE = /^(js|ts|tsx)$/;
const ADDRESS = /http:\/\/localhost:8000/g;
const END = "the program has ended";
const STRICT = { target: "ES2022", module: "NodeNext", lib: ["ES2022", "DOM"], jsx: "react-jsx", types: ["node"], strict: true, noEmit: true, skipLibCheck: true };
/** What can't be run says so: at most so many blocks. */
const NOT_RUN_MAX = 4;

const guide = readdirSync(join(ROOT, "docs/guide")).map((name) => `docs/guide/${name}`);
const others = ["docs/sdk-guide.md", "llms.txt", "SKILL.md"];
const pages = [...guide, ...others].map((name) => ({ name, blocks: blocksOf(readFileSync(join(ROOT, name), "utf8")) }));

/** Fenced blocks; code goes on with the code before it, unless it imports the SDK anew. */
function blocksOf(text) {
  const blocks = [];
  let latest;
  for (const [, info, body] of text.matchAll(/^```(\S.*)\n([^]*?)^```$/gm)) {
    const [language, ...marks] = info.split(" ");
    const code = CODE.test(language);
    const last = blocks.findLast(({ language }) => CODE.test(language));
    if (language === "text") {
      latest.expected = [...(latest.expected ?? []), ...body.trim().split("\n")];
      continue;
    }
    if (code && last && !marks.length && !(SDK_IMPORT.test(body) && SDK_IMPORT.test(last.body))) (latest = last).body += body;
    else blocks.push((latest = { language, body, marks, ...(code && { expected: [] }) }));
  }
  return blocks;
}

let browser;
before(async () => (browser = await startBrowser()));
after(() => browser.close());

/** A folder like an application's, with the packages it would have installed. */
function project() {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-guide-"));
  const packages = join(folder, "node_modules");
  for (const path of [packages, join(folder, "bin")]) mkdirSync(path);
  symlinkSync(SDK, join(packages, "roomcast"));
  for (const name of ["@types", "react", "react-dom", "scheduler", "ws"]) symlinkSync(join(SDK, "node_modules", name), join(packages, name));
  symlinkSync(process.env.ROOMCAST_BIN, join(folder, "bin/roomcast"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT }));
  writeFileSync(join(folder, "untyped.d.ts"), 'declare module "react-dom/client";');
  // Node 20 has no WebSocket.
  writeFileSync(join(folder, "socket.mjs"), 'import { WebSocket } from "ws"; globalThis.WebSocket ??= WebSocket;');
  return folder;
}

const shown = (output, lines) => lines.every((line) => line.split("…").every((part) => output.includes(part.trim())));

/** Runs a command until it has said all that is expected; it may then go on for ever. */
async function run(command, words, { expected, ...options }) {
  const child = spawn(command, words, { ...options, signal: AbortSignal.timeout(30_000), killSignal: "SIGKILL" });
  const said = { out: "", err: "" };
  child.on("error", () => {});
  child.stderr.on("data", (text) => (said.err += text));
  child.stdout.on("data", (text) => {
    said.out += text;
    if (expected && shown(said.out, expected)) child.kill("SIGKILL");
  });
  const code = await new Promise((done) => child.on("close", done));
  if (!expected) assert.equal(code, 0, said.out + said.err);
  else assert.ok(shown(said.out, expected), `not all of it came:\n${expected.join("\n")}\nbut:\n${said.out}${said.err}`);
  return said.out;
}

async function bundle(folder, file) {
  const outfile = join(folder, "page.js");
  const define = { "process.env.NODE_ENV": '"production"' };
  await build({ entryPoints: [file], outfile, bundle: true, format: "esm", jsx: "automatic", define, logLevel: "error" });
  return readFileSync(outfile, "utf8");
}

/** A chat on a page: what one of two people writes into its only line is shown to both. */
async function chat(html, script = "") {
  const front = createServer(({ url }, answer) => {
    const isScript = url === "/page.js";
    answer.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" }).end(isScript ? script : html);
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  const errors = [];
  const open = async () => {
    const page = await (await browser.newContext()).newPage();
    page.on("pageerror", (error) => errors.push(error));
    page.setDefaultTimeout(30_000);
    await page.goto(`http://127.0.0.1:${front.address().port}`);
    return page;
  };
  const all = [await open(), await open()];
  await all[0].fill("input", "Hello from the guide");
  await all[0].press("input", "Enter");
  await Promise.all(all.map((page) => page.locator("li", { hasText: "Hello from the guide" }).waitFor()));
  await Promise.all(all.map((page) => page.context().close()));
  front.closeAllConnections();
  front.close();
  assert.deepEqual(errors, []);
}

/** Whether a configuration of another program is well-formed: braces match, and nginx's lines end. */
function parse(text, end) {
  let depth = 0;
  for (const line of text.split("\n").map((line) => line.replace(/#.*/, "").trim()).filter(Boolean)) {
    assert.match(line, end, `"${line}" isn't ended`);
    if (line.endsWith("{")) depth++;
    if (line === "}") depth--;
    assert.ok(depth >= 0, "a } too many");
  }
  assert.equal(depth, 0, "a { isn't closed");
}

const does = {
  async sh(at, { body, expected }) {
    const lines = body.split("\n");
    const start = lines.findIndex((line) => /^roomcast (dev|serve)\b/.test(line));
    const script = start < 0 ? body : lines.slice(0, start).join("\n");
    const env = { ...process.env, PATH: `${at.folder}/bin:${process.env.PATH}`, ROOMCAST_URL: at.server?.url };
    const out = await run("bash", ["-euo", "pipefail", "-c", script.replace(ADDRESS, at.server?.url)], { cwd: at.folder, env });
    if (expected) assert.ok(shown(out, expected), out);
    if (start >= 0) await at.start(lines[start]);
  },
  async ts(at, { language, body, expected }) {
    const file = at.write(language, body + `\nconsole.log(${JSON.stringify(END)});\n`);
    const script = await build({ entryPoints: [file], bundle: true, packages: "external", format: "esm", platform: "node", write: false });
    const main = file.replace(/[jt]s$/, "mjs");
    writeFileSync(main, script.outputFiles[0].text);
    await run(process.execPath, ["--import", "./socket.mjs", main], { cwd: at.folder, expected: [...expected, END] });
  },
  async tsx(at, { body }) {
    const script = await bundle(at.folder, at.write("tsx", body));
    await chat('<!doctype html><div id="root"></div><script type="module" src="/page.js"></script>', script);
  },
  html: (at, { body }) => chat(body.replace(ADDRESS, at.server.url)),
  /** One value a line; what is longer goes on with spaces. */
  json: (_, { body }) => body.trim().split(/\n(?=[{[])/).forEach((value) => JSON.parse(value)),
  toml(at, { body }) {
    writeFileSync(join(at.folder, "roomcast.toml"), body);
    execFileSync("roomcast", ["check"], { cwd: at.folder, env: { PATH: `${at.folder}/bin` }, encoding: "utf8" });
  },
  nginx: (_, { body }) => parse(body, /[;{}]$/),
  caddyfile: (_, { body }) => parse(body, /./),
};
does.js = does.ts;
// It is run by crates/roomcast-client/tests/client/guide.rs.
does.rust = () => {};

for (const { name, blocks } of pages) {
  test(`${name} does what it says`, async (t) => {
    const folder = project();
    let files = 0;
    const at = {
      folder,
      write(ending, body) {
        const file = join(folder, `block${++files}.${ending}`);
        writeFileSync(file, body.replace(ADDRESS, at.server.url));
        return file;
      },
      async start(line) {
        const [, command] = line.split(" ");
        const words = command === "serve" ? ["--config", join(folder, "roomcast.toml")] : [];
        await at.server?.kill();
        at.server = await new Server([command, ...words], folder).start();
      },
    };
    t.after(async () => {
      await at.server?.kill();
      rmSync(folder, { recursive: true });
    });
    if (!blocks.some(({ language, body }) => language === "sh" && /^roomcast (dev|serve)\b/m.test(body))) await at.start("roomcast dev");
    for (const block of blocks.filter(({ marks }) => !marks.includes("not-run"))) {
      assert.ok(does[block.language], `no test knows how to run ${block.language}`);
      await does[block.language](at, block);
    }
    if (files) execFileSync(join(SDK, "node_modules/.bin/tsc"), ["-p", folder], { encoding: "utf8", stdio: "pipe" });
  });
}

test("few blocks are not run", () => {
  const all = pages.flatMap(({ blocks }) => blocks);
  assert.ok(all.filter(({ marks }) => marks.includes("not-run")).length <= NOT_RUN_MAX);
});
