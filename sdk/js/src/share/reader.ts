/**
 * What one tab takes of a link that several share. All of them hear everything, and a client passes over what it isn't
 * in, what it hasn't asked and what it has. That leaves to tell apart here: whose an error is, whose a reset, and
 * whether another tab's join has moved the link's reading past this tab's place. Then this tab is *behind*: it takes
 * nothing of the room's log until a join of its own has brought the reading back.
 */
import { keyOf, type Envelope, type Request } from "../link.js";
import { randomId } from "../random.js";

export const isSystem = ({ type, data }: Envelope, event: string) => type === "system" && data.event === event;

export function createReader(
  /** From where the client reads. */
  joins: () => Request[],
  /** To the client. */
  take: (message: Envelope) => void,
  /** To the leader. */
  ask: (request: Request) => void,
  /** The tab can't be brought back. */
  fail: () => void,
) {
  /** What waits for an answer, by room and id. */
  const asked = new Set<string>();
  /** The rooms that this tab reads: the id of the join that brings it back if it is behind. */
  const rooms = new Map<string, string>();
  /** The last join of each room: an answer to one of before it was left is no place of this tab. */
  const joined = new Map<string, string | undefined>();

  function note(request: Request) {
    const { type, id } = request;
    const room = request.room!;
    if (type === "join") joined.set(room, id);
    if (type === "leave") for (const each of [rooms, joined]) each.delete(room);
    if (id) asked.add(keyOf(request));
  }

  /** The link reads on from where another tab wants to. A reset that comes next is that tab's: this one asks for its own. */
  function moved(room: string, { epoch, from, reset }: any) {
    const join = joins().find((join) => join.room === room);
    const [mine, seq] = join?.data.since?.split(".") ?? [];
    if (!join || (!reset && mine === epoch && seq >= from)) return;
    const id = randomId();
    rooms.set(room, id);
    ask({ ...join, id, data: { ...join.data, state: undefined } });
  }

  function answered(message: Envelope) {
    const { type, id, data } = message;
    const room = message.room!;
    const isBack = id && rooms.get(room) === id;
    const isMine = asked.delete(keyOf(message)) || isBack;
    if (type === "error") isBack ? fail() : (isMine || !id) && take(message);
    else {
      take(message);
      // After a refusal of its place the reset comes next.
      if (data.from === undefined) return;
      if (isBack || (id && joined.get(room) === id)) rooms.set(room, "");
      else if (rooms.has(room)) moved(room, data);
    }
  }

  return {
    note,
    hear(message: Envelope) {
      const { type, seq, data } = message;
      const behind = rooms.get(message.room ?? data.room);
      if (type === "ack" || type === "error") answered(message);
      else if (isSystem(message, "reset") ? behind === "" : !seq || !behind) take(message);
    },
  };
}
