/** Rooms by long polling and requests: the last resort, where nothing streams. */
import { overHttp } from "./http.js";

const PARKED_SECONDS = 25;

export const poll = overHttp(async ({ get, rooms, heard, welcome, message, signal }) => {
  /** The rosters that are known, by their versions. */
  const known = new Map<string, number>();
  for (let timeout = 0; !signal.aborted; timeout = PARKED_SECONDS) {
    const v = [...known].map(([room, v]) => `${room}=${v}`).join();
    const answer = await (await get("/poll", { timeout, v })).json();
    heard();
    if (!timeout) welcome({ rooms: answer.rooms });
    for (const { room, ...reset } of answer.resets) message({ type: "system", room, data: { event: "reset", ...reset } });
    answer.messages.forEach(message);
    const { presence = {} } = answer;
    for (const [room, data] of Object.entries<any>(presence.event ? { [rooms[0]!]: presence } : presence)) {
      known.set(room, data.v);
      message({ type: "presence", room, data });
    }
  }
});
