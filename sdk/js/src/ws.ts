/** `roomcast/ws`: the client with WebSockets alone. */
import { createClient } from "./client.js";
import { io } from "./io.js";
import { websocket } from "./links/ws.js";
import type { Client, Options } from "./types.js";

export { RoomcastError, type ErrorCode } from "./error.js";
export type * from "./types.js";
export { websocket };

/** As `connect` of `roomcast`, over WebSockets alone. */
export const connect = (url?: string | URL, { transports = [websocket], ...options }: Options = {}): Client =>
  createClient(io, url, { transports, ...options });
