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
function useTold<T>(begin: (tell: (value: T) => void) => Off, first: T, source: unknown): T {
  const { subscribe, get } = useMemo(() => {
    let value = first;
    return {
      get: () => value,
      subscribe: (changed: () => void) =>
        begin((next) => {
          value = next;
          changed();
        }),
    };
  }, [source]);
  return useSyncExternalStore(subscribe, get, () => first);
}

const nothing: Off = () => {};

/** How the client stands. */
export function useConnection(): ClientState {
  const client = useClient();
  const begin = (tell: (state: ClientState) => void) => {
    tell(client.state);
    return client.on("state", tell);
  };
  return useTold(begin, client.state, client);
}

/** Who holds which room: the last one to let go of it leaves. */
const held = new WeakMap<Room<any, any>, number>();

function hold(room: Room<any, any>): Off {
  held.set(room, (held.get(room) ?? 0) + 1);
  return () => {
    held.set(room, held.get(room)! - 1);
    // Whoever mounts in the same turn takes it over.
    queueMicrotask(() => held.get(room) || room.leave());
  };
}

export interface RoomView<M, S> {
  /** The room, once the component is mounted. */
  room: Room<M, S> | undefined;
  state: RoomState;
  /** The newest messages; none from before a gap. */
  messages: readonly Message<M>[];
}

/** Joins a room for as long as the component is there. `keep`: how many messages to show, 100. */
export function useRoom<M extends Payloads<M> = AnyPayloads, S = AnyState>(
  name: string,
  { keep = 100, ...options }: JoinOptions<S> & { keep?: number } = {},
): RoomView<M, S> {
  const client = useClient();
  const [room, setRoom] = useState<Room<M, S>>();
  useEffect(() => {
    const joined = client.room<M, S>(name, options);
    setRoom(joined);
    return hold(joined);
  }, [client, name]);
  const stateOf = (tell: (state: RoomState) => void) => {
    if (!room) return nothing;
    tell(room.state);
    return room.on("state", tell);
  };
  const messagesOf = (tell: (messages: Message<M>[]) => void) => {
    if (!room) return nothing;
    let all: Message<M>[] = [];
    const offs = [
      room.on("*", (message) => tell((all = [...all, message].slice(-keep)))),
      room.on("gap", () => tell((all = []))),
    ];
    return () => offs.forEach((off) => off());
  };
  return { room, state: useTold(stateOf, "joining", room), messages: useTold(messagesOf, [] as Message<M>[], room) };
}

/** Who is in the room. */
export function usePresence<S>(room: Room<any, S> | undefined): readonly Member<S>[] {
  const begin = (tell: (members: Member<S>[]) => void) => {
    if (!room) return nothing;
    tell(room.presence.members);
    return room.presence.on("change", tell);
  };
  return useTold(begin, [] as Member<S>[], room);
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
  return [useTold(begin, [] as string[], room), typing];
}
