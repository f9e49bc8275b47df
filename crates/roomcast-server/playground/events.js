// @ts-check
/**
 * A room read as a stream of Server-Sent Events. Reads with `fetch` where an `EventSource` would do, because that tells
 * nobody of event types it wasn't asked for by name, and not why it failed.
 */

/** @import { Reading } from "./http-link.js" */

/** @param {Reading} reading */
export async function readEvents({ room, from, get, joined, deliver }) {
  const { body } = await get(`events/${encodeURIComponent(room)}`, { ...from, presence: "1" });
  for await (const text of envelopes(/** @type {ReadableStream<any>} */ (body))) {
    deliver(text);
    if (!text.includes('"welcome"')) continue;
    const { type, data } = JSON.parse(text);
    if (type === "system" && data.event === "welcome") joined(data.rooms[room]);
  }
}

/** Each envelope stands on a `data:` line of its own, whole. @param {ReadableStream<any>} body @returns {AsyncGenerator<string>} */
async function* envelopes(body) {
  for await (const line of lines(body)) if (line.startsWith("data: ")) yield line.slice("data: ".length);
}

/** A stream that breaks ends. @param {ReadableStream<any>} body @returns {AsyncGenerator<string>} */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value } = await reader.read().catch(() => ({ value: undefined }));
    if (value === undefined) return;
    const [...whole] = (rest + value).split("\n");
    rest = whole.pop() ?? "";
    yield* whole;
  }
}
