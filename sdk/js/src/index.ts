/** `roomcast`: the client. */
import { createClient } from "./client.js";
import { io } from "./io.js";
import { websocket } from "./links/ws.js";
import type { Client, Options } from "./types.js";

export { RoomcastError, type ErrorCode } from "./error.js";
export type * from "./types.js";
export { websocket };

/** `roomcast`: the client. */
export const connect = (url?: string | URL, options: Options = {}): Client =>
  createClient(io, url, { transports: [websocket], ...options });
