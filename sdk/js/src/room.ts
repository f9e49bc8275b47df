/**
 * One room as its reader and its senders see it.
 *
 * | seat | join's ack | `reset` | message | a hole in the log | connection lost |
 * |---|---|---|---|---|---|
 * | out: `!joining && !seated` | | | passed over | | |
 * | `joining` | `seated`; still `joining` if it says `reset` | told, `seated` | passed over | | out |
 * | `seated` | | told | told | kept in `early`, asks for it once: `mending` | out |
 * | `mending` | `seated` | told | told; a hole once `seated`: `gap` | `gap` if asked already | out |
 *
 * Whoever is out while connected joins again where it was.
 */
import { emitter, type Off } from "./emitter.js";
import { RoomcastError, refusal } from "./error.js";
import type { Io } from "./io.js";
import type { Envelope, Request } from "./link.js";
import { randomId } from "./random.js";
import { createSends } from "./sends.js";
import type { Gap, HistoryOptions, JoinOptions, Member, Message, Position, Room, RoomState } from "./types.js";

/** Messages that wait for one before them, or for a `for await` loop. */
const EARLY_MAX = 256;
const UNREAD_MAX = 1024;
/** A timer may be so much early. */
const EARLY_MS = 5;
/** The server passes on no more. */
const TYPING_EVERY_MS = 1000;

/** What a room needs of its client. */
export interface Host {
  io: Io;
  /** Whether requests may go out. */
  open(): boolean;
  /** Writes a request; `heard` gets its answer, or nothing if the connection is lost before. Whether there was room. */
  ask(request: Request, heard?: (answer?: Envelope) => void, text?: string): boolean;
  /** Looks at all rooms again after that time. */
  later(seconds: number): void;
  /** Why one more request can't be taken. */
  full(text: string): RoomcastError | undefined;
  /** Until then no message is sent, since the server refused one for its rate. */
  heldUntil: number;
  /** The room is left or denied. */
  gone(seat: Seat): void;
}

/** A room, and what its client does with it. */
export interface Seat {
  room: Room<any, any>;
  waiting(): number;
  /** A `join` from where the reader is. */
  start(): Request;
  flush(): void;
  take(message: Envelope): void;
  lost(): void;
  end(state: RoomState, error: RoomcastError): void;
}

type Place = HistoryOptions["before"];
const written = (at: Place) => (at && typeof at === "object" ? `${at.epoch}.${at.seq}` : at);
/** A position as it was kept; what is none is one of a log that there never was, and so a gap. */
const read = (at: Position | string | undefined): Position | undefined => {
  if (typeof at !== "string") return at;
  const [, epoch = "0", seq = 0] = /^([\w-]{1,32})\.(\d{1,15})$/.exec(at) ?? [];
  return { epoch, seq: +seq };
};

