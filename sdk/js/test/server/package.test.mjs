// The package as it is published, on pages in Chromium: built by Vite, and loaded as it is.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "vite";

import { installed } from "../pack.mjs";
import { browser, stage } from "./browser.mjs";
import { Server, newRoom } from "./server.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript" };
const MAIN = `
  const [url, name] = location.hash.slice(1).split(",");
  const room = connect(url).room(name);
  room.on("text", ({ data }) => (document.title = data.content));
  room.send("text", { content: "Hello" });
`;

let project, server;
stage();
before(async () => {
  project = installed();
  server = await Server.dev();
});
after(async () => {
  project.remove();
  await server.stop();
});

/** Serves a folder's files, and nothing else. */
async function serve(t, folder) {
  const front = createServer(({ url }, answer) => {
    const path = url === "/" ? "/index.html" : url;
    try {
      answer.writeHead(200, { "content-type": TYPES[extname(path)] }).end(readFileSync(join(folder, path)));
    } catch {
      answer.writeHead(404).end();
    }
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  t.after(() => (front.closeAllConnections(), front.close()));
  return `http://127.0.0.1:${front.address().port}`;
}

/** The page has sent a message, and been told it. */
async function converses(t, folder) {
  const origin = await serve(t, folder);
  const page = await browser.newPage();
  t.after(() => page.close());
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  await page.goto(`${origin}/#${server.url},${newRoom()}`);
  await page.waitForFunction(() => document.title === "Hello");
  assert.deepEqual(errors, []);
}

test("the packed tarball works in what Vite builds", async (t) => {
  const root = join(project.folder, "app");
  mkdirSync(root);
  writeFileSync(join(root, "index.html"), '<!doctype html><title>app</title><script type="module" src="/main.js"></script>');
  writeFileSync(join(root, "main.js"), `import { connect } from "roomcast"; ${MAIN}`);
  await build({ root, configFile: false, logLevel: "warn" });
  await converses(t, join(root, "dist"));
});

test("the packed tarball works in a plain module", async (t) => {
  const script = `import { connect } from "./node_modules/roomcast/dist/index.js"; ${MAIN}`;
  writeFileSync(join(project.folder, "index.html"), `<!doctype html><title>page</title><script type="module">${script}</script>`);
  await converses(t, project.folder);
});
