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

const EVENTS = ["online", "offline", "pageshow", "pagehide"];

/** As it is. */
export const io: Io = {
  now: () => performance.now(),
  random: Math.random,
  after: (ms, then) => setTimeout(then, ms),
  cancel: (timer) => clearTimeout(timer as number),
  watch(seen) {
    const look = ({ type }: Event) => seen(type === "visibilitychange" ? document.visibilityState : type);
    const page = globalThis.document;
    // Node has neither, a worker no document.
    for (const name of EVENTS) globalThis.addEventListener?.(name, look);
    page?.addEventListener("visibilitychange", look);
    return () => {
      for (const name of EVENTS) globalThis.removeEventListener?.(name, look);
      page?.removeEventListener("visibilitychange", look);
    };
  },
};
