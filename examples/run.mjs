#!/usr/bin/env node
/**
 * Runs one example: `node examples/run.mjs chat`. Starts Roomcast, the example's back end if it has one, and in front of
 * both a server for the example's files, which does what nginx or Caddy would do for your own app: to the browser all
 * is one origin. Nothing to install. Never more than examples need: the files lie here, and the network is this machine.
 *
 * PORT=4000 takes another port than 3000, 0 any free one. ROOMCAST_BIN is the `roomcast` to run, if not the one in PATH,
 * else the one that cargo builds here. PYTHON is one that has the packages of `requirements.txt`.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, request as ask } from "node:http";
import { connect } from "node:net";
import { dirname, extname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream";
import { fileURLToPath } from "node:url";

const EXAMPLES = dirname(fileURLToPath(import.meta.url));
const [, , name = ""] = process.argv;
const folder = join(EXAMPLES, name);
/** What goes to Roomcast, and to the back end; the rest are files. */
const ROOMCAST = /^\/(sdk\.js|sdk|ws|events|poll|rooms)(?=[/?]|$)/;
const BACK_END = /^\/api\//;
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

const children = [];

/** A file of the example, or of a folder around it: what several examples share stands once. */
function find(file) {
  for (let at = folder; at.startsWith(EXAMPLES); at = dirname(at)) {
    if (existsSync(join(at, file))) return join(at, file);
  }
}

// Programs.

/** Starts a program, and answers the first line that it says. */
function start([program, ...words], env) {
  const child = spawn(program, words, { env, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  return new Promise((said) => {
    createInterface({ input: child.stdout }).on("line", said);
    createInterface({ input: child.stderr }).on("line", (line) => {
      console.error(line);
      if (line.includes("http://")) said(line);
    });
    child.on("error", (error) => stop(`${program}: ${error.message}`));
    child.on("exit", (code) => stop(`${program} has ended with ${code}`));
  });
}

const addressIn = (line) => line.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0];

/** Roomcast reads its settings from `ROOMCAST_…`, so what is meant for this program is no business of its. */
const environment = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(ROOMCAST_|PORT$)/.test(name)));

function roomcast() {
  if (process.env.ROOMCAST_BIN) return [process.env.ROOMCAST_BIN];
  if (!spawnSync("roomcast", ["--version"]).error) return ["roomcast"];
  console.log("There is no `roomcast` in PATH, so cargo builds one; the first time takes minutes.");
  return ["cargo", "run", "--release", "--quiet", "--manifest-path", join(EXAMPLES, "../Cargo.toml"), "--bin", "roomcast", "--"];
}

/** With a `config.toml` it asks for tokens; the secret and the back end's key are drawn anew at each start. */
async function startRoomcast() {
  const config = find("config.toml");
  const secret = randomBytes(32).toString("base64url");
  const key = `rk_${randomBytes(24).toString("base64url")}`;
  const keys = { ROOMCAST_AUTH_SECRET: secret, ROOMCAST_AUTH_API_KEYS: `[{ id = "backend", key = "${key}" }]` };
  const words = [...(config ? ["serve", "--config", config] : ["dev"]), "--listen", "127.0.0.1:0", "--log", "warn"];
  const url = addressIn(await start([...roomcast(), ...words], { ...environment(), ...(config && keys) }));
  return { ROOMCAST_URL: url, ...(config && { ROOMCAST_AUTH_SECRET: secret, ROOMCAST_API_KEY: key }) };
}

/** The example's own program: `server.mjs` for Node, `main.py` for uvicorn. Its address, if it tells one. */
async function startBackEnd(settings) {
  const env = { ...environment(), ...settings, PORT: "0" };
  const [script, app] = [join(folder, "server.mjs"), join(folder, "main.py")];
  if (existsSync(script)) return addressIn(await start([process.execPath, script], env));
  if (existsSync(app)) return addressIn(await start([python(), "-m", "uvicorn", "--app-dir", folder, "--port", "0", "main:app"], env));
}

function python() {
  if (process.env.PYTHON) return process.env.PYTHON;
  const venv = join(folder, ".venv");
  if (!existsSync(venv)) {
    console.log(`Installing ${relative(".", join(folder, "requirements.txt"))} in ${relative(".", venv)}, once.`);
    execFileSync("python3", ["-m", "venv", venv]);
    execFileSync(join(venv, "bin/pip"), ["install", "--quiet", "-r", join(folder, "requirements.txt")], { stdio: "inherit" });
  }
  return join(venv, "bin/python");
}

// The server in front.

function serve(roomcast, backEnd) {
  const targetOf = (url) => (ROOMCAST.test(url) ? roomcast : BACK_END.test(url) ? backEnd : undefined);
  const front = createServer((request, response) => {
    const target = targetOf(request.url);
    target ? pass(request, response, target) : sendFile(request.url, response);
  });
  front.on("upgrade", (request, socket, head) => passSocket(request, socket, head, roomcast));
  front.on("error", ({ code, message }) => stop(code === "EADDRINUSE" ? "the port is taken; take another one: PORT=0 for any" : message));
  front.listen(process.env.PORT ?? 3000, "127.0.0.1", () => console.log(`${name}: open http://127.0.0.1:${front.address().port} (Ctrl-C stops it)`));
}

/** A request and its answer, as they come: a stream of events is an answer without an end. */
function pass(request, response, target) {
  const { method, headers, url } = request;
  const onward = ask(new URL(url, target), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers).flushHeaders();
    pipeline(answer, response, () => {});
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}

/** A WebSocket: its handshake, and then bytes both ways. */
function passSocket({ method, url, rawHeaders }, socket, head, target) {
  const { hostname, port } = new URL(target);
  const far = connect(port, hostname);
  far.write(`${method} ${url} HTTP/1.1\r\n`);
  for (let i = 0; i < rawHeaders.length; i += 2) far.write(`${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`);
  far.write("\r\n");
  far.write(head);
  pipeline(socket, far, socket, () => {});
}

function sendFile(url, response) {
  const [, file = "index.html"] = url.match(/^\/([\w-]+\.\w+)?(?:\?|$)/) ?? [, ""];
  const kind = KINDS[extname(file)];
  const path = kind && find(file);
  if (!path) return response.writeHead(404).end("There is no such file.\n");
  response.writeHead(200, { "content-type": `${kind}; charset=utf-8`, "cache-control": "no-cache" }).end(readFileSync(path));
}

// From the beginning to the end.

function stop(why) {
  if (why) console.error(why);
  for (const child of children) child.removeAllListeners("exit").kill();
  process.exit(why ? 1 : 0);
}

process.on("SIGINT", () => stop());
process.on("SIGTERM", () => stop());
if (!name || !find("index.html")) stop(`There is no example "${name}"; examples/README.md lists them.`);
const settings = await startRoomcast();
serve(settings.ROOMCAST_URL, await startBackEnd(settings));
