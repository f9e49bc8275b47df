/**
 * One client, over all its connections.
 *
 * | phase | time | a message | connection lost | `close` |
 * |---|---|---|---|---|
 * | `idle` | | | | `closed` |
 * | `waiting` | `connecting` | | | `closed` |
 * | `connecting`: a token, then a link | a try may take so long | `welcome`: `online` | `waiting` or `closed` | `closed` |
 * | `online` | pings; gives up a silent server | handled | `waiting` or `closed` | says so, `closed` |
 * | `closed` | | | | |
 *
 * What a room is to its reader is `room.ts`, what waits for acks is `sends.ts`, how bytes travel a link.
 */
import { backoff, comeback } from "./backoff.js";
import { emitter, type Off } from "./emitter.js";
import { RoomcastError, refusal } from "./error.js";
import type { Io } from "./io.js";
import type { Envelope, Link, Query, Request } from "./link.js";
import { randomId } from "./random.js";
import { createSeat, type Host, type Seat } from "./room.js";
import type { Client, ClientState, JoinOptions, Options, TokenReason } from "./types.js";

const PONG_WITHIN_MS = 8000;
/** When the page is shown again, or the network changed. */
const PROBE_WITHIN_MS = 3000;
/** A transport that has worked is left after so many tries in vain. */
const FAITH = 3;

const utf8 = new TextEncoder();

