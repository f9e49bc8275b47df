/**
 * `roomcast/share`: the tabs of one person in one browser use one connection. The tab that holds a Web Lock leads: it
 * has the link for as long as it has the lock. The others follow over a `BroadcastChannel`. Who leads is settled here;
 * what the leader does for all is `share/hub.ts`, what a tab takes of what comes `share/reader.ts`.
 *
 * | a tab's link | lock granted | a leader is heard | nobody is heard | the leader goes |
 * |---|---|---|---|---|
 * | asks | leads | follows | robs the lock, leads | |
 * | follows | over: the leader is gone | over, if it is a later one | | over |
 * | leads | | | | over, if it is robbed |
 *
 * A link that is over is opened again by its client, at once where nothing is wrong with the server: every tab asks
 * anew, and who has the lock first leads. A hand-over is no more than what each client does after a lost connection.
 */
import type { Envelope, From, Link, To, Transport } from "./link.js";
import { randomId } from "./random.js";
import { createHub, type Hub } from "./share/hub.js";
import { createReader, isSystem } from "./share/reader.js";

/** A tab that has the lock and says nothing for so long is frozen. */
const SILENT_MS = 3000;
/** What a tab says last may come so much later than its lock. */
const LAST_WORD_MS = 100;

/** What tabs say to each other. */
interface Frame {
  /** A tab that doesn't lead: it is there, asks the one it follows for something, or goes with a close code. */
  tab?: string;
  whom?: number;
  text?: string;
  bye?: number;
  /** The one that leads, by its `attempt`; where it isn't known yet also the session, and over which transport. */
  n?: number;
  session?: string;
  at?: number;
  /** What the server said. */
  message?: Envelope | undefined;
  /** It leads no longer, for this reason if it is the server's. */
  over?: [code?: number, reason?: string];
}

/** Who connects where: tabs on the same channel share. Nothing if that can't be said, or they may not talk. */
function channelOf({ address, token }: To, user: string) {
  const url = address("/");
  url.searchParams.delete("session");
  try {
    const [, claims] = token?.split(".") ?? [];
    // A fresh token says the same of its user.
    const text = token ? atob(claims!.replace(/-/g, "+").replace(/_/g, "/")) : "{}";
    const { exp, iat, nbf, jti, ...who } = JSON.parse(text);
    return new BroadcastChannel(`roomcast ${JSON.stringify([url, user, who])}`);
  } catch {
    return;
  }
}

/**
 * The transports, shared: `connect(url, { transports: share([websocket, events, poll]) })`. Where a cookie says who
 * the user is, name the `user`, so that nobody shares with another. A browser without Web Locks shares nothing.
 */
