/**
 * Rooms over HTTP: one request at a time reads all of them, others do what a socket would do by messages. Rooms that
 * come or go, a fresh token and a probe all mean to read anew, from where everyone is; the old request is dropped
 * when the new one is answered, so that there is no hole between them.
 */
import type { Envelope, Query, Request, Transport } from "../link.js";

/** What the server takes in one body. */
const BATCH_MAX = 100;
const BATCH_BYTES_MAX = 1 << 20;

/** What a reader of rooms is given. */
export interface Reading {
  /** The names of the rooms. */
  rooms: string[];
  /** Asks for what is after the places of the rooms; an answer other than 200 is dealt with and throws. */
  get(path: string, query: Query): Promise<Response>;
  signal: AbortSignal;
  heard(): void;
  /** The request is answered, and stands for the one before it. */
  welcome(data: any): void;
  message(message: Envelope): void;
  closed(code: number, reason: string): void;
}

/** A stream takes one `last` for all its rooms: those of another one wait until these have places. */
const together = (joins: Request[]) => {
  const last = joins.find(({ data }) => !data.since)?.data.last;
  return joins.filter(({ data }) => data.since || data.last === last);
};

const queryOf = (joins: Request[]): Query => ({
  room: joins.map(({ room }) => room!),
  since: joins.filter(({ data }) => data.since).map(({ room, data }) => `${encodeURIComponent(room!)}=${data.since}`).join() || null,
  last: joins.find(({ data }) => !data.since)?.data.last,
  presence: joins.some(({ data }) => data.presence !== false) ? 1 : null,
});

