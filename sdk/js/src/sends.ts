/**
 * What senders wait for: requests go out in the order they came, and again in that order under the same ids, until
 * each has its answer. Order holds through refusals and lost connections.
 */
import { RoomcastError } from "./error.js";
import type { Io } from "./io.js";
import { keyOf, type Heard, type Request } from "./link.js";

/** Requests of a room under way at once. A refusal costs at most so many in vain. */
const WINDOW = 64;
/** A server knows an id for five minutes; some of it is for the way. */
const KNOWN_MS = 290_000;

/** A request without an answer. */
interface Letter {
  request: Request;
  /** The same bytes on every try: the server tells a repeat from another message by them. */
  text: string;
  sent?: boolean;
  /** Since its first try; by the wall clock, for a machine may have slept. */
  knownUntil?: number;
  /** Why it will not be sent again. */
  over?: RoomcastError;
  done(data: any): void;
  failed(error: unknown): void;
}

export type Sends = ReturnType<typeof createSends>;

/** Of all rooms. `flush` looks whether a room, or any, has something to send now. */
export function createSends(
  io: Io,
  ask: (request: Request, heard: Heard, text: string) => void,
  flush: (room?: string) => void,
  queue: number,
  bytes: number,
) {
  /** Oldest first. */
  const letters = new Map<string, Letter>();
  /** Timers: as long as there is one nothing is sent to its room, or by the name "" to any. */
  const holds = new Map<string, unknown>();

  const isHeld = (room: string) => holds.has(room);

  function hold(room: string, { retryAfter }: RoomcastError) {
    const over = () => {
      holds.delete(room);
      flush(room);
    };
    io.cancel(holds.get(room));
    holds.set(room, io.after(retryAfter * 1000, over));
  }

  function answered(letter: Letter, error?: RoomcastError, data?: any) {
    const { request } = letter;
    const key = keyOf(request);
    letter.sent = false;
    // Not if it was given up; another one may have its id by now.
    if (letters.get(key) === letter) {
      if (error?.retryable) return hold(error.code === "rate_limited" ? "" : request.room!, error);
      if (!error && !data) return;
      letters.delete(key);
    }
    data ? letter.done(data) : letter.failed(error ?? letter.over);
    flush(request.room);
  }

  /** The message as it is sent; a server would end the connection of who sends a larger one. */
  function encode(request: Request) {
    const text = JSON.stringify(request);
    const size = new TextEncoder().encode(text).length;
    if (size > bytes) throw new RoomcastError("too_large", `${size} bytes, over ${bytes}`);
    return text;
  }

  return {
    hold,
    encode,
    isHeld,
    /** On a new connection all begins anew. */
    release() {
      holds.forEach(io.cancel);
      holds.clear();
    },
    /** Resolves with the answer's data. */
    send(request: Request, signal?: AbortSignal) {
      const over = new AbortController();
      return new Promise<any>((done, failed) => {
        signal?.throwIfAborted();
        const text = encode(request);
        const key = keyOf(request);
        if (letters.has(key)) throw new RoomcastError("conflict", `${request.id} is on its way`);
        if (letters.size >= queue) throw new RoomcastError("queue_full", `${queue} wait`, true);
        letters.set(key, { request, text, done, failed });
        signal?.addEventListener("abort", () => letters.delete(key) && failed(signal.reason), over);
        flush(request.room);
      }).finally(() => over.abort());
    },
    /** Sends what may go out now. */
    flush(room: string) {
      const all = [...letters.values()].filter(({ request }) => request.room === room);
      const flying = all.filter(({ sent }) => sent).length;
      // After a refusal what was sent behind it is refused as well: it comes back before anything goes.
      if (isHeld("") || all.findIndex(({ sent }) => !sent) < flying) return;
      for (const letter of all.slice(flying, WINDOW)) {
        const { request, text } = letter;
        letter.sent = true;
        letter.knownUntil ??= Date.now() + KNOWN_MS;
        if (Date.now() > letter.knownUntil && request.type !== "history") {
          // Sent once more, it could be there twice.
          letters.delete(keyOf(request));
          letter.failed(new RoomcastError("unknown", "no answer"));
        } else ask(request, (...answer) => answered(letter, ...answer), text);
      }
    },
    /** Gives up what waits. What is under way still hears its answer. */
    end(room: string, error: RoomcastError) {
      for (const [key, letter] of letters) {
        if (letter.request.room !== room) continue;
        letters.delete(key);
        letter.over = error;
        if (!letter.sent) letter.failed(error);
      }
    },
  };
}
