/**
 * Rooms over HTTP: one request at a time reads all of them, others do what a socket would do by messages. Rooms that
 * come or go, a fresh token and a probe all mean to read anew, from where everyone is; the old request is dropped
 * when the new one is answered, so that there is no hole between them.
 */
import type { Envelope, Query, Request, Transport } from "../link.js";

/** What the server takes in one body. */
const BATCH_MAX = 100;
const BATCH_BYTES_MAX = 1 << 20;

/**
 * Reads rooms for as long as it is let. `get` asks for what is after their places. First comes a `welcome`, when the
 * request is answered and stands for the one before it; nothing is a sign of life.
 */
type Read = (get: (path: string, query?: Query) => Promise<Response>) => AsyncIterable<Envelope | undefined>;

/** A link that reads by `read`; if that ends, the link has. It asks by `ask`, or as pages do. */
export const overHttp =
  (read: Read, ask?: (url: URL, init: RequestInit) => Promise<Response>): Transport =>
  (to, from) => {
    /** Joins without an answer. */
    const joins = new Map<string, Request>();
    /** What waits to be posted, by path. */
    const queues = new Map<string, [text: string, request: Request][]>();
    let ping: Request | undefined;
    let { token } = to;
    let current: AbortController | undefined;
    let next: AbortController | undefined;
    let isDue = false;
    let isOver = false;

    // Requests.

    function request(path: string, init: RequestInit, query?: Query, rooms: string[] = []) {
      const url = to.address(path, query);
      for (const room of rooms) url.searchParams.append("room", room);
      const headers: Record<string, string> = {};
      if (token) headers.authorization = `Bearer ${token}`;
      if (init.body) headers["content-type"] = "application/json";
      return (ask ?? fetch)(url, { ...init, headers });
    }

    const tell = (type: string, data: any, { id, room }: Partial<Request> = {}) => from.message({ type, id, room, data } as Envelope);

    /** Tells what a refusal means to the link as a whole. */
    const refuse = ({ code, message, retryable }: any) =>
      from.closed(retryable || code === "internal" ? 1013 : 1008, `${code}: ${message}`);

    const broken = (error: unknown) => from.closed(1006, String(error));

    /** What an answer says, a refusal as a socket would have. What else answers in the server's place is no answer. */
    async function dataOf(response: Response) {
      const data = await response.json();
      if (response.ok) return data;
      if (data.code) return { ...data, message: data.detail };
      throw `HTTP ${response.status}`;
    }

    /**
     * Does something by one request, and tells all who asked for it what becomes of it. Answers a refusal for now.
     * With neither body nor query it takes back what the path says.
     */
    async function act(all: Request[], path: string, body = "", query?: Query) {
      try {
        const method = body ? "POST" : query ? "GET" : "DELETE";
        const init = { method, body: body || null, keepalive: !body, signal: AbortSignal.timeout(to.timeout) };
        const response = await request(path, init, query);
        const data = await dataOf(response);
        if (response.status === 401) return refuse(data);
        let later: unknown;
        all.forEach((asked, n) => {
          const each = [data].flat()[n] ?? data;
          if (each.retryable) later = each;
          tell(each.code ? "error" : "ack", each, asked);
        });
        return later;
      } catch (error) {
        broken(error);
      }
    }

    /** Writes to a room. Of typing and of presence only the newest counts. Answers whether there was room for it. */
    function post(text: string, asked: Request) {
      const { room, type, data, volatile } = asked;
      const isState = /^(typing|presence|leave)$/.test(type);
      const path = `/rooms/${room}/${!isState ? "messages" : type === "typing" ? type : "presence"}`;
      const queue = queues.get(path) ?? [];
      if (volatile && queue.length >= BATCH_MAX) return false;
      if (isState) queue.length = 0;
      if (!queues.has(path)) queueMicrotask(() => run(path, queue, isState));
      queues.set(path, queue);
      queue.push([(isState && JSON.stringify(data)) || text, asked]);
      return true;
    }

    /** One after the other, so that order holds; what gathers meanwhile goes in one body. */
    async function run(path: string, queue: [string, Request][], isState: boolean) {
      while (queue.length && !isOver) {
        let bytes = 0;
        const end = queue.slice(0, BATCH_MAX).findIndex(([text], n) => (bytes += text.length * 3) > BATCH_BYTES_MAX && n);
        const batch = queue.splice(0, end < 0 ? BATCH_MAX : end);
        const texts = `${batch.map(([text]) => text)}`;
        const later = await act(batch.map(([, asked]) => asked), path, isState ? texts : `[${texts}]`);
        // What waits comes back as well, else it would go before what is to go again.
        if (later) for (const [, asked] of queue.splice(0)) tell("error", later, asked);
      }
      queues.delete(path);
    }

    // Reading.

    function readAnew() {
      if (!isDue) queueMicrotask(open);
      isDue = true;
    }

    async function open() {
      isDue = false;
      if (isOver) return;
      next?.abort();
      const mine = (next = new AbortController());
      AbortSignal.timeout(to.timeout).addEventListener("abort", () => next === mine && broken(`no answer in ${to.timeout} ms`));
      const all = to.joins();
      // A stream takes one `last` for all its rooms: those of another one wait until these have places.
      const last = all.find(({ data }) => !data.since)?.data.last;
      let rooms = all.filter(({ data }) => data.since || data.last === last).map(({ room }) => room!);
      const get = async (path: string, query?: Query) => {
        const seats = to.joins().filter(({ room }) => rooms.includes(room!));
        // A room that was left meanwhile is not asked for again: that would take the place in it again.
        if (rooms[0] && !seats[0]) mine.abort();
        rooms = seats.map(({ room }) => room!);
        const since = seats.flatMap(({ room, data }) => (data.since ? `${encodeURIComponent(room!)}=${data.since}` : []));
        const presence = +seats.some(({ data }) => data.presence !== false) || null;
        const response = await request(path, { signal: mine.signal }, { since: since.join() || null, last, presence, ...query }, rooms);
        if (response.ok) return response;
        const problem = await dataOf(response);
        // Whoever asks for no room hears that the server is there.
        response.status === 400 && !rooms[0] ? welcome({ rooms: {} }) : refused(problem, rooms);
        mine.abort();
        throw 0;
      };
      const welcome = (data: any) => {
        current?.abort();
        current = mine;
        next = undefined;
        welcomed(data);
      };
      try {
        for await (const told of read(get)) {
          if (mine.signal.aborted) return;
          if (!told) from.message();
          else told.data.event === "welcome" && told.type === "system" ? welcome(told.data) : message(told);
        }
        throw "the stream ended";
      } catch (error) {
        if (!mine.signal.aborted) broken(error);
      }
    }

    /** A room that may not be read, or is one too many, is left out; who is read stays. */
    function refused(problem: any, rooms: string[]) {
      const { code, message, room = code === "too_many_rooms" && (rooms.filter((room) => joins.has(room)).pop() ?? rooms.pop()) } = problem;
      if (!room) return refuse(problem);
      tell("system", { event: "kicked", reason: message, code }, { room });
      readAnew();
    }

    function welcomed({ rooms, ...data }: any) {
      // What is asked for upon `welcome` is answered from it.
      isDue = true;
      // A stream tells how often it shows that it is alive; one time may be late.
      const ping_interval = 2 * (data.ping_interval ?? 15);
      tell("system", { ...data, ping_interval, event: "welcome" });
      isDue = false;
      for (const { room, data } of to.joins()) {
        const told = rooms[room!];
        const join = joins.get(room!);
        if (!told) readAnew();
        else if (join) {
          joins.delete(room!);
          const { since } = join.data;
          const recovered = since === `${told.epoch}.${told.from}`;
          tell("ack", { ...told, recovered, reset: since && !recovered }, join);
          // The state may have been set after the join.
          if (data.state && data.presence !== false) post("", { type: "presence", room: room!, data: { state: data.state } });
        }
      }
      if (ping) tell("ack", {}, ping);
      ping = undefined;
    }

    function message(message: Envelope) {
      const { type, data, room = data.room } = message;
      if (!room && (type === "error" || data.event === "kicked")) refuse({ code: "kicked", message: data.reason, ...data });
      else from.message(message);
    }

    readAnew();

    return {
      send(text, asked) {
        const { type, data } = asked;
        const room = asked.room!;
        if (type === "history") act([asked], `/rooms/${room}/messages`, "", data);
        else if (type === "join") joins.set(room, asked), readAnew();
        else if (type === "leave") joins.delete(room), post("", asked), readAnew();
        else if (type === "auth") (token = data.token), readAnew();
        else if (type === "ping") (ping = asked), readAnew();
        else return post(text, asked);
        return true;
      },
      close(code) {
        isOver = true;
        if (code === 1000) for (const { room } of to.joins()) act([], `/rooms/${room}/presence`);
        current?.abort();
        next?.abort();
      },
    };
  };
