/** Whether to come back after a close, and how long to wait. Pure. */

/** `later`, with a fresh `token`, `once` with a fresh token, or not at all. */
export type Comeback = "later" | "token" | "once" | undefined;

const LATER = [1001, 1006, 1011, 1012, 1013, 4008];
const AFTER_1008: Record<string, Comeback> = { token_expired: "token", unauthorized: "once", rate_limited: "later" };

/** What a close code means; several share 1008 and are told apart by the word their reason begins with. */
export const comeback = (code: number, reason: string): Comeback =>
  code === 1008 ? AFTER_1008[reason.split(":")[0]!] : LATER.includes(code) ? "later" : undefined;

/**
 * Milliseconds before try `tries` (from 0): exponential with full jitter, so that a thousand pages that lost the same
 * server don't come back in the same instant. `random` is uniform in [0, 1).
 */
export const backoff = (tries: number, base: number, max: number, random: number): number =>
  random * Math.min(max, base * 2 ** tries);
