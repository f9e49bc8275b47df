/**
 * One room as its reader and its senders see it.
 *
 * | seat | join's ack | `reset` | message | a hole in the log | connection lost |
 * |---|---|---|---|---|---|
 * | out: neither | | | passed over | | |
 * | `joining`: asked | `seated`; due if it says `reset` | passed over | passed over | | out |
 * | `joining`: due | | told, `seated` | passed over | | out |
 * | `seated` | | told | told | kept in `early`, asks for it once: both | out |
 * | both | `seated`; due if it says `reset` | told, `seated` if due | told | kept in `early` | out |
 *
 * A hole that is still there when the server has been asked, from `mendedFrom`, is a gap. One in the versions of the
 * roster is asked for in the same way: what answers a join tells all members.
 *
 * Whoever is out while connected joins again where it was.
 */
import { emitter } from "./emitter.js";
import { RoomcastError } from "./error.js";
import type { Io } from "./io.js";
import type { Envelope, Heard, Request } from "./link.js";
import { randomId } from "./random.js";
import type { Sends } from "./sends.js";
import type { Gap, HistoryOptions, JoinOptions, Member, Message, Position, Room, RoomState, SendOptions } from "./types.js";

/** Messages that wait for one before them, or for a `for await` loop. */
const EARLY_MAX = 256;
const UNREAD_MAX = 1024;
/** The server passes on no more. */
const TYPING_EVERY_MS = 1000;

/** A room, and what its client does with it. */
export interface Seat {
  room: Room<any, any>;
  /** A `join` from where the reader is. */
  start(): Request;
  /** Online: asks for what may be asked for now, to be in the room, or what senders wait for. */
  flush(): void;
  take(message: Envelope): void;
  /** Out of the room until it is joined again, or for good if there is an error. */
  lost(error?: RoomcastError): void;
}

type Place = HistoryOptions["before"];
const written = (at: Place) => ((at as Position)?.epoch ? `${(at as Position).epoch}.${(at as Position).seq}` : (at as string));
/** A position as it was kept; what is none is one of a log that there never was, and so a gap. */
const read = (at: Position | string | undefined): Position | undefined => {
  if (typeof at !== "string") return at;
  const [, epoch = "0", seq = 0] = /^([\w-]{1,32})\.(\d{1,15})$/.exec(at) ?? [];
  return { epoch, seq: +seq };
};

