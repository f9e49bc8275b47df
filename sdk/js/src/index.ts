/** `roomcast`: the client with WebSockets, Server-Sent Events and polling, whichever gets through. */
import { createClient } from "./client.js";
import { io } from "./io.js";
import { events } from "./links/events.js";
import { poll } from "./links/poll.js";
import { websocket } from "./links/ws.js";
import type { Client, Options } from "./types.js";

export { RoomcastError, type ErrorCode } from "./error.js";
export type * from "./types.js";
export { events, poll, websocket };

/**
 * A client of the server at `url` (http or ws; unless given this page's, or where there is no page `dev` on this
 * machine). Connects when a room is asked for.
 */
export const connect = (url?: string | URL, { transports = [websocket, events, poll], ...options }: Options = {}): Client =>
  createClient(io, url, { transports, ...options });
