// A page that has the client and what it does where answers are no streams: what `eventsource` costs is measured by it.
export * from "../dist/index.js";
export { eventsource } from "../dist/eventsource.js";