/** `ask` writes a request, and answers whether there was room for it; `gone` hears that the room is left or denied. */
export function createSeat(
  io: Io,
  sends: Sends,
  ask: (request: Request, heard?: Heard, text?: string) => boolean,
  gone: () => void,
  name: string,
  options: JoinOptions<any>,
): Seat {
  const [on, emit] = emitter();
  const early = new Map<number, Envelope>();
  let state: RoomState = "joining";
  let why: RoomcastError | undefined;
  /** Where the reader is, and where the application is told to be. */
  let place = read(options.since);
  let position = place;
  /** A join is on its way, or after its ack a reset. */
  let joining: false | "asked" | "due" = false;
  let seated = false;
  /** From where the last hole was asked for. */
  let mendedFrom: number | undefined;
  let members = new Map<string, Member<any>>();
  let count = 0;
  let version: number | undefined;
  let typedAt = -Infinity;

  const enter = (next: RoomState, info: object) => {
    state = next;
    emit("state", next, info);
  };

  const request = (type: string, data?: any, id = randomId()): Request => ({ type, id, room: name, data });

  // Being in the room.

  const start = () => request("join", { ...options, since: written(place) });

  function flush() {
    if (sends.isHeld(name)) return;
    if (seated) sends.flush(name);
    else join();
  }

  function join() {
    if (joining) return;
    joining = "asked";
    ask(start(), (error, data) => {
      if (why) return;
      if (error) refused(error);
      else if (data) joined(data);
    });
  }

  function refused(error: RoomcastError) {
    // Being in too many rooms doesn't pass by waiting.
    if (!error.retryable || error.code === "too_many_rooms") return end("denied", error);
    lost();
    sends.hold(name, error);
  }

  function joined(data: any) {
    if (data.members) roster(data);
    // The place is kept until the reset is told: nobody may take the head for where they have been.
    if (data.reset) joining = "due";
    else sit({ epoch: data.epoch, seq: data.from }, data.recovered);
  }

  function sit(at: Position, recovered: boolean) {
    joining = false;
    seated = true;
    // Whoever is live has passed the place that was asked for, or is there.
    if (state !== "live") {
      move(at);
      enter("live", { recovered });
    }
    flush();
  }

  function move(at: Position) {
    place = at;
    queueMicrotask(() => (position = at));
  }

  function gap({ reason, epoch, seq }: Gap) {
    early.clear();
    move({ epoch, seq });
    emit("gap", { reason, epoch, seq });
  }

  function lost(error?: RoomcastError) {
    if (error) return end("left", error);
    joining = seated = false;
    typedAt = -Infinity;
    if (state === "live") enter("joining", {});
  }

  function end(next: RoomState, error: RoomcastError) {
    seated = joining = false;
    why = error;
    sends.end(name, error);
    gone();
    enter(next, { error });
  }

  // What comes.

  function take(message: Envelope): void {
    const { type, data, seq, prev = seq! - 1 } = message;
    if (type === "system") return system(data);
    if (!seated) return;
    if (type === "presence") return roster(data);
    if (!seq) return tell(message);
    if (seq <= place!.seq) return;
    if (prev > place!.seq) return hole(message, prev);
    move({ epoch: place!.epoch, seq });
    tell(message);
    const next = early.get(seq);
    if (early.delete(seq)) take(next!);
  }

  function system(data: any) {
    if (data.event === "kicked") end("denied", new RoomcastError(data.code ?? "kicked", data.reason));
    // One that nobody here waits for is of the life before the room was left.
    if (data.event !== "reset" || !(seated || joining === "due")) return;
    gap(data);
    if (joining === "due") sit(place!, false);
  }

  /** Messages are missing before this one: asks for them once, then tells that they are lost. */
  function hole(message: Envelope, seq: number) {
    const { epoch, seq: from } = place!;
    if (!joining && mendedFrom === from) {
      gap({ reason: "hole", epoch, seq });
      return take(message);
    }
    if (early.size < EARLY_MAX) early.set(seq, message);
    mendedFrom = from;
    join();
  }

  const shaped = (message: Envelope) =>
    ({ ...message, epoch: place?.epoch, time: new Date(message.timestamp! * 1000) }) as any;

  function tell(message: Envelope) {
    const told = shaped(message);
    if (!/^(gap|state)$/.test(told.type)) emit(told.type, told);
    if (told.type !== "typing") emit("*", told);
  }

  function roster(data: any) {
    const { event, v, count: all, members: whole, ...member } = data;
    if (member.user && v > version! + 1) return join();
    version = v;
    count = all;
    if (event === "count") members.clear();
    else if (!member.user) members = new Map(whole.map((member: Member) => [member.user, member]));
    else if (event === "leave") members.delete(member.user);
    else members.set(member.user, member);
    emit("presence", room.presence.members);
  }

  // What the application asks.

  const send = async (request: Request, signal?: AbortSignal) => {
    if (why) throw why;
    return sends.send(request, signal);
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
      set(state) {
        options = { ...options, state };
        if (seated || joining) ask(request("presence", { state }));
      },
      on: (_, listener) => on("presence", listener),
    },
    on,
    async send(type: string, data: any, { id, signal, volatile }: SendOptions & { volatile?: boolean } = {}): Promise<any> {
      if (!volatile) {
        const asked = request(type, data, id);
        const { status, room, ...ack } = await send(asked, signal);
        return { duplicate: false, ...ack, id: asked.id };
      }
      const asked = { type, room: name, data, volatile };
      const text = sends.encode(asked);
      if (!seated || !ask(asked, undefined, text)) {
        throw new RoomcastError("offline", "not connected", true);
      }
    },
    typing(typing = true) {
      const now = io.now();
      if (!seated || (typing ? now < typedAt + TYPING_EVERY_MS : typedAt < 0)) return;
      typedAt = typing ? now : -Infinity;
      ask({ type: "typing", room: name, data: { typing } });
    },
    async history({ before, since, limit } = {}) {
      const page = await send(request("history", { before: written(before), since: written(since), limit }));
      return { ...page, messages: page.messages.map(shaped) };
    },
    leave() {
      if (why) return;
      if (seated || joining) ask(request("leave"));
      end("left", new RoomcastError("left", "room left"));
    },
    async *[Symbol.asyncIterator]() {
      const unread: Message[] = [];
      let wake = () => {};
      let missed = false;
      const keep = (message: Message) => {
        missed ||= unread.length >= UNREAD_MAX;
        if (!missed) unread.push(message);
        wake();
      };
      const offs = [on("*", keep), on("state", () => wake())];
      try {
        for (;;) {
          if (unread.length) yield unread.shift()!;
          else if (missed) throw new RoomcastError("too_slow", `over ${UNREAD_MAX} wait`, true);
          else if (state === "denied") throw why;
          else if (why) return;
          else await new Promise<void>((then) => (wake = then));
        }
      } finally {
        for (const off of offs) off();
      }
    },
  };

  return { room, start, flush, take, lost };
}
