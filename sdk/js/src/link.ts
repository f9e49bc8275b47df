/**
 * What the client needs of a transport: a link carries messages both ways until it is closed. What a link can't do
 * as a message (a stream of events has no way back), it does by request and answers as if it had been one.
 */
import type { RoomcastError } from "./error.js";

/** A message of the server. */
export interface Envelope {
  type: string;
  id?: string;
  room?: string;
  seq?: number;
  prev?: number;
  timestamp?: number;
  data: any;
}

/** A message to the server. */
export interface Request {
  type: string;
  id?: string;
  room?: string;
  data?: any;
  volatile?: boolean;
}

/** What a request and its answer have in common. */
export const keyOf = ({ room, id }: Request | Envelope) => `${room} ${id}`;

/** Gets the answer's data, or why it was refused; neither if the connection is lost before. */
export type Heard = (error?: RoomcastError, data?: any) => void;

/** The part of the `WebSocket` class that is needed; the browser's, Node's and npm's `ws` have it. */
export interface WebSocketLike {
  readonly bufferedAmount: number;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}
export type WebSocketClass = new (url: string) => WebSocketLike;

/** Parameters of a URL; those that are nothing are left out. */
export type Query = Record<string, string | number | null | undefined>;

/** Where a link leads, as whom. */
export interface To {
  /** The URL of a path of the server, with the session in it. */
  address(path: string, query?: Query): URL;
  token: string | null;
  /** How long an answer may take, in ms. */
  timeout: number;
  /** Rises with every try. */
  attempt: number;
  websocket: WebSocketClass | undefined;
  /** A `join` for each room that is to be read, from where its reader is. */
  joins(): Request[];
}

/** Whom a link tells. Never called from within `open` or `send`. */
export interface From {
  /** What came; nothing is a sign of life. */
  message(message?: Envelope): void;
  /** The link is over; with a close code of the protocol, 1006 if it just broke. */
  closed(code: number, reason: string): void;
}

export interface Link {
  /** Sends a request, written as `text`. Answers whether there was room for it. */
  send(text: string, request: Request): boolean;
  /** Ends the link; what it tells after that is passed over. 1000 is a good-bye, anything else a loss. */
  close(code: number): void;
}

/** Opens a link, or throws where there can't be one. */
export type Transport = (to: To, from: From) => Link;
