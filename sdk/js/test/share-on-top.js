// A page that has the client and shares its connection: what `share` costs is measured by it.
export * from "../dist/index.js";
export { share } from "../dist/share.js";
