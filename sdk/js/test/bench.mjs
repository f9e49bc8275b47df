// A client on a virtual clock, with links that say what each case needs. Holds no assertion of its own.
import { createClient } from "../dist/client.js";

/** Everything queued has run: promises, and listeners, which are called later. */
export const settled = () => new Promise((then) => setImmediate(then));

/** Time that only passes when it is told to, and chance that is always the same. */
export function virtualIo(earlyMs) {
  let now = 1_000;
  let timers = [];
  let seen = () => {};
  return {
    io: {
      now: () => now,
      random: () => 0.5,
      after(ms, then) {
        const timer = { at: now + ms - earlyMs, then };
        timers.push(timer);
        return timer;
      },
      cancel: (timer) => (timers = timers.filter((other) => other !== timer)),
      watch(look) {
        seen = look;
        return () => (seen = () => {});
      },
    },
    async pass(ms) {
      const until = now + ms;
      for (;;) {
        await settled();
        const [next] = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (!next) break;
        now = Math.max(now, next.at);
        timers = timers.filter((other) => other !== next);
        next.then();
      }
      now = until;
      await settled();
    },
    page: async (event) => {
      seen(event);
      await settled();
    },
  };
}

/** A link of the client, as its server sees it. */
class FakeLink {
  constructor(name, to, from) {
    Object.assign(this, { name, to, from, sent: [], closed: undefined });
  }

  say(message) {
    this.from.message(JSON.parse(JSON.stringify({ data: {}, ...message })));
  }

  async welcome(fields = {}) {
    this.say({ type: "system", data: { event: "welcome", user: "ada", ping_interval: 20, ...fields } });
    await settled();
  }

  system(event, fields = {}, room) {
    this.say({ type: "system", room, data: { event, ...fields } });
  }

  /** The newest request of this type. */
  last(type) {
    return this.sent.filter((request) => request.type === type).at(-1);
  }

  ids(type) {
    return this.sent.filter((request) => request.type === type).map(({ id }) => id);
  }

  ack({ id, room }, data = {}) {
    this.say({ type: "ack", id, room, data });
  }

  refuse({ id, room }, code, { retryable = false, retry_after } = {}) {
    this.say({ type: "error", id, room, data: { code, message: `${code}, says the server`, retryable, retry_after } });
  }

  joined(room, fields = {}) {
    const join = this.sent.filter((request) => request.type === "join" && request.room === room).at(-1);
    this.ack(join, { status: "joined", room, epoch: "e", seq: 5, from: 5, recovered: false, members: [], count: 0, ...fields });
  }

  message(room, seq, fields = {}) {
    this.say({ type: "text", id: `m${seq}`, room, seq, timestamp: 1.5, data: { author: "bob" }, ...fields });
  }

  async break(code = 1006, reason = "") {
    this.from.closed(code, reason);
    await settled();
  }
}

/** A client whose every link is a `FakeLink` in `links`; its timers are `earlyMs` early. */
export function bench({ earlyMs = 0, ...options } = {}, transports = ["socket"]) {
  const { io, pass, page } = virtualIo(earlyMs);
  const links = [];
  const transport = (name) => (to, from) => {
    const link = new FakeLink(name, to, from);
    links.push(link);
    return {
      send(text, request) {
        link.sent.push(JSON.parse(text));
        link.texts = [...(link.texts ?? []), text];
        return !(request.volatile && link.isFull);
      },
      close: (code) => (link.closed = code),
    };
  };
  const client = createClient(io, "http://localhost:8000", { transports: transports.map(transport), ...options });
  const states = [];
  client.on("state", (state, { retryIn, error }) => states.push([state, retryIn ?? error?.code].filter((x) => x !== undefined).join(" ")));
  return { client, links, states, pass, page, link: () => links.at(-1) };
}

/** A client in the room `r`, from `e.5` on. */
export async function joined(options) {
  const it = bench(options);
  const room = it.client.room("r");
  await settled();
  await it.link().welcome();
  it.link().joined("r");
  await settled();
  return { ...it, room, seen: recording(room) };
}

/** What a room tells, in few words. */
export function recording(room) {
  const seen = [];
  room.on("*", ({ seq, type }) => seen.push(seq ?? type));
  room.on("gap", ({ reason, epoch, seq }) => seen.push(`gap ${reason} ${epoch}.${seq}`));
  room.on("state", (state, { recovered, error }) => seen.push([state, recovered ?? error?.code].filter((x) => x !== undefined).join(" ")));
  return seen;
}
