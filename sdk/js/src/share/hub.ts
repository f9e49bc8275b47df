/**
 * What the tab that leads does for all: it hands their requests to the server, keeps each room joined as long as a tab
 * is in it, and knows where the link reads. What a tab takes of what comes is its own affair: `reader.ts`.
 */
import type { Envelope, Request } from "../link.js";
import { randomId } from "../random.js";
import { isSystem } from "./reader.js";

/** A tab that broke off may come back before the rooms are left that only it was in. */
const GRACE_MS = 10_000;
/** The link is given up with a tab that has waited so long for a pong. */
const PONG_WITHIN_MS = 2000;

interface Shared {
  /** Who is in the room, and whether as a member that others see. */
  readers: Map<string, boolean>;
  /** The first is on its way: one at a time, as a stream has it. */
  joins: [tab: string, join: Request][];
  /** Where the link reads. */
  epoch?: string;
  seq?: number;
}

export type Hub = ReturnType<typeof createHub>;

/** `write`: to the server; `fail`: nothing comes over the link any more. */
export function createHub(write: (text: string, request: Request) => void, fail: () => void) {
  const tabs = new Set<string>();
  const rooms = new Map<string, Shared>();
  let pingedAt = 0;

  const put = (request: Request) => write(JSON.stringify(request), request);

  /** The first join goes. Who has left meanwhile asks no more. */
  function next({ joins, readers }: Shared) {
    while (joins[0] && !readers.has(joins[0][0])) joins.shift();
    if (joins[0]) put(asMember(joins[0][1], readers));
  }

  /** A member is there if one of the tabs is one. */
  function asMember(join: Request, readers: Shared["readers"]) {
    join.data.presence = [...readers.values()].includes(true);
    return join;
  }

  function leave(tab: string, room: string, ms?: number) {
    rooms.get(room)?.readers.delete(tab);
    const go = () => rooms.get(room)?.readers.size || put({ type: "leave", room, id: randomId() });
    ms ? setTimeout(go, ms) : go();
  }

  return {
    tabs,
    send(tab: string, text: string) {
      const request: Request = JSON.parse(text);
      const { type, data } = request;
      const name = request.room!;
      if (type === "leave") return leave(tab, name);
      if (type === "ping") pingedAt ||= performance.now();
      if (type !== "join") return write(text, request);
      const room: Shared = rooms.get(name) ?? { readers: new Map(), joins: [] };
      rooms.set(name, room);
      room.readers.set(tab, data.presence !== false);
      if (room.joins.push([tab, request]) < 2) next(room);
    },
    message(message: Envelope) {
      const { type, id, seq, data } = message;
      const name = message.room ?? data.room;
      const room = rooms.get(name);
      pingedAt = 0;
      if (!room) return;
      const { joins, readers } = room;
      if (seq) room.seq = seq;
      if (isSystem(message, "reset")) Object.assign(room, { epoch: data.epoch, seq: data.seq });
      if (isSystem(message, "kicked")) rooms.delete(name);
      if (!id || joins[0]?.[1].id !== id) return;
      if (type === "ack") Object.assign(room, { epoch: data.epoch, seq: data.from });
      else readers.delete(joins[0][0]);
      joins.shift();
      next(room);
    },
    /** A tab's link is closed, or the tab is gone. */
    gone(tab: string, code: number) {
      if (!tabs.delete(tab)) return;
      if (pingedAt && performance.now() - pingedAt > PONG_WITHIN_MS) fail();
      for (const [name, { readers }] of rooms) if (readers.has(tab)) leave(tab, name, code === 1000 ? 0 : GRACE_MS);
    },
    /** What a transport asks that begins to read all rooms anew. */
    joins: () =>
      [...rooms].flatMap(([room, { joins, readers, epoch, seq }]) =>
        joins[0]?.[1] ?? (readers.size ? asMember({ type: "join", room, data: { since: `${epoch}.${seq}` } }, readers) : []),
      ),
  };
}
