// Tabs of one browser and a server, all in one process: locks, channels and connections whose steps go one at a time, in
// an order that chance decides. Holds no assertion.
import { createClient } from "../dist/client.js";
import { share } from "../dist/share.js";

const settled = () => new Promise((then) => setImmediate(then));

/** The same numbers for the same seed, in [0, 1). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What happens on one way, in order. */
class Lane {
  steps = [];
  push(step) {
    this.steps.push(step);
  }
}

/** A server's rooms, with the promises of PROTOCOL that share builds on; what is due to a reader goes when chance says. */
class Server {
  rooms = new Map();
  connections = new Set();
  opened = 0;
  epochs = 0;

  room(name) {
    if (!this.rooms.has(name)) this.rooms.set(name, { epoch: `e${this.epochs++}`, log: [], floor: 0, ids: new Map() });
    return this.rooms.get(name);
  }

  publish(name, id, data = {}) {
    const room = this.room(name);
    const duplicate = room.ids.has(id);
    if (!duplicate) room.ids.set(id, room.log.push({ type: "text", id, room: name, seq: room.log.length + 1, timestamp: 1, data }));
    return { status: "delivered", seq: room.ids.get(id), epoch: room.epoch, timestamp: 1, ...(duplicate && { duplicate }) };
  }

  /** The log goes on, and what is before is forgotten. */
  forget(name) {
    const room = this.room(name);
    room.floor = room.log.length;
  }

  /** The log is lost. */
  lose(name) {
    this.rooms.delete(name);
  }
}

class Connection {
  seats = new Map();
  in = new Lane();
  out = new Lane();
  isOpen = true;
  /** Rooms with a join on its way. */
  joining = new Set();
  /** What was shown of its person. */
  states = [];

  constructor(server, to, from) {
    const query = to.address("/ws").searchParams;
    Object.assign(this, { server, from, session: query.get("session"), user: query.get("user"), attempt: to.attempt });
    this.in.push(() => this.admit());
  }

  admit() {
    const { server, session, attempt } = this;
    server.opened++;
    for (const other of server.connections) {
      if (other.session !== session) continue;
      if (other.attempt > attempt) return this.end(4009, "taken_over: by a later try");
      other.end(4009, "taken_over: elsewhere");
    }
    server.connections.add(this);
    this.say({ type: "system", data: { event: "welcome", session, user: this.user ?? "guest", ping_interval: 20 } });
  }

  say(message) {
    this.out.push(() => {
      if (!this.isOpen) return;
      if (message.type === "ack" && message.data.from !== undefined) this.joining.delete(message.room);
      this.from.message(JSON.parse(JSON.stringify(message)));
    });
  }

  /** The client hears of it; what it sent meanwhile is lost. */
  end(code, reason) {
    if (!this.isOpen) return;
    this.server.connections.delete(this);
    this.in.steps = [];
    this.out.push(() => this.isOpen && ((this.isOpen = false), this.from.closed(code, reason)));
  }

  take({ type, id, room: name, data }) {
    const ack = (data) => this.say({ type: "ack", id, room: name, data });
    if (type === "join") this.join(name, data, ack);
    else if (type === "leave") this.seats.delete(name), ack({ status: "left" });
    else if (type === "ping") ack({ status: "pong" });
    else if (type === "history") ack({ status: "history", messages: this.server.room(name).log, complete: true });
    else if (!this.seats.has(name)) this.say({ type: "error", id, room: name, data: { code: "not_joined", message: "join first", retryable: false } });
    else ack(this.server.publish(name, id, data));
  }

  join(name, { since, last, presence, state }, ack) {
    const room = this.server.room(name);
    const head = room.log.length;
    const seat = this.seats.get(name);
    const [epoch, at] = since?.split(".") ?? [];
    const isHonoured = epoch === room.epoch && +at >= room.floor && +at <= head;
    let from = head;
    if (isHonoured) from = +at;
    else if (!since && last) from = Math.max(head - last, room.floor);
    else if (!since && seat?.epoch === room.epoch) from = seat.at;
    const reset = since && !isHonoured && (epoch !== room.epoch ? "epoch" : +at > head ? "future" : "too_old");
    this.seats.set(name, { epoch: room.epoch, at: from, presence });
    if (state) this.states.push(state.is);
    ack({ status: "joined", room: name, epoch: room.epoch, seq: head, from, recovered: isHonoured, ...(reset && { reset }), members: [], count: 0 });
    if (reset) this.reset(name, reset);
  }

