// Runs the traces of `conformance/sessions.json` through the client and its WebSocket link: a socket, a clock and a
// chance of their own, nothing else is replaced. How a trace is read stands in `conformance/README.md`.
import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { createClient } from "../dist/client.js";
import { websocket } from "../dist/ws.js";
import { settled, virtualIo } from "./bench.mjs";
import { matches, substituted, vectors } from "./conformance.mjs";

const { where, groups } = vectors("sessions.json");
const traces = new Map(groups.flatMap((group) => group.traces).map((trace) => [trace.name, trace]));

/** What a room, a send and the client tell; between these there is no order. */
const TELLERS = [["live", "message", "gap", "over"], ["acked", "rejected"], ["online", "waiting", "closed"]];

const STEP_MS = 500;
mock.timers.enable({ apis: ["Date"], now: 1_711_000_000_000 });

/** The one key of a step that says what happens, and its details. */
const inputOf = (step) => Object.entries(step).find(([key]) => key !== "out" && key !== "told");

/** A client, its sockets, and all that came of the last step. */
class Run {
  variables = { ...where };
  out = [];
  told = [];
  rooms = new Map();
  /** Frames by their ids: the same id must always be the same bytes. */
  frames = new Map();
  connects = [];
  isClosed = false;

  constructor({ token = "none", random = 0.5, queue, bytes } = {}) {
    const { io, pass } = virtualIo(0);
    this.pass = pass;
    this.client = createClient({ ...io, random: () => random }, "http://localhost:8000", {
      transports: [websocket],
      websocket: socketOf(this),
      token: token === "fetched" ? (why) => this.fetch(why) : token === "none" ? undefined : token.fixed,
      ...(queue && { queue }),
      ...(bytes && { bytes }),
    });
    this.client.on("state", (state, { retryIn }) => {
      if (state === "online") this.told.push({ online: { user: this.client.user } });
      if (state === "waiting") this.told.push({ waiting: { ms: retryIn } });
      if (state === "closed" && !this.isClosed) this.told.push({ closed: {} });
    });
  }

  fetch(why) {
    this.out.push({ fetch: { why } });
    return new Promise((resolve, reject) => (this.asked = { resolve, reject }));
  }

  connected(socket) {
    const query = new URL(socket.url).searchParams;
    this.socket = socket;
    this.connects.push({ session: query.get("session"), attempt: Number(query.get("attempt")) });
    this.out.push({ connect: { token: query.get("token") } });
  }

  sent(text) {
    const frame = JSON.parse(text);
    if (frame.type === "ping") this.ping = frame;
    if (frame.id) assert.equal(text, this.frames.get(frame.id) ?? text, "an id that was used before, for other bytes");
    if (frame.id) this.frames.set(frame.id, text);
    this.out.push(frame.type === "ping" ? { ping: {} } : { frame });
  }

  async step(step) {
    const [what, details] = inputOf(step);
    await this[`on_${what}`](substituted(details, this.variables));
    await this.pass(0);
    for (const kinds of TELLERS) {
      const of = (all = []) => all.filter((each) => kinds.includes(Object.keys(each)[0]));
      this.expect(of(this.told), of(step.told));
    }
    this.expect(this.out, step.out ?? []);
    assert.ok((step.told ?? []).every((each) => TELLERS.flat().includes(Object.keys(each)[0])));
    this.out = [];
    this.told = [];
  }

  expect(found, expected) {
    const isAsExpected = found.length === expected.length && expected.every((each, n) => matches(found[n], each, this.variables));
    if (!isAsExpected) assert.deepEqual(found, substituted(expected, this.variables));
  }

  // What the application does.

  on_join({ room: name, ...options }) {
    const room = this.client.room(name, options);
    const tell = (what, details) => this.told.push({ [what]: { room: name, ...details } });
    this.rooms.set(name, room);
    room.on("*", (message) => tell("message", message));
    room.on("gap", (gap) => tell("gap", gap));
    room.on("state", (state, { recovered, error }) => {
      if (state === "live") tell("live", { recovered });
      if (state === "denied" || (state === "left" && !this.isClosed && !room.isLeft)) tell("over", { code: error.code });
    });
  }

  on_leave({ room }) {
    this.rooms.get(room).isLeft = true;
    this.rooms.get(room).leave();
  }

  on_send({ as, room, type, data, volatile = false }) {
    const sent = this.rooms.get(room).send(type, data, { volatile });
    const acked = (ack) => volatile || this.told.push({ acked: { as, ...ack } });
    sent.then(acked, ({ code }) => this.told.push({ rejected: { as, code } }));
  }

  on_typing({ room, typing }) {
    this.rooms.get(room).typing(typing);
  }

  on_state({ room, state }) {
    this.rooms.get(room).presence.set(state);
  }

  on_token(token) {
    this.asked.resolve(token);
  }

  on_no_token(why) {
    this.asked.reject(new Error(why));
  }

  on_close() {
    this.isClosed = true;
    this.client.close();
  }

  // What the server and the network do.

  on_opened() {
    this.socket.onopen?.({});
  }

  on_hear(what) {
    for (const each of [what].flat()) this.socket.onmessage?.({ data: typeof each === "string" ? each : JSON.stringify(each) });
  }

  on_pong() {
    this.on_hear({ type: "ack", id: this.ping.id, data: { status: "pong" }, timestamp: 1711000001.5 });
  }

  on_closed({ code, reason }) {
    this.socket.ended(code, reason);
  }

  on_cut() {
    this.socket.onerror?.({});
    this.socket.ended(1006, "");
  }

  /** The wall clock goes along, half a second ahead at most. */
  async on_pass(ms) {
    for (let left = ms; left > 0; left -= STEP_MS) {
      const slice = Math.min(left, STEP_MS);
      mock.timers.setTime(Date.now() + slice);
      await this.pass(slice);
    }
  }
}

const socketOf = (run) =>
  class {
    bufferedAmount = 0;
    onopen = this.onmessage = this.onclose = this.onerror = null;

    constructor(url) {
      this.url = url;
      run.connected(this);
    }

    send(text) {
      run.sent(text);
    }

    close(code) {
      if (!this.isOver) run.out.push(code === 1000 ? { close: { code } } : { drop: {} });
      this.isOver = true;
    }

    ended(code, reason) {
      this.isOver = true;
      this.onclose?.({ code, reason });
    }
  };

/** The trace with what comes before it. */
function whole({ after, client, steps }) {
  if (!after) return { client, steps };
  const before = whole(traces.get(after));
  return { client: { ...before.client, ...client }, steps: [...before.steps, ...steps] };
}

for (const trace of traces.values()) {
  const { client, steps } = whole(trace);
  for (const variables of trace.each ?? [{}]) {
    test(`${trace.name} ${trace.each ? JSON.stringify(variables) : ""}`, async () => {
      const run = new Run(substituted(client, variables));
      Object.assign(run.variables, variables);
      for (const [n, step] of steps.entries()) {
        await run.step(step).catch((error) => {
          throw new Error(`step ${n + 1}, ${JSON.stringify(step)}: ${error.message}`);
        });
      }
      await settled();
      run.connects.reduce((before, { session, attempt }) => {
        assert.match(session, /^[\w-]{22}$/);
        assert.equal(session, before.session ?? session, "the session stays");
        assert.ok(attempt > before.attempt, "the attempt rises");
        return { session, attempt };
      }, { attempt: 0 });
    });
  }
}
