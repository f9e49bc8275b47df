// The hooks in Chromium, on a page that a server has rendered, against the real server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";

import { build } from "esbuild";
import { createElement as h } from "react";
import { renderToString } from "react-dom/server";

import { RoomcastProvider, useConnection } from "roomcast/react";

import { startBrowser } from "./browser.mjs";
import { Server, newRoom, range } from "./server.mjs";

const { deepEqual, equal } = assert;

const APP = `
  import { StrictMode, Suspense, createElement as h, lazy, useState } from "react";
  import { hydrateRoot } from "react-dom/client";
  import { connect } from "roomcast";
  import { RoomcastProvider, useConnection, usePresence, useRoom } from "roomcast/react";

  const How = () => h("p", { id: "how" }, useConnection());
  function Room({ name }) {
    const { messages, state } = useRoom(name, { last: 100, keep: 1000 });
    const members = usePresence(useRoom(name).room);
    // Slow enough for the room's first messages to come while it is rendered.
    for (const until = performance.now() + 30; performance.now() < until; );
    return h("p", { id: "room" }, [state, members.length, messages.map(({ data }) => data.n).join()].join(" "));
  }
  function App({ name }) {
    const [names, show] = useState([]);
    Object.assign(window, { show });
    return [h(How, { key: "how" }), ...names.map((name) => h(Room, { key: name, name }))];
  }
  window.start = async (url) => {
    const rt = connect(url);
    const faults = [];
    Object.assign(window, { rt, faults });
    rt.room("elsewhere");
    await new Promise((then) => rt.on("state", (state) => state === "online" && then()));
    const root = document.getElementById("root");
    const onRecoverableError = (error) => faults.push(String(error));
    hydrateRoot(root, h(StrictMode, null, h(RoomcastProvider, { client: rt }, h(App))), { onRecoverableError });
  };
`;

let browser, page, front, server;
const faults = [];

before(async () => {
  server = await Server.dev();
  browser = await startBrowser();
  const stdin = { contents: APP, resolveDir: fileURLToPath(new URL(".", import.meta.url)) };
  const define = { "process.env.NODE_ENV": '"development"' };
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", define, write: false });
  const rendered = renderToString(h(RoomcastProvider, { client: { state: "idle" } }, h(() => h("p", { id: "how" }, useConnection()))));
  const html = `<!doctype html><div id="root">${rendered}</div><script type="module" src="/app.js"></script>`;
  front = createServer(({ url }, answer) => {
    const isScript = url === "/app.js";
    answer.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" }).end(isScript ? outputFiles[0].text : html);
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => message.type() === "error" && !/favicon|404/.test(message.text()) && faults.push(message.text()));
  await page.goto(`http://127.0.0.1:${front.address().port}`);
  await page.waitForFunction(() => window.start);
});
after(async () => {
  await browser?.close();
  front?.closeAllConnections();
  front?.close();
  await server?.stop();
});

test("a page that a server has rendered is taken over by a client that is online, and shows all of a room", async () => {
  const name = newRoom();
  await fetch(`${server.url}/rooms/${name}/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(range(50).map((n) => ({ type: "text", data: { n } }))),
  });
  await page.evaluate((url) => start(url), `${server.url}/?user=ada`);
  await page.locator("#how", { hasText: "online" }).waitFor();
  await page.evaluate((name) => show([name]), name);
  await page.locator("#room", { hasText: `live 1 ${range(50).join()}` }).waitFor();
  // In and out again before it has joined, and in.
  for (const names of [[], [name], [], [name]]) await page.evaluate((names) => show(names), names);
  await page.locator("#room", { hasText: `live 1 ${range(50).join()}` }).waitFor();
  await page.evaluate(() => show([]));
  deepEqual([...faults, ...(await page.evaluate(() => window.faults))], []);
  const text = await (await fetch(`${server.url}/metrics`)).text();
  equal(/^roomcast_connections_opened_total (\d+)$/m.exec(text)[1], "1", "one connection");
});
