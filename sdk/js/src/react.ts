/**
 * `roomcast/react`: hooks. Rooms are joined in effects, never while rendering: a server renders what a page shows
 * before it is connected, and StrictMode's second mount is the same join.
 */
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useState, useSyncExternalStore, type ReactNode } from "react";

import type { AnyPayloads, AnyState, Client, ClientState, JoinOptions, Member, Message, Off, Payloads, Room, RoomState } from "./types.js";

/** A sign of typing ends by itself after five seconds; one more for the way. */
const TYPING_MS = 6000;

const Context = createContext<Client | undefined>(undefined);

export const RoomcastProvider = ({ client, children }: { client: Client; children?: ReactNode }) =>
  createElement(Context.Provider, { value: client }, children);

const useClient = (): Client => {
  const client = useContext(Context);
  if (!client) throw new Error("no <RoomcastProvider client={connect(…)}> is above this component");
  return client;
};

/** What something outside of React tells, the last of it. */
function useTold<T>(begin: (tell: (value: T) => void) => Off, first: () => T, source: unknown): T {
  const { subscribe, get } = useMemo(() => {
    let value = first();
    return {
      get: () => value,
      subscribe: (changed: () => void) =>
        begin((next) => {
          value = next;
          changed();
        }),
    };
  }, [source]);
  return useSyncExternalStore(subscribe, get, get);
}

const nothing: Off = () => {};
const none: readonly never[] = [];

/** What can be read at any time, and changes with events. */
function useRead<T>(source: { on(event: any, changed: () => void): Off } | undefined, events: string[], get: () => T, first: T): T {
  const subscribe = useCallback(
    (changed: () => void) => {
      const offs = events.map((event) => source?.on(event, changed));
      return () => offs.forEach((off) => off?.());
    },
    [source],
  );
  // What a server has rendered is taken over as it is, though a part of the page may have connected by then.
  return useSyncExternalStore(subscribe, get, () => first);
}

/** How the client stands. */
export function useConnection(): ClientState {
  const client = useClient();
  return useRead(client, ["state"], () => client.state, "idle");
}

/** What the components that show a room have in common: the last one to let go of it leaves. */
interface Shelf {
  holders: number;
  keep: number;
  /** The newest. A new array each time. */
  messages: readonly Message<any>[];
}

const shelves = new WeakMap<Room<any, any>, Shelf>();

/** Begins with the join, before React has looked at the room: nothing that comes at once is missed. */
function gather(room: Room<any, any>): Shelf {
  const shelf: Shelf = { holders: 0, keep: 0, messages: none };
  room.on("*", (message) => {
    if (message.seq) shelf.messages = newest(shelf.keep, [...shelf.messages, message]);
  });
  room.on("gap", () => (shelf.messages = none));
  shelves.set(room, shelf);
  return shelf;
}

const newest = <T>(count: number, all: readonly T[]) => all.slice(Math.max(all.length - count, 0));

function hold(room: Room<any, any>, keep: number): Off {
  const shelf = shelves.get(room) ?? gather(room);
  shelf.holders++;
  shelf.keep = Math.max(shelf.keep, keep);
  return () => {
    shelf.holders--;
    // Whoever mounts in the same turn takes it over.
    queueMicrotask(() => shelf.holders || room.leave());
  };
}

export interface RoomView<M, S> {
  /** The room, once the component is mounted. */
  room: Room<M, S> | undefined;
  state: RoomState;
  /** The newest messages that the room keeps; none from before a gap. */
  messages: readonly Message<M>[];
}

/** Joins a room for as long as the component is there. `keep`: how many messages to show, 100. */
export function useRoom<M extends Payloads<M> = AnyPayloads, S = AnyState>(
  name: string,
  { keep = 100, ...options }: JoinOptions<S> & { keep?: number } = {},
): RoomView<M, S> {
  const client = useClient();
  const [held, setHeld] = useState<{ client: Client; room: Room<M, S> }>();
  useEffect(() => {
    const room = client.room<M, S>(name, options);
    setHeld({ client, room });
    return hold(room, keep);
  }, [client, name]);
  // Until the effect has run the room is still the one before.
  const room = held?.client === client && held.room.name === name ? held.room : undefined;
  const state = useRead<RoomState>(room, ["state"], () => room?.state ?? "joining", "joining");
  const all = useRead<readonly Message<any>[]>(room, ["*", "gap"], () => (room ? shelves.get(room)!.messages : none), none);
  const messages = useMemo(() => newest(keep, all), [keep, all]) as Message<M>[];
  return { room, state, messages };
}

/** Who is in the room. */
export function usePresence<S>(room: Room<any, S> | undefined): readonly Member<S>[] {
  const begin = (tell: (members: Member<S>[]) => void) => {
    if (!room) return nothing;
    tell(room.presence.members);
    return room.presence.on("change", tell);
  };
  return useTold(begin, () => room?.presence.members ?? [], room);
}

/** Who types, and a function to call at every key. */
export function useTyping(room: Room<any, any> | undefined): [authors: readonly string[], typing: (on?: boolean) => void] {
  const begin = (tell: (authors: string[]) => void) => {
    const timers = new Map<string, ReturnType<typeof setTimeout>>();
    const end = (author: string) => {
      clearTimeout(timers.get(author));
      timers.delete(author);
    };
    const show = () => tell([...timers.keys()]);
    const off = room?.on("typing", ({ data: { author, typing } }) => {
      clearTimeout(timers.get(author));
      if (typing) timers.set(author, setTimeout(() => (end(author), show()), TYPING_MS));
      else timers.delete(author);
      show();
    });
    return () => {
      off?.();
      for (const author of timers.keys()) end(author);
    };
  };
  const typing = useCallback((on?: boolean) => room?.typing(on), [room]);
  return [useTold<string[]>(begin, () => [], room), typing];
}
