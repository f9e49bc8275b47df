/** The one class of errors, and how it is made from what the server says. */
import type { Envelope } from "./link.js";

/** What a server may say (docs/protocol.md, "Codes"), and what the client says itself. */
export type ErrorCode =
  | "bad_request" | "unknown_type" | "invalid_room" | "unauthorized" | "token_expired" | "forbidden" | "not_found"
  | "method_not_allowed" | "conflict" | "not_joined" | "too_large" | "rate_limited" | "too_many_rooms" | "internal"
  | "unavailable" | "not_durable"
  /** Not connected; what is only for those who are there now isn't kept. */
  | "offline"
  /** `transports` is empty. */
  | "no_transport"
  /** As many sends wait as may. */
  | "queue_full"
  /** No answer for as long as the server knows an id: it has the message or not, and would not notice a repeat. */
  | "unknown"
  /** The room was left. */
  | "left"
  /** The client was closed, or its connection for good. */
  | "closed"
  /** The back end ended the user's stay. */
  | "kicked"
  /** The same session connected elsewhere. */
  | "taken_over"
  /** A `for await` loop took its messages too slowly. */
  | "too_slow";

export class RoomcastError extends Error {
  override readonly name = "RoomcastError";

  constructor(
    /** What went wrong, for programs. */
    readonly code: ErrorCode | (string & {}),
    message: string,
    /** Whether the same may succeed later. */
    readonly retryable = false,
    /** Seconds to wait before that. */
    readonly retryAfter = 1,
  ) {
    super(message);
  }
}

/** The error that an `error` message tells. */
export const refusal = ({ data }: Envelope) =>
  new RoomcastError(data.code, data.message, data.retryable, data.retry_after);