export function createClient(io: Io, url: string | URL | undefined, options: Options): Client {
  const { token, transports = [], timeout = 10_000, queue = 1024, bytes = 65_536, websocket } = options;
  const { base = 2000, max = 30_000, retries = Infinity } = options.backoff ?? {};
  const { on, emit } = emitter();
  const server = new URL(url ?? "/", globalThis.location?.href);
  const session = randomId();
  const seats = new Map<string, Seat>();
  /** Who waits for an answer on this connection, by room and id. */
  const answers = new Map<string, (answer?: Envelope) => void>();

  let state: ClientState = "idle";
  let user: string | undefined;
  let link: Link | undefined;
  /** Of the current try and its connection; what belongs to another one is passed over. */
  let life = {};
  let timer: unknown;
  let attempt = 0;
  /** Tries in a row that ended in a wait. */
  let tries = 0;
  let reason: TokenReason = "connect";
  /** The server has refused a fresh token, and one more is being tried. */
  let isSecondToken = false;
  /** How long to wait after the server's close, if it said so. */
  let comebackMs: number | undefined;
  let heardAt = 0;
  let pingMs = 0;
  /** Which transport is tried, and which first: what has worked. */
  let transport = 0;
  let first = 0;
  let hasWorked = false;

  const host: Host = {
    io,
    heldUntil: 0,
    open: () => state === "online",
    ask,
    later: (seconds) => void io.after(seconds * 1000, flush),
    full(text) {
      const size = utf8.encode(text).length;
      if (size > bytes) return new RoomcastError("too_large", `the message has ${size} bytes, and ${bytes} are taken`);
      let waiting = 0;
      for (const seat of seats.values()) waiting += seat.waiting();
      if (waiting < queue) return;
      return new RoomcastError("queue_full", `${waiting} sends wait for their answers, the most that may`, true);
    },
    gone(seat) {
      const { name } = seat.room;
      if (seats.get(name) === seat) seats.delete(name);
    },
  };

  const enter = (next: ClientState, info: object = {}) => {
    state = next;
    emit("state", next, info);
  };

  /** One timer serves every phase. */
  function arm(ms: number, then: () => void) {
    io.cancel(timer);
    timer = io.after(ms, then);
  }

  function flush() {
    for (const seat of [...seats.values()]) seat.flush();
  }

  // Connecting.

  function connect() {
    const mine = (life = {});
    enter("connecting");
    arm(timeout, () => lost(1006, `no answer within ${timeout} ms`));
    const failed = ({ message }: Error) => mine === life && lost(1006, message);
    fetchToken(reason).then((token) => mine === life && open(mine, token), failed);
  }

  const fetchToken = async (why: TokenReason) => (typeof token === "function" ? token(why) : (token ?? null));

  function open(mine: object, token: string | null) {
    const guarded =
      <A extends unknown[]>(then: (...args: A) => void) =>
      (...args: A) => {
        if (mine === life) then(...args);
      };
    const to = { address, token, timeout, attempt: ++attempt, websocket, joins: () => [...seats.values()].map((s) => s.start()) };
    const from = { heard: guarded(heard), message: guarded(message), closed: guarded(lost) };
    try {
      link = transports[transport]!(to, from);
    } catch (error) {
      lost(1006, String(error), true);
    }
  }

  function address(path: string, query: Query = {}) {
    const at = new URL(server);
    at.protocol = at.protocol.replace("ws", "http");
    at.pathname = at.pathname.replace(/(\/ws)?\/*$/, path);
    for (const [name, value] of Object.entries({ session, ...query })) {
      for (const each of [value].flat()) if (each != null) at.searchParams.append(name, String(each));
    }
    return at;
  }

  function welcomed(data: any) {
    user = data.user;
    pingMs = data.ping_interval * 1000;
    first = transport;
    hasWorked = true;
    tries = host.heldUntil = 0;
    isSecondToken = false;
    reason = "connect";
    comebackMs = undefined;
    enter("online");
    beat();
    flush();
  }

  // What comes.

  function heard() {
    heardAt = io.now();
  }

  function message(message: Envelope) {
    const { type, room = "", data } = message;
    if (type === "ack" || type === "error") return answered(message);
    if (type !== "system") return seats.get(room)?.take(message);
    const { event } = data;
    if (event === "welcome") welcomed(data);
    else if (event === "draining") comebackMs = data.reconnect_in * 1000;
    else if (event === "expiring") refresh();
    else seats.get(room || data.room)?.take(message);
  }

  function answered(message: Envelope) {
    const key = `${message.room ?? ""} ${message.id}`;
    const heard = answers.get(key);
    answers.delete(key);
    if (heard) heard(message);
    else if (message.type === "error") emit("error", refusal(message));
  }

  /** A token that fails to come, or is refused, is noticed when the old one ends. */
  function refresh() {
    const mine = life;
    if (typeof token !== "function") return;
    const renew = (token: string | null) => mine === life && token && ask({ type: "auth", id: randomId(), data: { token } });
    fetchToken("expiring").then(renew, () => {});
  }

  function ask(request: Request, heard?: (answer?: Envelope) => void, text?: string) {
    if (heard) answers.set(`${request.room ?? ""} ${(request.id ??= randomId())}`, heard);
    return link!.send(text ?? JSON.stringify(request), request);
  }

  // Silence.

  /** Looks whether the server has been silent for too long; then it is asked, and given up if it doesn't answer. */
  function beat() {
    const due = heardAt + pingMs - io.now();
    if (due > 0) arm(due, beat);
    else probe(PONG_WITHIN_MS);
  }

  /** Bytes that were on their way already are no answer, but a sign that one may still come. */
  function probe(ms: number) {
    const askedAt = io.now();
    let isAnswered = false;
    ask({ type: "ping" }, () => (isAnswered = true));
    arm(ms, () => {
      if (isAnswered) beat();
      else if (heardAt >= askedAt) probe(ms);
      else lost(1006, "the server answered no ping");
    });
  }

  function seen(event: string) {
    if (event === "hidden") return;
    if (event === "pagehide") {
      // A page with a connection is not kept for the way back.
      if (link) drop(), enter("waiting");
    } else if (state === "online") probe(PROBE_WITHIN_MS);
    else if (state === "waiting" && event !== "offline") connect();
  }

  // Ends.

  /** Lets go of the try or the connection. What was asked on it goes again, or is answered that nobody knows. */
  function leave(code: number, each: (seat: Seat) => void) {
    life = {};
    io.cancel(timer);
    link?.close(code);
    link = undefined;
    const unheard = [...answers.values()];
    answers.clear();
    [...seats.values()].forEach(each);
    for (const heard of unheard) heard();
  }

  const drop = () => leave(4000, (seat) => seat.lost());

  function lost(code: number, text: string, hasLink = !!link) {
    const isWelcomed = state === "online";
    const word = text.split(":")[0]!;
    const how = comeback(code, text);
    const error = new RoomcastError(code === 1006 ? "offline" : word || "closed", text || `closed with ${code}`, !!how);
    const isForGood = (how === "token" || how === "once") && (typeof token !== "function" || (how === "once" && isSecondToken));
    isSecondToken ||= how === "once";
    if (how === "token" || how === "once") reason = "expired";
    if (!how || isForGood || tries >= retries) return end(error);
    drop();
    if (code === 1006 && hasLink && !isWelcomed && fall()) return connect();
    const retryIn = comebackMs ?? backoff(tries++, base, max, io.random());
    comebackMs = undefined;
    enter("waiting", { error, retryIn });
    arm(retryIn, connect);
  }

  /** Goes on to the next transport. Answers whether that one has not failed in this round. */
  function fall() {
    if (!hasWorked || tries >= FAITH) transport = (transport + 1) % transports.length;
    return transport !== first;
  }

  function end(error: RoomcastError, code = 4000) {
    if (state === "closed") return;
    unwatch();
    enter("closed", { error });
    leave(code, (seat) => seat.end("left", error));
  }

  const unwatch = io.watch(seen);

  return {
    get state() {
      return state;
    },
    get user() {
      return user;
    },
    room(name: string, options: JoinOptions<any> = {}): any {
      if (!/^[\w.:@~=+-]{1,128}$/.test(name)) {
        throw new RoomcastError("invalid_room", `"${name}" is no room name: 1-128 of A-Z a-z 0-9 _ . : @ ~ = + -`);
      }
      if (state === "closed") throw new RoomcastError("closed", "the client was closed");
      let seat = seats.get(name);
      if (!seat) {
        seats.set(name, (seat = createSeat(host, name, options)));
        if (state === "idle") connect();
        else seat.flush();
      }
      return seat.room;
    },
    on: (event: string, listener: any): Off => on(event, listener),
    close: () => end(new RoomcastError("closed", "the client was closed"), 1000),
  };
}
