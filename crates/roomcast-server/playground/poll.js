// @ts-check
/** A room read by long polling: each poll is asked at the position that the one before it gave. */
import { readJson } from "./http-link.js";

/** @import { Reading } from "./http-link.js" */

const PARKED_SECONDS = "25";

/** @param {Reading} reading */
export async function readPolls({ room, from, get, joined, deliver }) {
  const path = `poll/${encodeURIComponent(room)}`;
  const poll = async (/** @type {Record<string, string>} */ query) => readJson(await get(path, { ...query, presence: "1" }));
  const tell = (/** @type {object} */ envelope) => deliver(JSON.stringify(envelope));
  // The first one is the join: it is answered at once.
  let answer = await poll({ ...from, timeout: "0" });
  let { v } = answer.presence;
  joined(answer.rooms[room], answer.presence);
  for (;;) {
    for (const reset of answer.resets) tell({ type: "system", room, data: { event: "reset", ...reset } });
    for (const message of answer.messages) tell(message);
    answer = await poll({ since: answer.position, v, timeout: PARKED_SECONDS });
    if (!answer.presence) continue;
    v = answer.presence.v;
    tell({ type: "presence", room, data: answer.presence });
  }
}
