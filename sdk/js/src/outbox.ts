/**
 * `roomcast/outbox`: what is sent is kept in IndexedDB until its promise is settled, so that it outlives the page. The
 * next page that enters the room sends it, in order, before anything of its own, under the same ids: the server knows
 * what it has already. A page holds a Web Lock for as long as it sees to messages, and nobody else does. Where nothing can
 * be kept, messages are sent all the same.
 */
import { RoomcastError } from "./error.js";
import { randomId } from "./random.js";
import type { Ack, Client, HistoryOptions, Off, Page, Room } from "./types.js";

/** A server knows ids for five minutes; what is older is looked for in the room instead. */
const KNOWN_MS = 4 * 60_000;
/** How far the clocks of a server and a page may be apart. */
const SKEW_MS = 10 * 60_000;
const PAGE = 100;
/** Sends that may wait for those of the page before. */
const WAITING_MAX = 1024;
/** Of the page before, so many are under way at once: more than a client's `queue` would be refused. */
const AGAIN_MAX = 64;
/** Browsers are known to never answer. */
const OPEN_WITHIN_MS = 3000;
/** The lock of a page that is gone may come so much later. Who waits for one that lives sends its own meanwhile. */
const GONE_WITHIN_MS = 1000;

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
  /** The lock of who sees to it. */
  batch: string;
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

/** `gone`: another page wants to delete or upgrade it, or the browser has taken it away. */
async function open(gone: () => void): Promise<IDBDatabase> {
  const request = indexedDB.open("roomcast-outbox", 1);
  request.onupgradeneeded = () =>
    request.result.createObjectStore("letters", { keyPath: "n", autoIncrement: true }).createIndex("of", ["owner", "room"]);
  const base = await Promise.race([settled(request), new Promise<never>((_, late) => setTimeout(late, OPEN_WITHIN_MS))]);
  base.onclose = gone;
  base.onversionchange = () => (base.close(), gone());
  return base;
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
    if (!oldest || page.complete || oldest.time.getTime() < Math.min(time, Date.now()) - SKEW_MS) return;
    before = { epoch: oldest.epoch!, seq: oldest.seq! };
  }
}

/** The client, with sends that outlive the page. `owner` is `client.user`, who the token says: nobody else's are sent. */
export function outbox(client: Client, owner: string, { again }: OutboxOptions = {}): Client {
  let database: Promise<IDBDatabase> | undefined;
  const rooms = new WeakMap<object, object>();
  /** The batches that this page sees to. */
  const mine = new Set<string>();

  /** Does something to the letters; answers nothing where that can't be. */
  const letters = <T>(act: (store: IDBObjectStore) => IDBRequest<T>) =>
    (database ??= open(() => (database = undefined)))
      .then((base) => settled(act(base.transaction("letters", "readwrite").objectStore("letters"))))
      .catch(() => undefined);

  /** Waits until nobody else sees to a batch; this page does, until it calls the answer. */
  const hold = (batch: string) =>
    new Promise<Off>((then) => {
      mine.add(batch);
      const held = (free?: Off) => then(() => (mine.delete(batch), free?.()));
      const locks = globalThis.navigator?.locks;
      if (!locks) held();
      else locks.request(`roomcast-outbox ${batch}`, () => new Promise<void>(held)).catch(() => held());
    });

  const leftIn = async (room: Room<any, any>): Promise<Letter[]> =>
    (await letters((store) => store.index("of").getAll([owner, room.name]))) ?? [];

  async function resend(room: Room<any, any>) {
    for (const batch of new Set((await leftIn(room)).map(({ batch }) => batch))) {
      if (mine.has(batch)) continue;
      const held = hold(batch);
      const sent = held.then((free) => resendBatch(room, batch, free));
      const late = new Promise<void>((then) => setTimeout(then, GONE_WITHIN_MS));
      if (await Promise.race([held, late])) await sent;
    }
  }

  /** All that nobody has sent meanwhile; `free` is called once all of it has an end. */
  async function resendBatch(room: Room<any, any>, batch: string, free: Off) {
    // Whom the server takes for another has nothing to send of this one.
    const isOwner = (await live(room)) && client.user === owner;
    const left = (await leftIn(room)).filter((letter) => isOwner && letter.batch === batch);
    const ends: Promise<unknown>[] = [];
    for (const letter of left) {
      const { n, id, type, time } = letter;
      const forget = () => letters((store) => store.delete(n!));
      if (Math.abs(Date.now() - time) > KNOWN_MS && (await find(room, owner, letter))) {
        ends.push(forget());
        continue;
      }
      const data = parsed(letter);
      const ack = room.send(type, data, { id });
      // What was not refused, but never asked, is for the next page.
      ends.push(ack.then(forget, ({ code }) => code === "queue_full" || code === "unknown" || room.state === "left" || forget()));
      // Called later: it may do what it likes.
      queueMicrotask(() => again?.({ id, room: room.name, type, data }, ack));
      if (ends.length % AGAIN_MAX === 0) await ends.at(-1);
    }
    Promise.all(ends).then(free);
  }

  function kept(room: Room<any, any>) {
    let turn: Promise<unknown> = resend(room);
    let waiting = 0;
    /** One after the other, so that what is missing goes again in its order. */
    let looked: ReturnType<typeof find> = Promise.resolve(undefined);
    /** What this page sees to, from the first send to when none is left. */
    let batch: { name: string; count: number; held: Promise<Off> } | undefined;
    function begin() {
      const name = randomId();
      return { name, count: 0, held: hold(name) };
    }
    async function send(type: string, data: any, options: any = {}): Promise<any> {
      const { volatile, signal, id = randomId() } = options;
      if (volatile) return room.send(type, data, options);
      signal?.throwIfAborted();
      if (waiting >= WAITING_MAX) throw new RoomcastError("queue_full", `${waiting} sends wait for their turn, the most that may`, true);
      const text = JSON.stringify(data);
      const ours = (batch ??= begin());
      const letter: Letter = { batch: ours.name, owner, room: room.name, id, type, text, time: Date.now() };
      // Not after the lock: nobody else could find the letter and ask for it sooner, and a page may end at any time.
      const putting = letters((store) => store.add(letter));
      const over = new AbortController();
      const aborted = new Promise<never>((_, failed) => signal?.addEventListener("abort", () => failed(signal.reason), over));
      const ask = () => room.send(type, parsed(letter), { ...options, id });
      ours.count++;
      waiting++;
      try {
        await Promise.race([(turn = turn.then(() => putting)), aborted]).finally(() => waiting--);
        return await ask();
      } catch (error) {
        if ((error as RoomcastError)?.code !== "unknown") throw error;
        const found = await (looked = looked.then(() => find(room, client.user ?? owner, letter)));
        if (!found) return await ask();
        const { seq, epoch, timestamp } = found;
        return { id, seq, epoch, timestamp, duplicate: true };
      } finally {
        over.abort();
        putting.then(async (n) => {
          if (n) await letters((store) => store.delete(n));
          if (--ours.count) return;
          batch = undefined;
          (await ours.held)();
        });
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
