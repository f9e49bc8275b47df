/** Rooms by Server-Sent Events and requests. */
import type { Envelope } from "../link.js";
import { overHttp } from "./http.js";

/**
 * A stream tells who reads and from where, then messages. Where answers are no streams there is none: an
 * `EventSource` hears only the types that it is told to listen for.
 */
export const events = overHttp(async ({ get, heard, welcome, message }) => {
  const { body } = await get("/events", {});
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (unread + value).split("\n\n");
    unread = blocks.pop()!;
    for (const block of blocks) {
      const line = block.split("\n").find((line) => line.startsWith("data:"));
      if (!line) continue;
      const told: Envelope = JSON.parse(line.slice(5));
      told.data.event === "welcome" ? welcome(told.data) : message(told);
    }
  }
});
