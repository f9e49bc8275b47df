/** What the server has at `/sdk/webtransport.js`, for an editor. */
export * from "../../../../../sdk/js/src/webtransport.js";
