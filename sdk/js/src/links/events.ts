/** Rooms by Server-Sent Events and requests. */
import { overHttp } from "./http.js";

/**
 * A stream tells who reads and from where, then messages, each in a line of its own. Where answers are no streams there
 * is none: an `EventSource` hears only the types that it is told to listen for.
 */
export const events = overHttp(async function* (get) {
  const { body } = await get("/events");
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (unread + value).split("\n");
    unread = lines.pop()!;
    yield;
    for (const line of lines) if (line.startsWith("data:")) yield JSON.parse(line.slice(5));
  }
});
