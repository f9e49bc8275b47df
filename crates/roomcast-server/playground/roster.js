// @ts-check
/**
 * Who is here, put together from a join's ack and the room's `presence` messages. Checks the roster's version `v`, so
 * that a missed change is noticed. Pure.
 */
/** @import { Member } from "./protocol.js" */

export class Roster {
  /** @type {Map<string, Member>} */ members = new Map();
  /** Whether this is how the room is, and not how it was before the connection was lost. */
  fresh = false;
  /** People in the room; more than `members` once the room is too large for names. */
  count = 0;
  /** @type {number|undefined} */ #v;

  /** Takes the whole roster, whatever its version. @param {{v?: number, members?: Member[], count: number}} roster */
  replace({ v, members = [], count }) {
    this.#v = v;
    this.members = new Map(members.map((member) => [member.user, member]));
    this.count = count;
    this.fresh = true;
  }

  /**
   * Takes what a join's ack says; a stream's says nothing, the `sync` after it does.
   * @param {{v?: number, members?: Member[], count?: number}} ack
   */
  joined({ v, members, count = 0 }) {
    this.fresh = false;
    if (members) this.replace({ v, members, count });
  }

  /**
   * Takes one change.
   * @param {Record<string, any>} data a `presence` message's
   * @returns {boolean} false if a change before this one is missing: ask for a sync
   */
  apply(data) {
    if (data.event === "sync") {
      this.replace(/** @type {any} */ (data));
      return true;
    }
    if (this.#v !== undefined && data.v <= this.#v) return true;
    const next = this.#v === undefined || data.v === this.#v + 1;
    this.#v = data.v;
    this.count = data.count;
    if (data.event === "count") this.members.clear();
    else if (data.event === "leave") this.members.delete(data.user);
    else this.members.set(data.user, { user: data.user, state: data.state, connections: data.connections, info: data.info });
    return next || data.event === "count";
  }
}