/** A link that reads by `read`, which goes on until it is aborted; if it ends, the link has. */
export const overHttp =
  (read: (reading: Reading) => Promise<unknown>): Transport =>
  (to, from) => {
    const over = new AbortController();
    /** Joins without an answer. */
    const joins = new Map<string, Request>();
    const letters = new Map<string, [text: string, request: Request][]>();
    let ping: Request | undefined;
    let { token } = to;
    let current: AbortController | undefined;
    let next: AbortController | undefined;
    let isOpen = false;
    let isWelcoming = false;
    let isDue = false;

    // Requests.

    const request = (path: string, init: RequestInit, query?: Query) => {
      const headers: Record<string, string> = {};
      if (token) headers.authorization = `Bearer ${token}`;
      if (init.body) headers["content-type"] = "application/json";
      return fetch(to.address(path, query), { signal: over.signal, ...init, headers });
    };

    const answer = ({ id, room }: Request, type: string, data: any) =>
      from.message({ type, data, ...(id && { id }), ...(room && { room }) });

    /** Tells what a refusal means to the link as a whole. */
    const refuse = ({ code, detail, message = detail, retryable }: any) =>
      from.closed(code === "internal" ? 1011 : retryable ? 1013 : 1008, `${code}: ${message}`);

    const broken = (error: unknown) => from.closed(1006, String(error));

    /** Does something by one request, whose answer `done` gets. A refusal is told to all who asked for it. */
    async function act(all: Request[], path: string, init: RequestInit, query: Query, done: (data: any) => void) {
      const late = setTimeout(broken, to.timeout, `no answer from ${path} within ${to.timeout} ms`);
      try {
        const response = await request(path, init, query);
        const data = await response.json();
        if (response.ok) done(data);
        else if (response.status === 401) refuse(data);
        else for (const each of all) answer(each, "error", { ...data, message: data.detail });
      } catch (error) {
        broken(error);
      }
      clearTimeout(late);
    }

    /** One after the other, so that order holds; what gathers meanwhile goes in one body. */
    async function publish(room: string, waiting: [string, Request][]) {
      while (waiting.length) {
        let bytes = 0;
        let count = 0;
        while (count < BATCH_MAX && count < waiting.length) {
          bytes += waiting[count]![0].length * 3;
          if (count && bytes > BATCH_BYTES_MAX) break;
          count++;
        }
        const batch = waiting.splice(0, count);
        const body = `[${batch.map(([text]) => text)}]`;
        const all = batch.map(([, request]) => request);
        await act(all, `/rooms/${room}/messages`, { method: "POST", body }, {}, (acks: any[]) =>
          acks.forEach((ack, n) => answer(all[n]!, ack.status === "error" ? "error" : "ack", ack)),
        );
      }
      letters.delete(room);
    }

    const post = (asked: Request) =>
      act([asked], `/rooms/${asked.room}/${asked.type}`, { method: "POST", body: JSON.stringify(asked.data) }, {}, (data) =>
        answer(asked, "ack", data),
      );

    const goodbye = (room: string) =>
      request(`/rooms/${room}/presence`, { method: "DELETE", keepalive: true, signal: null }).catch(() => {});

    // Reading.

    function readAnew() {
      if (!isDue) queueMicrotask(open);
      isDue = true;
    }

    async function open() {
      isDue = false;
      if (over.signal.aborted) return;
      next?.abort();
      const mine = (next = new AbortController());
      const { signal } = mine;
      const all = together(to.joins());
      const rooms = all.map(({ room }) => room!);
      const wanted = new Set(to.joins().map(({ room }) => room));
      for (const room of joins.keys()) if (!wanted.has(room)) joins.delete(room);
      const query = () => queryOf(to.joins().filter(({ room }) => rooms.includes(room!)));
      const live = <A extends unknown[]>(then: (...args: A) => void) => (...args: A) => signal.aborted || then(...args);
      const welcome = (data: any) => {
        current?.abort();
        [current, next] = [mine, undefined];
        welcomed(data);
      };
      if (!rooms.length) return welcome({ rooms: {} });
      try {
        await read({
          rooms,
          async get(path, more) {
            const response = await request(path, { signal }, { ...query(), ...more });
            if (response.ok) return response;
            refused(await response.json(), rooms);
            mine.abort();
            throw 0;
          },
          signal,
          heard: live(from.heard),
          welcome: live(welcome),
          message: live(message),
          closed: live(from.closed),
        });
        live(broken)("the stream ended");
      } catch (error) {
        live(broken)(error);
      }
    }

    /** A room that may not be read, or is one too many, is left out. */
    function refused(problem: any, rooms: string[]) {
      const { code, detail, room = code === "too_many_rooms" && rooms.at(-1) } = problem;
      if (!room) return refuse(problem);
      joins.delete(room);
      from.message({ type: "system", room, data: { event: "kicked", reason: detail, code } });
      readAnew();
    }

    function welcomed({ rooms, ...data }: any) {
      from.heard();
      if (!isOpen) {
        isOpen = isWelcoming = true;
        from.message({ type: "system", data: { ping_interval: 30, ...data, event: "welcome" } });
        isWelcoming = false;
      }
      for (const [room, join] of joins) {
        const told = rooms[room];
        if (!told) continue;
        joins.delete(room);
        const { since, state, presence } = join.data;
        const recovered = since === `${told.epoch}.${told.from}`;
        answer(join, "ack", { ...told, recovered, reset: since && !recovered });
        if (state && presence !== false) post({ type: "presence", room, data: { state } });
      }
      if (ping) answer(ping, "ack", {});
      ping = undefined;
      if (joins.size) readAnew();
    }

    function message(message: Envelope) {
      const { type, data, room } = message;
      if (type === "error" && !room) refuse(data);
      else if (data.event === "kicked" && !data.room && !room) from.closed(1008, `kicked: ${data.reason}`);
      else from.message(message);
    }

    readAnew();

    return {
      send(text, asked) {
        const { type, room, data } = asked;
        if (type === "join") {
          joins.set(room!, asked);
          // What is asked for upon `welcome` is answered from it.
          if (!isWelcoming) readAnew();
        } else if (type === "leave") {
          joins.delete(room!);
          goodbye(room!);
          readAnew();
        } else if (type === "auth") {
          token = data.token;
          readAnew();
        } else if (type === "ping") {
          ping = asked;
          readAnew();
        } else if (type === "typing" || type === "presence") post(asked);
        else if (type === "history") {
          act([asked], `/rooms/${room}/messages`, {}, data, (page) => answer(asked, "ack", page));
        } else {
          const waiting = letters.get(room!) ?? [];
          waiting.push([text, asked]);
          if (!letters.has(room!)) queueMicrotask(() => publish(room!, waiting));
          letters.set(room!, waiting);
        }
        return true;
      },
      close(code) {
        if (code === 1000) for (const { room } of to.joins()) goodbye(room!);
        for (const each of [over, current, next]) each?.abort();
      },
    };
  };
