/** Rooms by long polling and requests: the last resort, where nothing streams. */
import { overHttp } from "./http.js";

const PARKED_SECONDS = 25;

export const poll = overHttp(async function* (get) {
  /** The rosters that are known, by their versions. */
  const known = new Map<string, number>();
  for (let timeout = 0; ; timeout = PARKED_SECONDS) {
    const v = [...known].map(([room, v]) => `${room}=${v}`).join();
    const { messages, resets, presence = {}, ...standing } = await (await get("/poll", { timeout, v })).json();
    yield timeout ? undefined : { type: "system", data: { event: "welcome", ...standing } };
    for (const { room, ...reset } of resets) yield { type: "system", room, data: { event: "reset", ...reset } };
    yield* messages;
    for (const [room, data] of Object.entries<any>(presence.event ? { [Object.keys(standing.rooms)[0]!]: presence } : presence)) {
      known.set(room, data.v);
      yield { type: "presence", room, data };
    }
  }
});