  reset(name, reason) {
    const { epoch, log } = this.server.room(name);
    const seat = this.seats.get(name);
    Object.assign(seat, { epoch, at: log.length });
    this.say({ type: "system", data: { event: "reset", room: name, reason, epoch, seq: log.length } });
  }

  /** One message that is due in the room, if there is one. Answers whether. */
  flush(name) {
    const seat = this.seats.get(name);
    const room = this.server.room(name);
    if (seat.epoch !== room.epoch) return this.reset(name, "epoch"), true;
    if (seat.at < room.floor) return this.reset(name, "too_old"), true;
    const next = room.log[seat.at];
    if (!next) return false;
    seat.at++;
    this.say(next);
    return true;
  }
}

export class World {
  lanes = new Set();
  tabs = [];
  server = new Server();
  /** Who has a lock, and who waits, by name. */
  locks = new Map();
  channels = new Set();
  /** The server writes nothing of a log by itself. */
  holdsBack = false;

  constructor(random = () => 0) {
    this.random = random;
  }

  lane(owner) {
    const lane = new Lane();
    lane.owner = owner;
    this.lanes.add(lane);
    return lane;
  }

  pick = (all) => all[Math.floor(this.random() * all.length)];

  /** Something happens. Answers whether anything could. */
  async step() {
    const lanes = [...this.lanes].filter(({ steps, owner }) => steps.length && !owner?.isFrozen);
    const due = [...this.server.connections].flatMap((connection) =>
      [...connection.seats.keys()].filter((name) => this.isDue(connection, name)).map((name) => ({ steps: [() => connection.flush(name)] })));
    const lane = this.pick([...lanes, ...due]);
    const step = lane?.steps.shift();
    if (step) lane.owner ? lane.owner.run(step) : step();
    await settled();
    return !!lane;
  }

  isDue(connection, name) {
    if (this.holdsBack) return false;
    const { epoch, at } = connection.seats.get(name);
    const room = this.server.room(name);
    return epoch !== room.epoch || at < room.log.length;
  }

  async steps(count) {
    for (let n = 0; n < count; n++) await this.step();
  }

  /** Until nothing is left to happen, again and again for so many seconds. */
  async quiet(seconds = 0) {
    for (;;) {
      do {
        this.pass(0);
        await settled();
      } while (await this.step());
      if (seconds-- <= 0) return;
      this.pass(1000);
    }
  }

  pass(ms) {
    for (const tab of this.tabs) tab.pass(ms);
  }

  // Locks.

  locksOf(tab) {
    return { request: (name, options, then) => this.request(tab, name, options, then) };
  }

  /** What a tab asks of the browser gets there in order, but on a way of its own: what it says may be sooner. */
  request(tab, name, { steal, signal }, then) {
    const lock = this.locks.get(name) ?? { queue: [] };
    this.locks.set(name, lock);
    return new Promise((done, failed) => {
      const wish = { tab, then, done, failed };
      tab.wishes.push(() => {
        if (signal?.aborted) return failed(signal.reason);
        if (steal) {
          const { held } = lock;
          held?.tab.lockLane.push(() => held.failed(new DOMException("robbed", "AbortError")));
          lock.held = undefined;
          lock.queue.unshift(wish);
        } else lock.queue.push(wish);
        signal?.addEventListener("abort", () => {
          const isWaiting = lock.queue.includes(wish);
          lock.queue = lock.queue.filter((other) => other !== wish);
          if (isWaiting) failed(signal.reason);
        });
        this.grant(name);
      });
    });
  }

  grant(name) {
    const lock = this.locks.get(name);
    if (lock.held || !lock.queue.length) return;
    const wish = (lock.held = lock.queue.shift());
    const free = () => {
      if (lock.held === wish) lock.held = undefined;
      this.grant(name);
    };
    wish.tab.lockLane.push(() => lock.held === wish && Promise.resolve(wish.then()).then(free).then(wish.done));
  }

  /** The locks of a tab that is gone. */
  free(tab) {
    for (const [name, lock] of this.locks) {
      lock.queue = lock.queue.filter((wish) => wish.tab !== tab);
      if (lock.held?.tab === tab) lock.held = undefined;
      this.grant(name);
    }
  }

  /** A tab with a client of its own. Its rooms are recorded. */
  open(options = {}) {
    const tab = new Tab(this, options);
    this.tabs.push(tab);
    return tab;
  }

