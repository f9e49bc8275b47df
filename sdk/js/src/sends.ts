/**
 * What one room's sender waits for: requests go out in the order they came, and again in that order under the same
 * ids, until each has its answer. Order holds through refusals and lost connections.
 */
import { RoomcastError, refusal } from "./error.js";
import type { Envelope, Request } from "./link.js";

/** Requests under way at once. A refusal costs at most so many in vain. */
const WINDOW = 64;

/** A request without an answer. */
export interface Letter {
  request: Request;
  /** The same bytes on every try: the server tells a repeat from another message by them. */
  text: string;
  sent: boolean;
  done(answer: Envelope): void;
  failed(error: unknown): void;
}

export interface SendsHost {
  /** Writes a request; what it hears is the answer, or nothing if the connection is lost before. */
  ask(request: Request, text: string, heard: (answer?: Envelope) => void): void;
  /** The server refused for now. */
  hold(error: RoomcastError): void;
  /** There is room for more. */
  answered(): void;
}

export function createSends(host: SendsHost) {
  /** Oldest first. */
  const letters = new Map<string, Letter>();
  let over: unknown;

  const answered = (id: string, letter: Letter, answer?: Envelope) => {
    letter.sent = false;
    const error = answer?.type === "error" && refusal(answer);
    if (over && !answer) letter.failed(over);
    if (!answer || (error && error.retryable && letters.has(id))) return error && host.hold(error);
    letters.delete(id);
    error ? letter.failed(error) : letter.done(answer);
    host.answered();
  };

  return {
    letters,
    /** Sends what may go out now. */
    flush() {
      const all = [...letters];
      const flying = all.filter(([, letter]) => letter.sent).length;
      // After a refusal what was sent behind it is refused as well: it comes back before anything goes.
      if (all.slice(0, flying).some(([, letter]) => !letter.sent)) return;
      for (const [id, letter] of all.slice(flying, WINDOW)) {
        letter.sent = true;
        host.ask(letter.request, letter.text, (answer) => answered(id, letter, answer));
      }
    },
    /** Gives up what waits. What is under way still hears its answer. */
    end(error: unknown) {
      over = error;
      for (const letter of letters.values()) letter.sent || letter.failed(error);
      letters.clear();
    },
  };
}