export function createSeat(host: Host, name: string, options: JoinOptions<any>): Seat {
  const { on, emit } = emitter();
  const { io } = host;
  const early = new Map<number, Envelope>();
  let { state: shown } = options;
  let state: RoomState = "joining";
  let why: RoomcastError | undefined;
  /** Where the reader is, and where the application is told to be. */
  let place = read(options.since);
  let position = place;
  let joining = false;
  let seated = false;
  let mending = false;
  let heldUntil = 0;
  let members = new Map<string, Member<any>>();
  let count = 0;
  let typedAt: number | undefined;

  const sends = createSends({
    ask: (request, text, heard) => host.ask(request, heard, text),
    answered: flush,
    hold(error) {
      const until = io.now() + error.retryAfter * 1000;
      if (error.code === "rate_limited") host.heldUntil = until;
      else heldUntil = until;
      host.later(error.retryAfter);
    },
  });

  const enter = (next: RoomState, info: object) => {
    state = next;
    emit("state", next, info);
  };

  // Being in the room.

  const start = (): Request => ({
    type: "join",
    room: name,
    data: { since: written(place), last: options.last, presence: options.presence, state: shown },
  });

  function flush() {
    const now = io.now() + EARLY_MS;
    if (!host.open() || now < heldUntil) return;
    if (seated) return now < host.heldUntil || sends.flush();
    if (joining) return;
    joining = true;
    host.ask(start(), (answer) => {
      if (answer && !why) answer.type === "ack" ? joined(answer.data) : refused(refusal(answer));
    });
  }

  function refused(error: RoomcastError) {
    // Being in too many rooms doesn't pass by waiting.
    if (!error.retryable || error.code === "too_many_rooms") return end("denied", error);
    joining = false;
    heldUntil = io.now() + error.retryAfter * 1000;
    host.later(error.retryAfter);
  }

  function joined(data: any) {
    mending &&= early.size > 0;
    early.clear();
    if (data.members) roster({ ...data, event: "sync" });
    // The place is kept until the reset is told: nobody may take the head for where they have been.
    if (!data.reset) sit({ epoch: data.epoch, seq: data.from }, data.recovered);
  }

  function sit(at: Position, recovered: boolean) {
    joining = false;
    seated = true;
    if (state !== "live" || !isBehind(at)) move(at);
    if (state !== "live") enter("live", { recovered });
    flush();
  }

  /** A place that was asked for may have been passed meanwhile. */
  const isBehind = (at: Position) => place?.epoch === at.epoch && at.seq < place.seq;

  function move(at: Position) {
    place = at;
    queueMicrotask(() => (position = at));
  }

  function gap(data: Gap) {
    const { epoch, seq, reason } = data;
    early.clear();
    mending = false;
    move({ epoch, seq });
    emit("gap", { reason, epoch, seq });
  }

  function end(next: RoomState, error: RoomcastError) {
    seated = joining = false;
    why = error;
    sends.end(error);
    host.gone(seat);
    enter(next, { error });
  }

  // What comes.

  function take(message: Envelope): void {
    const { type, data } = message;
    if (type === "system") return system(data);
    if (!seated && !mending) return;
    if (type === "presence") return roster(data);
    if (message.seq === undefined) return tell(message);
    const before = message.prev ?? message.seq - 1;
    if (message.seq <= place!.seq) return;
    if (before > place!.seq) return hole(message, before);
    mending &&= !seated;
    move({ epoch: place!.epoch, seq: message.seq });
    tell(message);
    const next = early.get(message.seq);
    if (early.delete(message.seq)) take(next!);
  }

  function system(data: any) {
    if (data.event === "kicked") end("denied", new RoomcastError(data.code ?? "kicked", data.reason));
    if (data.event !== "reset") return;
    gap(data);
    if (joining) sit(place!, false);
  }

  /** Messages are missing before this one: asks for them once, then tells that they are lost. */
  function hole(message: Envelope, before: number) {
    if (mending && seated) {
      gap({ reason: "hole", epoch: place!.epoch, seq: before });
      return take(message);
    }
    if (early.size < EARLY_MAX) early.set(before, message);
    if (mending) return;
    mending = true;
    seated = false;
    flush();
  }

  const shaped = (message: Envelope) =>
    ({ ...message, epoch: place?.epoch, time: new Date(message.timestamp! * 1000) }) as any;

  function tell(message: Envelope) {
    const told = shaped(message);
    if (told.type !== "gap" && told.type !== "state") emit(told.type, told);
    if (told.type !== "typing") emit("*", told);
  }

  function roster(data: any) {
    const { event, user } = data;
    if (event === "sync") members = new Map(data.members.map((member: Member) => [member.user, member]));
    else if (event === "count") members.clear();
    else if (event === "leave") members.delete(user);
    else members.set(user, { user, state: data.state, connections: data.connections, info: data.info });
    count = data.count;
    emit("presence", [...members.values()]);
  }

  // What the application asks.

  function request(request: Request, { signal }: { signal?: AbortSignal | undefined }): Promise<any> {
    const text = JSON.stringify(request);
    const { letters } = sends;
    const id = request.id!;
    return new Promise((done, failed) => {
      signal?.throwIfAborted();
      const error = why ?? host.full(text);
      if (error) throw error;
      if (letters.has(id)) throw new RoomcastError("conflict", `the id ${id} is on its way already`);
      letters.set(id, { request, text, sent: false, done, failed });
      signal?.addEventListener("abort", () => letters.delete(id) && failed(signal.reason));
      flush();
    });
  }

  const volatile = async (request: Request) => {
    if (!seated || !host.ask({ ...request, volatile: true })) {
      throw new RoomcastError("offline", "a volatile message is sent at once or not at all, and now it can't be", true);
    }
  };

  const room: Room<any, any> = {
    name,
    get state() {
      return state;
    },
    get position() {
      return position;
    },
    presence: {
      get members() {
        return [...members.values()];
      },
      get count() {
        return count;
      },
      set(next) {
        shown = next;
        if (seated) host.ask({ type: "presence", room: name, id: randomId(), data: { state: next } });
      },
      on: (_, listener) => on("presence", listener),
    },
    on: (event: string, listener: any): Off => on(event, listener),
    async send(type: string, data: any, options: any = {}): Promise<any> {
      const id = options.id ?? randomId();
      const message: Request = { type, id, room: name, data };
      if (options.volatile) return volatile({ type, room: name, data });
      const { seq, epoch, timestamp, duplicate = false } = (await request(message, options)).data;
      return { id, seq, epoch, timestamp, duplicate };
    },
    typing(typing = true) {
      const now = io.now();
      const renewed = typedAt !== undefined && now - typedAt < TYPING_EVERY_MS;
      if (!seated || (typing ? renewed : typedAt === undefined)) return;
      typedAt = typing ? now : undefined;
      host.ask({ type: "typing", room: name, data: { typing } });
    },
    async history({ before, since, limit } = {}) {
      const data = { before: written(before), since: written(since), limit };
      const page = (await request({ type: "history", id: randomId(), room: name, data }, {})).data;
      return { ...page, messages: page.messages.map(shaped) };
    },
    leave() {
      if (why) return;
      if (host.open()) host.ask({ type: "leave", room: name, id: randomId() });
      end("left", new RoomcastError("left", `the room ${name} was left`));
    },
    async *[Symbol.asyncIterator]() {
      const unread: Message[] = [];
      let wake = () => {};
      let missed = false;
      const offs = [
        on("*", (message) => {
          missed ||= unread.length >= UNREAD_MAX;
          missed || unread.push(message);
          wake();
        }),
        on("state", () => wake()),
      ];
      try {
        for (;;) {
          while (unread.length) yield unread.shift()!;
          if (missed) throw new RoomcastError("too_slow", `${UNREAD_MAX} messages waited, the most that may`, true);
          if (state === "denied") throw why;
          if (why) return;
          await new Promise<void>((then) => (wake = then));
        }
      } finally {
        for (const off of offs) off();
      }
    },
  };

  const seat: Seat = {
    room,
    waiting: () => sends.letters.size,
    start,
    flush,
    take,
    lost() {
      joining = seated = mending = false;
      typedAt = undefined;
      heldUntil = 0;
      if (state === "live") enter("joining", {});
    },
    end,
  };
  return seat;
}
