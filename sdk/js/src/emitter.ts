/** Listeners by name. They are called later, never from within the call that caused it: theirs may do what it likes. */

export type Off = () => void;
type Listener = (...args: any[]) => void;

export function emitter() {
  const listeners = new Map<string, Set<Listener>>();
  return {
    on(name: string, listener: Listener): Off {
      const set = listeners.get(name) ?? new Set();
      listeners.set(name, set.add(listener));
      return () => set.delete(listener);
    },
    emit(name: string, ...args: unknown[]) {
      const set = listeners.get(name);
      for (const listener of set ?? []) queueMicrotask(() => set!.has(listener) && listener(...args));
    },
  };
}
