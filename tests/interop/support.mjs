// What the Node tests share: the server as a process, npm's `ws` and undici's WebSocket behind one face, requests.
// Holds no assertion about the protocol: those stand in the tests.

import { spawn } from "node:child_process";
import { randomBytes, createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { WebSocket as UndiciWebSocket } from "undici";
import WsWebSocket from "ws";

export const SECRET = "a secret of the tests, long enough for HS256";
export const API_KEY = "rk_0123456789abcdefghijklmnop";
const PATIENCE_MS = 20_000; // an upper bound for failures; nothing is waited for on purpose

/** Both libraries; each test of the clients runs with either. */
export const CLIENTS = { ws: WsWebSocket, undici: UndiciWebSocket };

/** A room that nobody else uses. */
export const newRoom = () => `room:${randomBytes(6).toString("hex")}`;

/** 128 random bits, base64url. */
export const newSession = () => randomBytes(16).toString("base64url");

/** A running server: `http` and `ws` are its addresses. */
export class Server {
  static dev() {
    return Server.start(["dev"]);
  }

  /** `serve` with the tests' secret and API key, and `extra` lines of configuration. */
  static async serve(extra = "") {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
    const lines = [
      extra,
      "[auth]",
      `secret = ${JSON.stringify(SECRET)}`,
      `api_keys = [{ id = "backend", key = ${JSON.stringify(API_KEY)} }]`,
      ...(extra.includes("[[rooms]]") ? [] : ["[[rooms]]", 'pattern = "*"', 'users = ["*"]']),
    ];
    writeFileSync(join(folder, "roomcast.toml"), lines.join("\n"));
    const server = await Server.start(["serve", "--config", join(folder, "roomcast.toml")]);
    server.folder = folder;
    return server;
  }

  static async start(words, port = 0) {
    const server = new Server();
    server.words = words;
    const { ROOMCAST_BIN, ...env } = process.env;
    const options = { env, stdio: ["ignore", "pipe", "pipe"] };
    server.process = spawn(ROOMCAST_BIN, [...words, "--listen", `127.0.0.1:${port}`], options);
    server.output = "";
    server.process.stderr.on("data", (text) => (server.output += text));
    server.ended = new Promise((resolve) => server.process.once("exit", resolve));
    for await (const line of createInterface(server.process.stdout)) {
      server.output += `${line}\n`;
      const port = /https?:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port) return server.at(Number(port));
    }
    throw new Error(`the server did not say where it listens:\n${server.output}`);
  }

  at(port) {
    this.process.stdout.resume();
    this.port = port;
    this.http = `http://127.0.0.1:${port}`;
    this.ws = `ws://127.0.0.1:${port}`;
    return this;
  }

  /** Ends it as a power cut would; another one with the same port and folder. */
  async killed() {
    this.process.kill("SIGKILL");
    await this.ended;
    return Server.start(this.words, this.port);
  }

  async stop() {
    this.process.kill("SIGKILL");
    await this.ended;
    if (this.folder) rmSync(this.folder, { recursive: true });
  }

  /** A request; `json` is the parsed body where there is one. */
  async call(method, path, { body, headers = {}, key, token, session } = {}) {
    const sent = { ...headers };
    if (body !== undefined) sent["content-type"] ??= "application/json";
    if (key ?? token) sent.authorization = `Bearer ${key ?? token}`;
    if (session) sent["roomcast-session"] = session;
    const payload = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(this.http + path, { method, headers: sent, body: payload });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? JSON.parse(text) : undefined,
    };
  }

  get = (path, options) => this.call("GET", path, options);
  post = (path, body, options) => this.call("POST", path, { ...options, body });
}

/** A connection that has been read from the start: `seen` is everything that came, in order. */
export class Client {
  constructor(socket) {
    this.socket = socket;
    this.seen = [];
    this.waiting = new Set();
    this.taken = new Set();
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        this.end = { code, reason: String(reason) };
        resolve(this.end);
        this.notify();
      });
    });
    socket.addEventListener("error", () => {}); // a close follows
    socket.addEventListener("message", ({ data }) => {
      this.seen.push(JSON.parse(data));
      this.notify();
    });
  }

  /** Opens with one of `CLIENTS`; further keys are parameters of the URL. Waits for `welcome`. */
  static async open(library, server, { path = "/ws", protocols = [], welcomed = true, ...query } = {}) {
    const url = new URL(server.ws + path);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const client = new Client(new CLIENTS[library](url, protocols));
    if (welcomed) client.welcome = (await client.take({ type: "system" })).data;
    return client;
  }

  notify() {
    for (const look of this.waiting) look();
  }

  send(type, room, data, fields = {}) {
    this.socket.send(JSON.stringify({ type, room, data, ...fields }));
  }

  /** Sends with an id; the `ack` or `error` that carries it. */
  request(type, room, data, fields = {}) {
    const id = fields.id ?? randomBytes(9).toString("base64url");
    this.send(type, room, data, { ...fields, id });
    return this.take((message) => ["ack", "error"].includes(message.type) && message.id === id);
  }

  /** The first message not yet taken that matches: an object holds what must be in it, a function decides. */
  take(shape) {
    const fits = typeof shape === "function" ? shape : (message) => holds(message, shape);
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer);
        this.waiting.delete(look);
        settle(value);
      };
      const fail = (why) => {
        const seen = JSON.stringify(this.seen.slice(-20));
        done(reject, new Error(`${why} while waiting for ${JSON.stringify(shape) ?? shape}; seen: ${seen}`));
      };
      const look = () => {
        const index = this.seen.findIndex((message, at) => !this.taken.has(at) && fits(message));
        if (index >= 0) {
          this.taken.add(index);
          done(resolve, this.seen[index]);
        } else if (this.end) fail(`closed ${this.end.code} ${this.end.reason}`);
      };
      const timer = setTimeout(() => fail(`nothing for ${PATIENCE_MS} ms`), PATIENCE_MS);
      this.waiting.add(look);
      look();
    });
  }

  logged(room) {
    return this.seen.filter((message) => message.room === room && message.seq !== undefined);
  }

  async close(code = 1000) {
    this.socket.close(code);
    return this.closed;
  }
}

/** Whether everything in `shape` is in `message`, objects likewise. */
function holds(message, shape) {
  if (typeof shape !== "object" || shape === null) return message === shape;
  if (typeof message !== "object" || message === null) return false;
  return Object.entries(shape).every(([key, inner]) => holds(message[key], inner));
}

/** A JWT (HS256) as an application's back end would sign it; ends in ten minutes unless `exp` says otherwise. */
export function mint(user, claims = {}) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 600;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: user, exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}
