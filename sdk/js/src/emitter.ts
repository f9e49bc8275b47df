/** Listeners by name. They are called later, never from within the call that caused it: theirs may do what it likes. */

export type Off = () => void;
type Listener = (...args: any[]) => void;

export function emitter() {
  const all = new Set<[name: string, listener: Listener]>();
  const on = (name: string, listener: Listener): Off => {
    const mine: [string, Listener] = [name, listener];
    all.add(mine);
    return () => all.delete(mine);
  };
  const emit = (name: string, ...args: unknown[]) => {
    for (const each of all) if (each[0] === name) queueMicrotask(() => all.has(each) && each[1](...args));
  };
  return [on, emit] as const;
}