export function share(transports: readonly Transport[], user = ""): Transport[] {
  /** What all tabs use. */
  let session: string | undefined;
  /** The last who has led. */
  let last = 0;
  /** How far the transport that works is from the one that the client believes to use. */
  let shift = 0;

  function open(at: number, channel: BroadcastChannel, to: To, from: From): Link {
    const { locks } = navigator;
    const { name } = channel;
    const tab = randomId();
    const over = new AbortController();
    const { signal } = over;
    const ended = new Promise((then) => (signal.onabort = then));
    /** Who is followed, or this tab. */
    let leader = 0;
    let isHeir = false;
    let hub: Hub | undefined;
    let link: Link | undefined;
    let welcome: Envelope | undefined;

    const post = (frame: Frame) => channel.postMessage(frame);
    const chosen = () => (at + shift) % transports.length;
    const announce = () => post({ n: leader, session: session!, at: chosen(), message: welcome });
    const send = (text: string) => (hub ? hub.send(tab, text) : post({ tab, whom: leader, text }));
    const reader = createReader(to.joins, from.message, (request) => send(JSON.stringify(request)), comeAnew);

    function hear(message: Envelope) {
      if (isSystem(message, "welcome")) {
        if (welcome?.data.user) return;
        welcome = message;
      }
      reader.hear(message);
    }

    // The end.

    function end(...why: [code?: number, reason?: string]) {
      if (signal.aborted) return;
      if (hub || isHeir) post({ n: leader, over: why });
      over.abort();
      channel.close();
    }

    function closed(code: number, reason: string) {
      if (signal.aborted) return;
      link?.close(4000);
      // What is wrong with this tab's token may be right with another's.
      /^(token_ex|unauth)/.test(reason) ? end() : end(code, reason);
      from.closed(code, reason);
    }

    /** The leader is gone, or robbed: the client comes back at once. */
    function comeAnew() {
      if (signal.aborted) return;
      link?.close(4000);
      end();
      from.message({ type: "system", data: { event: "draining", reconnect_in: 0 } });
      from.closed(1012, "restart: another tab leads");
    }

    // Leading.

    /** A follower has the lock when the leader is gone. It tells the others, for whom it may be gone without a word. */
    function granted() {
      if (!leader) return lead();
      isHeir = true;
      setTimeout(comeAnew, LAST_WORD_MS);
    }

    function lead() {
      last = leader = Math.max(last + 1, Math.floor(Date.now() / 1000));
      session ??= to.address("/").searchParams.get("session")!;
      const mine = (hub = createHub(
        (text, request) => signal.aborted || link!.send(text, request),
        () => closed(1006, "no pong"),
      ));
      mine.tabs.add(tab);
      announce();
      try {
        link = transports[chosen()]!(
          {
            ...to,
            address: (path, query) => to.address(path, { ...query, session }),
            attempt: leader,
            joins: () => (welcome ? mine.joins() : to.joins()),
          },
          {
            message(message) {
              if (signal.aborted) return;
              from.message();
              if (!message) return;
              mine.message(message);
              if (mine.tabs.size > 1 && !isSystem(message, "expiring")) post({ n: leader, message });
              hear(message);
            },
            // Another tab has robbed this one: it has the session.
            closed: (code, reason) => (code === 4009 ? comeAnew() : closed(code, reason)),
          },
        );
      } catch (error) {
        closed(1006, String(error));
      }
    }

    function led({ tab: other, whom, text, bye }: Frame, { tabs, send, gone }: Hub) {
      if (!other) return;
      if (bye) return gone(other, bye);
      if (!tabs.has(other)) {
        tabs.add(other);
        announce();
        // A tab that can't say that it goes lets go of its lock.
        const freed = () => void setTimeout(gone, LAST_WORD_MS, other, 4000);
        locks.request(name + other, { signal }, freed).catch(() => {});
      }
      // Whoever was robbed, and has slept, hears only now what another one was asked.
      if (text && whom === leader) send(other, text);
    }

    // Following.

    function followed({ n, session: theirs, at: index, message, over }: Frame) {
      if (!n) return;
      if (!leader && theirs) {
        last = leader = n;
        session = theirs;
        shift = index! - at + transports.length;
        post({ tab });
      }
      if (n !== leader) return n > leader && leader && comeAnew();
      from.message();
      if (message) hear(message);
      if (over) over[0] ? closed(over[0], over[1]!) : comeAnew();
    }

    // Asking.

    channel.onmessage = ({ data }) => signal.aborted || (hub ? led(data, hub) : followed(data));
    /** Until the end, from when `then` is called. */
    const hold = (name: string, then: () => void, options: LockOptions = { signal }) =>
      locks.request(name, options, () => (signal.aborted || then(), ended));
    const want = (options?: LockOptions) => hold(name, granted, options).catch(comeAnew);
    const asked = hold(name + tab, () => {
      post({ tab });
      want();
    });
    // A page that may have no locks shares with nobody.
    asked.catch(() => signal.aborted || lead());
    // A tab that was busy hears first what has been said to it meanwhile.
    const rob = () => signal.aborted || leader || want({ steal: true });
    setTimeout(() => setTimeout(rob, LAST_WORD_MS), SILENT_MS);

    return {
      send(text, request) {
        reader.note(request);
        send(text);
        return true;
      },
      close(code) {
        if (signal.aborted) return;
        const isAlone = hub?.tabs.size === 1;
        if (!hub) post({ tab, bye: code });
        else if (!isAlone) hub.gone(tab, code);
        link?.close(isAlone ? code : 4000);
        // Who waits for a leader that doesn't get through tries what is next.
        welcome ? end() : end(1006, "the tab that leads was not let in");
      },
    };
  }

  return transports.map((transport, at) => (to, from) => {
    const channel = globalThis.navigator?.locks && channelOf(to, user);
    return channel ? open(at, channel, to, from) : transport(to, from);
  });
}
