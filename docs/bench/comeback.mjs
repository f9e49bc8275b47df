// How clients of the TypeScript SDK come back that were all dropped at once: real ones, over real sockets.
//
//     cd sdk/js && npm ci && npm run build && cd ../..
//     ulimit -n 20000
//     node docs/bench/comeback.mjs target/release/roomcast [--clients 5000] [--processes 2] [--how expire]
//
// `expire`: the server lives, and ends all of them itself, as their tokens end in the same instant. `cut`: it lives, and a
// proxy before it cuts every connection. `kill`: it is killed and started again where it was. `drain`: it is told to stop,
// and the next one is started when it has. Prints how the clients' tries, and their returns, are spread, and the largest
// share of them in any 100 ms.
import { fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";

const SDK = new URL("../../sdk/js/", import.meta.url);
const WINDOW_MS = 100;
/** Clients that a process connects at the same time, before it goes on to the next. */
const AT_ONCE = 50;
const ROOMS = 100;
const OPTIONS = {
  clients: { type: "string", default: "5000" },
  processes: { type: "string", default: "2" },
  how: { type: "string", default: "expire" },
  // With `expire`: within so many seconds all must have come.
  within: { type: "string", default: "30" },
};

const now = () => performance.timeOrigin + performance.now();
const inTests = (file) => import(new URL(`test/server/${file}`, SDK));

/** So many clients, each in a room; tells when each is lost, tries and is back. */
async function clients(url, share, tokenEndsAt) {
  const { connect, websocket } = await import(new URL("dist/index.js", SDK));
  // No compression, which `ws` prepares for at each connection: what is measured shares the machine with what measures.
  const WebSocket = class extends createRequire(SDK)("ws") {
    constructor(url) {
      super(url, { perMessageDeflate: false });
    }
  };
  const { mint } = await inTests("server.mjs");
  const count = Number(share);
  const first = mint("crowd", { exp: Number(tokenEndsAt) });
  const later = mint("crowd", { seconds: 3600 });
  // Nobody gets a fresh token before the old one has ended.
  const token = async (why) => (why === "connect" ? first : why === "expired" ? later : Promise.reject(Error("not yet")));

  let isTold = false;
  const told = { lost: [], waits: [], tries: [], back: [] };
  const note = (state, retryIn) => {
    if (state === "waiting") told.lost.push(now()), told.waits.push(retryIn);
    if (state === "connecting") told.tries.push(now());
    if (state === "online" && told.back.push(now()) === count) process.send({ told });
  };
  for (let n = 0; n < count; n += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - n) }, (_, k) => {
      const client = connect(url, { transports: [websocket], websocket: WebSocket, token });
      client.room(`comeback:${(n + k) % ROOMS}`, { presence: false });
      client.on("state", (state, { retryIn }) => isTold && note(state, retryIn));
      return new Promise((then) => client.on("state", (state) => state === "online" && then()));
    });
    await Promise.all(some);
  }
  process.on("message", () => (isTold = true));
  process.send({ ready: true });
}

/** Passes everything on, until it is told to cut. */
async function proxy(port) {
  const { Proxy } = await inTests("proxy.mjs");
  const middle = await Proxy.before({ port: Number(port) });
  process.on("message", () => middle.cut());
  process.send({ url: middle.url });
}

/** Drops them all. Resolves when there is a server again. */
const ways = {
  expire: async () => {},
  cut: async (_, middle) => void middle.send("cut"),
  async kill(server) {
    await server.kill();
    await server.start();
  },
  async drain(server) {
    server.process.kill("SIGTERM");
    await once(server.process, "exit");
    await server.start();
  },
};

async function bench() {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const { how } = values;
  if (positionals.length !== 1 || !ways[how]) throw new Error("usage: comeback.mjs BINARY [--clients N] [--processes N] [--how expire|cut|kill|drain]");
  process.env.ROOMCAST_BIN = positionals[0];
  const [count, processes] = [Number(values.clients), Number(values.processes)];
  const { Server } = await inTests("server.mjs");

  const server = await Server.serve();
  const run = (...words) => fork(import.meta.filename, words.map(String), { execArgv: ["--max-semi-space-size=128"] });
  const middle = run("proxy", server.port);
  const [{ url }] = await once(middle, "message");
  const endsAt = Math.ceil(now() / 1000) + (how === "expire" ? Number(values.within) : 3600);
  const shares = Array.from({ length: processes }, (_, n) => Math.floor((count + n) / processes));
  const crowd = shares.map((share) => run("clients", how === "cut" ? url : server.url, share, endsAt));
  await Promise.all(crowd.map((child) => once(child, "message")));
  if (how === "expire" && now() > (endsAt - 1) * 1000) throw new Error(`not all had come in time: raise --within ${values.within}`);

  const tellings = crowd.map((child) => once(child, "message"));
  for (const child of crowd) child.send("now");
  const began = how === "expire" ? endsAt * 1000 : now();
  await ways[how](server, middle);
  if (how === "kill" || how === "drain") console.log(`the next server was there after ${Math.round(now() - began)} ms`);
  const all = (await Promise.all(tellings)).map(([{ told }]) => told);
  for (const child of [...crowd, middle]) child.kill();
  await server.stop();
  report(count, processes, how, all, began);
}

// Figures.

function report(count, processes, how, all, began) {
  const sorted = (name, from) => all.flatMap((told) => told[name].map((at) => at - from)).sort((a, b) => a - b);
  console.log(`${count} clients in ${processes} processes, dropped by \`${how}\`; Node ${process.version}, ${cpus().length} CPUs, Linux ${release()}`);
  row("noticed the end", sorted("lost", began));
  row("waits that were drawn", sorted("waits", 0));
  row("tries", sorted("tries", began));
  row("back (welcome)", sorted("back", began));
}

/** The largest number in any window of 100 ms, wherever it begins. */
function crowdest(sorted) {
  let [first, most, from] = [0, 0, 0];
  for (let last = 0; last < sorted.length; last++) {
    while (sorted[last] - sorted[first] >= WINDOW_MS) first++;
    if (last - first + 1 <= most) continue;
    [most, from] = [last - first + 1, sorted[first]];
  }
  return [most, Math.round(from)];
}

function row(name, sorted) {
  const [most, from] = crowdest(sorted);
  const at = (share) => Math.round(sorted[Math.floor((sorted.length - 1) * share)]);
  const share = ((100 * most) / sorted.length).toFixed(1);
  console.log(`${name}: ${sorted.length}, from ${at(0)} to ${at(1)} ms, half by ${at(0.5)} ms; at most ${most} (${share} %) in any ${WINDOW_MS} ms, from ${from} ms on`);
}

const [role, ...words] = process.argv.slice(2);
if (role === "clients") await clients(...words);
else if (role === "proxy") await proxy(...words);
else await bench();
