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
import { emitter } from "./emitter.js";
import { RoomcastError, refusal } from "./error.js";
import type { Io } from "./io.js";
import { keyOf, type Envelope, type Heard, type Link, type Query, type Request } from "./link.js";
import { randomId } from "./random.js";
import { createSeat, type Seat } from "./room.js";
import { createSends } from "./sends.js";
import type { Client, ClientState, JoinOptions, Options, TokenReason } from "./types.js";

const PONG_WITHIN_MS = 8000;
/** When the page is shown again, or the network changed. */
const PROBE_WITHIN_MS = 3000;
/** A transport that has worked is left after so many tries in vain. */
const FAITH = 3;

/**
 * After which closes to come back, written as code and reason. Several share 1008 and are told apart by the word their
 * reason begins with; the group is one that asks for a fresh token.
 */
const COMEBACK = /^(?:1001|1006|1011|1012|1013|4008|1008 (?:rate_limited|(token_expired|unauthorized)))\b/;

const closed = () => new RoomcastError("closed", "client closed");

export function createClient(io: Io, url: string | URL | undefined, options: Options): Client {
  const { token, transports = [], timeout = 10_000, queue = 1024, bytes = 65_536, websocket } = options;
  const { base = 2000, max = 30_000, retries = Infinity } = options.backoff ?? {};
  const [on, emit] = emitter();
  const server = new URL(String(url ?? "/").replace(/^ws/, "http"), globalThis.location?.href ?? "http://localhost:8000");
  if (!transports[0]) throw new RoomcastError("no_transport", "no transports");
  const session = randomId();
  const seats = new Map<string, Seat>();
  /** Who waits for an answer on this connection. */
  const answers = new Map<string, Heard>();

  let state: ClientState = "idle";
  let user: string | undefined;
  let link: Link | undefined;
  /** Of the current try and its connection; what belongs to another one is passed over. */
  let life = {};
  let timer: unknown;
  let attempt = 0;
  /** Tries in a row that ended in a wait, and how many make the client doubt the transport. */
  let tries = 0;
  let faith = 0;
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

  /** Sends what waits, of a room or of all. */
  function flush(room?: string) {
    if (state !== "online" || !link) return;
    room ? seats.get(room)?.flush() : seats.forEach((seat) => seat.flush());
  }
  const sends = createSends(io, ask, flush, queue, bytes);

  const enter = (next: ClientState, info: object = {}) => {
    state = next;
    emit("state", next, info);
  };

  /** One timer serves every phase. */
  function arm(ms: number, then: () => void) {
    io.cancel(timer);
    timer = io.after(ms, then);
  }

  /** For as long as the try or the connection of now is not over. */
  function meanwhile<A extends unknown[]>(then: (...all: A) => void) {
    const mine = life;
    return (...all: A) => {
      if (mine === life) then(...all);
    };
  }

  // Connecting.

  function connect() {
    life = {};
    enter("connecting");
    arm(timeout, () => lost(1006, `no answer in ${timeout} ms`));
    fetchToken(reason).then(meanwhile(open), meanwhile((error) => lost(1006, String(error))));
  }

  const fetchToken = async (why: TokenReason) => (typeof token === "function" ? token(why) : (token ?? null));

  function open(token: string | null) {
    const joins = () => [...seats.values()].map((seat) => seat.start());
    try {
      link = transports[transport]!(
        { address, token, timeout, attempt: ++attempt, websocket, joins },
        { message: meanwhile(understand), closed: meanwhile(lost) },
      );
    } catch (error) {
      lost(1006, String(error), true);
    }
  }

  function address(path: string, query: Query = {}) {
    const at = new URL(server);
    at.pathname = at.pathname.replace(/(\/ws)?\/*$/, path);
    for (const [name, value] of Object.entries({ session, ...query })) {
      if (value != null) at.searchParams.set(name, `${value}`);
    }
    return at;
  }

  /** Told again over HTTP: each time that reading begins anew, and with the first room who the user is. */
  function welcomed({ user: who = user, ping_interval }: any) {
    if (state === "online" && user === who) return;
    user = who;
    pingMs = ping_interval * 1000;
    first = transport;
    faith = FAITH;
    tries = 0;
    comebackMs = undefined;
    isSecondToken = false;
    reason = "connect";
    enter("online");
    beat();
    flush();
  }

  // What comes.

  /** What makes no sense ends the connection, not the application: whose listeners are called later. */
  function understand(message?: Envelope) {
    heardAt = io.now();
    if (message === undefined) return;
    try {
      const { type, room, data } = message;
      const event = type === "system" && data.event;
      if (type === "ack" || type === "error") answered(message);
      else if (event === "welcome") welcomed(data);
      else if (event === "draining") comebackMs = data.reconnect_in * 1000;
      else if (event === "expiring") refresh();
      else seats.get(room ?? data.room)?.take(message);
    } catch (error) {
      lost(1006, String(error));
    }
  }

  function answered(message: Envelope) {
    const key = keyOf(message);
    const heard: Heard = answers.get(key) ?? ((error) => error && emit("error", error));
    answers.delete(key);
    message.type === "ack" ? heard(undefined, message.data) : heard(refusal(message));
  }

  /** A token that fails to come, or is refused, is noticed when the old one ends. */
  function refresh() {
    const renew = meanwhile((token: string | null) => token && ask({ type: "auth", id: randomId(), data: { token } }));
    if (typeof token === "function") fetchToken("expiring").then(renew, () => {});
  }

  function ask(request: Request, heard?: Heard, text = JSON.stringify(request)) {
    if (heard) answers.set(keyOf(request), heard);
    return link!.send(text, request);
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
    ask({ type: "ping", id: randomId() }, (_, data) => data && beat());
    arm(ms, () => (heardAt < askedAt ? lost(1006, "no pong") : probe(ms)));
  }

  function seen(event: string) {
    if (event === "hidden") return;
    if (event === "pagehide") {
      // A page with a connection is not kept for the way back.
      if (link) leave(), enter("waiting");
    } else if (state === "online") probe(PROBE_WITHIN_MS);
    else if (state === "waiting" && event !== "offline") connect();
  }

  // Ends.

  /** Lets go of the try or the connection. What was asked on it goes again, or is answered that nobody knows. */
  function leave(code = 4000, error?: RoomcastError) {
    life = {};
    io.cancel(timer);
    link?.close(code);
    link = undefined;
    sends.release();
    seats.forEach((seat) => seat.lost(error));
    answers.forEach((heard) => heard());
    answers.clear();
  }

  function lost(code: number, text: string, hasLink = !!link) {
    const [how, refused] = COMEBACK.exec(`${code} ${text}`) ?? [];
    const word = code === 1006 ? "offline" : text.split(":")[0] || "closed";
    const error = new RoomcastError(word, text || `closed with ${code}`, !!how);
    const isInVain = refused && (typeof token !== "function" || (refused === "unauthorized" && isSecondToken));
    if (!how || isInVain || tries >= retries) return end(error);
    isSecondToken ||= refused === "unauthorized";
    if (refused) reason = "expired";
    leave();
    if (code === 1006 && hasLink && state !== "online" && fall()) return connect();
    // Exponential with full jitter: a thousand pages that lost the same server don't come back in the same instant.
    const retryIn = comebackMs ?? io.random() * Math.min(max, base * 2 ** tries++);
    comebackMs = undefined;
    enter("waiting", { error, retryIn });
    arm(retryIn, connect);
  }

  /** Goes on to the next transport. Answers whether that one has not failed in this round. */
  function fall() {
    if (tries >= faith) transport = (transport + 1) % transports.length;
    return transport !== first;
  }

  function end(error: RoomcastError, code?: number) {
    if (state === "closed") return;
    unwatch();
    enter("closed", { error });
    leave(code, error);
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
      if (!/^[\w.:@~=+-]{1,128}$/.test(name)) throw new RoomcastError("invalid_room", `no room name: ${name}`);
      if (state === "closed") throw closed();
      let seat = seats.get(name);
      if (!seat) {
        seats.set(name, (seat = createSeat(io, sends, ask, () => seats.delete(name), name, options)));
        state === "idle" ? connect() : flush(name);
      }
      return seat.room;
    },
    on,
    close: () => end(closed(), 1000),
  };
}
