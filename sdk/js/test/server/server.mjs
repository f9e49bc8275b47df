// The real server as a process. Holds no assertion.
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const SECRET = "a secret of the tests, long enough for HS256";
const API_KEY = "rk_0123456789abcdefghijklmnop";

/** The numbers from 0 to below a count. */
export const range = (count) => Array.from({ length: count }, (_, n) => n);

/** A room that no other test is in. */
export const newRoom = () => `room:${randomBytes(6).toString("hex")}`;

/** A JWT (HS256) as an application's back end would sign it; ends after `seconds`. */
export function mint(user, { seconds = 600, ...claims } = {}) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: user, exp: Date.now() / 1000 + seconds, ...claims })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

export class Server {
  /** In memory, or on the disk of a folder of its own. */
  static dev({ disk = false } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
    return new Server(["dev", ...(disk ? ["--data", join(folder, "data")] : [])], folder).start();
  }

  /** With tokens, and `extra` lines of configuration. */
  static serve(extra = '[[rooms]]\npattern = "*"\nusers = ["*"]') {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
    const keys = [`secret = ${JSON.stringify(SECRET)}`, `api_keys = [{ id = "backend", key = ${JSON.stringify(API_KEY)} }]`];
    const config = join(folder, "roomcast.toml");
    writeFileSync(config, ['engine = "memory"', "[server]", 'origins = ["*"]', "[auth]", ...keys, extra].join("\n"));
    return new Server(["serve", "--config", config], folder).start();
  }

  constructor(words, folder) {
    Object.assign(this, { words, folder, port: 0 });
  }

  /** Starts it, after a kill where it was. */
  async start() {
    const { ROOMCAST_BIN, ...env } = process.env;
    if (!ROOMCAST_BIN) throw new Error("set ROOMCAST_BIN to the roomcast binary (cargo xtask test does)");
    const words = [...this.words, "--listen", `127.0.0.1:${this.port}`];
    this.process = spawn(ROOMCAST_BIN, words, { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    this.process.stderr.on("data", (text) => (output += text));
    for await (const line of createInterface(this.process.stdout)) {
      output += `${line}\n`;
      const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (!port) continue;
      this.process.stdout.resume();
      this.port = Number(port);
      this.url = `http://127.0.0.1:${port}`;
      return this;
    }
    throw new Error(`the server did not say where it listens:\n${output}`);
  }

  /** As by a power cut. */
  async kill() {
    this.process.kill("SIGKILL");
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, "exit");
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }

  async post(path, body) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.json();
  }
}

/** Waits until `look` answers something; it is called again at each of the room's or client's events. */
export function until(source, events, look) {
  return new Promise((done) => {
    const offs = events.map((event) => source.on(event, () => check()));
    const check = () => {
      const found = look();
      if (!found) return;
      offs.forEach((off) => off());
      done(found);
    };
    check();
  });
}

/** Waits until the room is live, or whatever else. */
export const reaches = (source, state) => until(source, ["state"], () => source.state === state);