  transport(tab) {
    return (to, from) => {
      const connection = new Connection(this.server, to, from);
      connection.in.owner = undefined;
      connection.out.owner = tab;
      this.lanes.add(connection.in).add(connection.out);
      tab.connections.push(connection);
      return {
        send(text) {
          const request = JSON.parse(text);
          if (request.type === "join") {
            if (connection.joining.has(request.room)) throw new Error(`two joins of ${request.room} at once`);
            connection.joining.add(request.room);
          }
          connection.in.push(() => connection.take(request));
          return true;
        },
        close: (code) => {
          connection.isOpen = false;
          connection.closed = code;
          connection.in.push(() => this.server.connections.delete(connection));
        },
      };
    };
  }
}

class Tab {
  isFrozen = false;
  isGone = false;
  connections = [];
  now = 1000;
  timers = [];

  constructor(world, { user = "", url = "http://localhost:8000", transports, ...options }) {
    this.world = world;
    this.wishes = world.lane();
    this.lockLane = world.lane(this);
    const shared = share(transports?.(this) ?? [world.transport(this)], user);
    const inTab = shared.map((transport) => (to, from) => this.run(() => transport(to, from)));
    this.client = createClient(this.io(), url, { transports: inTab, ...options });
  }

  /** With what a tab has of its own. */
  run(act) {
    const { world } = this;
    const tab = this;
    const saved = ["navigator", "BroadcastChannel", "performance", "setTimeout", "clearTimeout"].map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
    const set = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    set("navigator", { locks: world.locksOf(tab) });
    set("performance", { now: () => tab.now });
    set("setTimeout", (then, ms, ...words) => tab.after(ms, () => then(...words)));
    set("clearTimeout", (timer) => tab.cancel(timer));
    set("BroadcastChannel", class {
      constructor(name) {
        Object.assign(this, { name, tab, lane: world.lane(tab) });
        world.channels.add(this);
      }
      postMessage(frame) {
        if (!world.channels.has(this)) throw new DOMException("the channel is closed", "InvalidStateError");
        if (tab.isGone) return;
        for (const other of world.channels) {
          if (other === this || other.name !== this.name) continue;
          const copy = structuredClone(frame);
          other.lane.push(() => world.channels.has(other) && other.onmessage({ data: copy }));
        }
      }
      close() {
        world.channels.delete(this);
      }
    });
    try {
      return act();
    } finally {
      for (const [name, descriptor] of saved) descriptor ? Object.defineProperty(globalThis, name, descriptor) : delete globalThis[name];
    }
  }

  io() {
    return {
      now: () => this.now,
      random: () => this.world.random(),
      after: (ms, then) => this.after(ms, then),
      cancel: (timer) => this.cancel(timer),
      watch: (seen) => ((this.seen = seen), () => (this.seen = () => {})),
    };
  }

  after(ms, then) {
    const timer = { at: this.now + (ms ?? 0), then };
    this.timers.push(timer);
    return timer;
  }

  cancel(timer) {
    this.timers = this.timers.filter((other) => other !== timer);
  }

  pass(ms) {
    if (this.isFrozen || this.isGone) return;
    const until = this.now + ms;
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.now = Math.max(this.now, next.at);
      this.cancel(next);
      this.run(next.then);
    }
    this.now = until;
  }

  /** Joins a room, and records what it tells; a message as its data's `n`, or its seq. */
  room(name, options) {
    const room = this.client.room(name, options);
    const seen = [];
    room.on("state", (state, { recovered, error }) => seen.push({ state, recovered, error, position: room.position }));
    room.on("gap", (gap) => seen.push({ gap }));
    room.on("*", (message) => seen.push({ message }));
    return Object.assign(room, { seen, seqs: () => seen.flatMap(({ message }) => message?.seq ?? []) });
  }

  /** The connection, if it has one. */
  get link() {
    return this.connections.find((connection) => this.world.server.connections.has(connection));
  }

  close() {
    this.client.close();
  }

  /** As the browser does it: nothing of the tab runs any more, its locks are free, its connections are cut. */
  crash() {
    this.isGone = this.isFrozen = true;
    for (const channel of this.world.channels) if (channel.tab === this) this.world.channels.delete(channel);
    this.wishes.steps = [];
    this.world.free(this);
    for (const connection of this.connections) {
      connection.in.steps = [];
      this.world.server.connections.delete(connection);
    }
    this.world.tabs = this.world.tabs.filter((tab) => tab !== this);
  }
}
