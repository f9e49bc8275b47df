/**
 * `roomcast/eventsource`: rooms by the browser's own `EventSource` and requests, where answers are no streams. Stands
 * behind `events` in the list: `[websocket, events, eventsource("vote"), poll]`. What an `EventSource` doesn't show,
 * why it was refused and that a silent one is alive, is asked for.
 */
import { overHttp } from "./links/http.js";

/** What a server says besides the types of applications. `text` comes without a name. */
const NAMES = ["message", "typing", "presence", "system"];

/** `types`: the application's own, all of them. What is not listed isn't heard, and a `gap` once it is missed. */
export const eventsource = (...types: string[]) =>
  overHttp(
    async function* (get) {
      const { url, signal, headers } = (await get("/events")) as unknown as Asked;
      signal.throwIfAborted();
      if (headers.authorization) url.searchParams.set("token", headers.authorization.slice("Bearer ".length));
      const source = new EventSource(url);
      const unread: string[] = [];
      let wake = () => {};
      let isWelcome = false;
      // It would come back by itself, from a place of its own; or never, after any status but 200.
      const close = () => (source.close(), wake());
      source.onerror = signal.onabort = close;
      for (const name of [...NAMES, ...types]) {
        source.addEventListener(name, ({ data }) => (unread.push(data), wake()));
      }
      for (;;) {
        if (unread.length) (isWelcome = true), yield JSON.parse(unread.shift()!);
        else if (source.readyState < source.CLOSED) await new Promise<void>((then) => (wake = then));
        else break;
      }
      if (!isWelcome) await get("/poll", { timeout: 0 });
    },
    (url, init) => (url.pathname.endsWith("/events") ? ({ ok: true, url, ...init } as any) : fetch(url, init)),
  );

/** What would be fetched. */
interface Asked {
  url: URL;
  signal: AbortSignal;
  headers: Record<string, string>;
}
