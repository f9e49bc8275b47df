/**
 * `roomcast/outbox`: what is sent is kept in IndexedDB until its promise is settled, so that it outlives the page. The
 * next page that enters the room sends it, in order, before anything of its own, under the same ids: the server knows
 * what it has already. Where nothing can be kept, messages are sent all the same.
 */
import { RoomcastError } from "./error.js";
import { randomId } from "./random.js";
import type { Ack, Client, HistoryOptions, Page, Room } from "./types.js";

/** A server knows ids for five minutes; what is older is looked for in the room instead. */
const KNOWN_MS = 4 * 60_000;
/** How far the clocks of a server and a page may be apart. */
const SKEW_MS = 10 * 60_000;
const PAGE = 100;
/** Sends that may wait for those of the page before. */
const WAITING_MAX = 1024;

/** A message that a page left behind. */
export interface Left {
  id: string;
  room: string;
  type: string;
  data: any;
}

export interface OutboxOptions {
  /** A message of an earlier page is sent again; `ack` tells how that ends. */
  again?(message: Left, ack: Promise<Ack>): void;
}

interface Letter {
  n?: number;
  owner: string;
  room: string;
  id: string;
  type: string;
  /** The data as JSON: the same bytes each time. */
  text: string;
  time: number;
}

const settled = <T>(request: IDBRequest<T>) =>
  new Promise<T>((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open("roomcast-outbox", 1);
  request.onupgradeneeded = () =>
    request.result.createObjectStore("letters", { keyPath: "n", autoIncrement: true }).createIndex("of", ["owner", "room"]);
  return settled(request);
}

const parsed = ({ text }: Letter) => text && JSON.parse(text);

/** Whether the room is live; waits while it is being joined. */
const live = (room: Room<any, any>) =>
  new Promise<boolean>((done) => {
    const look = () => {
      if (room.state === "joining") return;
      off();
      done(room.state === "live");
    };
    const off = room.on("state", look);
    look();
  });

/** The letter as the room has it, if it does. Where nobody may look, it is taken for missing. */
async function find(room: Room<any, any>, user: string, { id, time }: Letter) {
  for (let before: HistoryOptions["before"]; ; ) {
    const page: Page<any> | undefined = await room.history({ before, limit: PAGE }).catch(() => undefined);
    const found = page?.messages.find((message) => message.id === id && message.data.author === user);
    if (found) return found;
    const oldest = page?.messages[0];
    if (!oldest || page.complete || oldest.time.getTime() < time - SKEW_MS) return;
    before = { epoch: oldest.epoch!, seq: oldest.seq! };
  }
}

/** The client, with sends that outlive the page. `owner` is the user: nobody else's messages are sent. */
export function outbox(client: Client, owner: string, { again }: OutboxOptions = {}): Client {
  const database = open();
  const rooms = new WeakMap<object, object>();
  /** Ids that this page has sent. */
  const mine = new Set<string>();

  /** Does something to the letters; answers nothing where that can't be. */
  const letters = <T>(act: (store: IDBObjectStore) => IDBRequest<T>) =>
    database.then((base) => settled(act(base.transaction("letters", "readwrite").objectStore("letters")))).catch(() => undefined);

  const forget = ({ n }: Letter) => n !== undefined && letters((store) => store.delete(n));

  async function resend(room: Room<any, any>) {
    const kept: Letter[] = (await letters((store) => store.index("of").getAll([owner, room.name]))) ?? [];
    const left = kept.filter(({ id }) => !mine.has(id));
    if (!left.length || !(await live(room))) return;
    for (const letter of left) {
      const { id, type, time } = letter;
      if (Date.now() - time > KNOWN_MS && (await find(room, client.user ?? owner, letter))) {
        forget(letter);
        continue;
      }
      mine.add(id);
      const ack = room.send(type, parsed(letter), { id });
      ack.then(
        () => forget(letter),
        // What was not refused, but never asked, is for the next page.
        ({ code }) => code === "queue_full" || code === "unknown" || room.state === "left" || forget(letter),
      );
      again?.({ id, room: room.name, type, data: parsed(letter) }, ack);
    }
  }

  function kept(room: Room<any, any>) {
    let turn: Promise<unknown> = resend(room);
    let waiting = 0;
    /** One after the other, so that what is missing goes again in its order. */
    let looked: ReturnType<typeof find> = Promise.resolve(undefined);
    async function send(type: string, data: any, options: any = {}): Promise<any> {
      if (options.volatile) return room.send(type, data, options);
      if (waiting >= WAITING_MAX) throw new RoomcastError("queue_full", `${waiting} sends wait for their turn, the most that may`, true);
      const id = options.id ?? randomId();
      const letter: Letter = { owner, room: room.name, id, type, text: JSON.stringify(data), time: Date.now() };
      mine.add(id);
      waiting++;
      const put = letters((store) => store.add(letter)).then((n) => (letter.n = n as number));
      await (turn = turn.then(() => put));
      waiting--;
      const ask = () => room.send(type, parsed(letter), { ...options, id });
      try {
        return await ask();
      } catch (error) {
        if ((error as RoomcastError).code !== "unknown") throw error;
        const found = await (looked = looked.then(() => find(room, client.user ?? owner, letter)));
        if (!found) return await ask();
        const { seq, epoch, timestamp } = found;
        return { id, seq, epoch, timestamp, duplicate: true };
      } finally {
        forget(letter);
      }
    }
    return Object.create(room, { send: { value: send } });
  }

  function room(...all: Parameters<Client["room"]>) {
    const plain = client.room(...all);
    const made = rooms.get(plain) ?? kept(plain);
    rooms.set(plain, made);
    return made;
  }

  return Object.create(client, { room: { value: room } });
}
