/** What an application sees: types alone. */
import type { RoomcastError } from "./error.js";
import type { Off } from "./emitter.js";
import type { Transport, WebSocketClass } from "./link.js";

export type { Off };

/** A place in a room's log. */
export interface Position {
  epoch: string;
  seq: number;
}

export type ClientState = "idle" | "connecting" | "online" | "waiting" | "closed";
export type RoomState = "joining" | "live" | "left" | "denied";

/** Why the application is asked for a token. */
export type TokenReason = "connect" | "expiring" | "expired";
type Awaitable<T> = T | PromiseLike<T>;

export interface Options {
  /** Who the user is. A function is asked before each connection and before a token ends; `null` is a guest. */
  token?: string | ((why: TokenReason) => Awaitable<string | null>) | undefined;
  /** What to connect by, in this order. */
  transports?: readonly Transport[] | undefined;
  /** Before try n the wait is uniform in 0..min(max, base · 2ⁿ) ms: 2,000 and 30,000. `retries`: then give up; never. */
  backoff?: { base?: number; max?: number; retries?: number } | undefined;
  /** How long a try may take, in ms: 10,000. */
  timeout?: number | undefined;
  /** How many sends of all rooms may wait for their answers: 1,024. */
  queue?: number | undefined;
  /** How many bytes the server takes in a message, the whole envelope: 65,536. */
  bytes?: number | undefined;
  /** The WebSocket class, where there is none or another one is wanted: npm's `ws` in Node below 22. */
  websocket?: WebSocketClass | undefined;
}

export interface Client {
  readonly state: ClientState;
  /** Who the client is to the server, once it is online. */
  readonly user: string | undefined;
  /** The room; joined and read from now on until `leave`. The same name is the same room. */
  room<M extends Payloads<M> = AnyPayloads, S = AnyState>(name: string, options?: JoinOptions<S>): Room<M, S>;
  on(event: "state", listener: (state: ClientState, why: StateInfo) => void): Off;
  /** A refusal that no promise tells: of typing, presence, or a volatile message. */
  on(event: "error", listener: (error: RoomcastError) => void): Off;
  /** For good, and politely. */
  close(): void;
}

export interface StateInfo {
  /** Why it is `waiting` or `closed`. */
  error?: RoomcastError;
  /** Milliseconds until the next try. */
  retryIn?: number;
}

/** The payloads of a room, by message type; an interface will do. */
export type Payloads<M> = { [K in keyof M]: unknown };
export type AnyPayloads = Record<string, Record<string, any>>;
export type AnyState = Record<string, unknown>;

export interface JoinOptions<S = AnyState> {
  /** Go on after this position, such as a `room.position` that was kept. */
  since?: Position | string | undefined;
  /** Begin with the newest so many messages. */
  last?: number | undefined;
  /** `false` reads without being a member that others see. */
  presence?: boolean | undefined;
  /** What others see of this member. */
  state?: S | undefined;
}

type Names<M> = keyof M & string;

/** A message of one type. */
export interface MessageOf<K extends string, D> {
  type: K;
  /** The sender's. */
  id?: string;
  room: string;
  /** The server says who wrote it; a back end may name nobody. */
  data: D & { author?: string };
  /** The place in the log; a volatile message has none. */
  seq?: number;
  epoch?: string;
  /** Unix seconds. */
  timestamp: number;
  time: Date;
}
export type Message<M = AnyPayloads> = { [K in Names<M>]: MessageOf<K, M[K]> }[Names<M>];

/** The server took a message, at this place of the log. */
export interface Ack {
  id: string;
  seq: number;
  epoch: string;
  timestamp: number;
  /** Whether it had been taken before, under the same id. */
  duplicate: boolean;
}

/** Messages are missing: what was built from the room must be loaded anew. Reading goes on from the position. */
export interface Gap extends Position {
  /** `epoch`, `too_old`, `future`, as the protocol has them; `hole`: the server passed over them. */
  reason: string;
}

export interface SendOptions {
  signal?: AbortSignal | undefined;
  /** Unique per user for five minutes; drawn at random unless given. */
  id?: string | undefined;
}

export interface HistoryOptions {
  /** The newest below this place; a message will do. */
  before?: { epoch?: string; seq?: number } | string | undefined;
  /** The oldest above it. */
  since?: { epoch?: string; seq?: number } | string | undefined;
  limit?: number | undefined;
}

export interface Page<M = AnyPayloads> {
  /** Ascending. */
  messages: Message<M>[];
  /** Whether nothing more is kept in that direction. */
  complete: boolean;
  /** Why there are none, if the place was not of this log. */
  reset?: string;
}

export interface Member<S = AnyState> {
  user: string;
  state: S;
  /** Sessions of the user in the room. */
  connections: number;
  /** What the user's token says. */
  info?: Record<string, unknown>;
}

export interface Typing {
  author: string;
  typing: boolean;
}

export interface Presence<S = AnyState> {
  readonly members: Member<S>[];
  /** Of all users in the room, also where a large room's members are not told. */
  readonly count: number;
  /** What others see of this member, now and after each reconnect. */
  set(state: S): void;
  on(event: "change", listener: (members: Member<S>[]) => void): Off;
}

/** Names that are not message types. Messages of such a type come by `*` alone. */
interface RoomEvents<M> {
  "*": [message: Message<M>];
  gap: [gap: Gap];
  state: [state: RoomState, why: { recovered?: boolean; error?: RoomcastError }];
  typing: [message: MessageOf<"typing", Typing>];
}

export interface Room<M = AnyPayloads, S = AnyState> extends AsyncIterable<Message<M>> {
  readonly name: string;
  readonly state: RoomState;
  /** The place of the last message that was given to the application; keep it to resume later. */
  readonly position: Position | undefined;
  readonly presence: Presence<S>;
  on<K extends keyof RoomEvents<M>>(event: K, listener: (...args: RoomEvents<M>[K]) => void): Off;
  on<K extends Exclude<Names<M>, keyof RoomEvents<M>>>(type: K, listener: (message: MessageOf<K, M[K]>) => void): Off;
  /** Waits for a connection if there is none; resolves when the server has the message. */
  send<K extends Names<M>>(type: K, data: M[K], options?: SendOptions & { volatile?: false }): Promise<Ack>;
  /** Volatile: to those who are there now, at most once. Resolves when it is written, rejects offline. */
  send<K extends Names<M>>(type: K, data: M[K], options: SendOptions & { volatile: true }): Promise<void>;
  /** Shows that the user types, or no longer does. Call it at every key. */
  typing(on?: boolean): void;
  history(options?: HistoryOptions): Promise<Page<M>>;
  leave(): void;
}
