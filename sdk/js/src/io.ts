/** Time, chance and the page, as the client needs them; tests bring their own. */

export interface Io {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  after(ms: number, then: () => void): unknown;
  cancel(timer: unknown): void;
  /** Tells what happens to the page, until it is told to stop. */
  watch(seen: (event: string) => void): () => void;
}

const EVENTS = ["online", "offline", "pageshow", "pagehide", "visibilitychange"];

/** As it is. Node has no such events, and a worker some. */
export const io: Io = {
  now: () => performance.now(),
  random: Math.random,
  after: (ms, then) => setTimeout(then, ms),
  cancel: (timer) => clearTimeout(timer as number),
  watch(seen) {
    const over = new AbortController();
    const look = ({ type }: Event) => seen(type === "visibilitychange" ? document.visibilityState : type);
    for (const name of EVENTS) globalThis.addEventListener?.(name, look, over);
    return () => over.abort();
  },
};
