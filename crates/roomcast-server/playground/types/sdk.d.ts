/** What the server has at `/sdk.js`, for an editor. */
export * from "../../../../sdk/js/src/index.js";
export type { Transport } from "../../../../sdk/js/src/link.js";
