// examples/dashboard: numbers come by a stream of events, and those before the page was opened are there at once.
import assert from "node:assert/strict";
import { test } from "node:test";

import { look, stage, start } from "./support.mjs";

const open = stage();
/** How many numbers a chart shows. */
const points = (page) => page.locator(".line").first().evaluate((line) => (line.getAttribute("d") ?? "").split("L").length);
const reaches = (page, number) =>
  page.waitForFunction((number) => document.querySelector(".line").getAttribute("d")?.split("L").length >= number, number);

test("charts live on a stream of events", async (t) => {
  const url = await start("dashboard/README.md", "run.mjs dashboard");
  const page = await open(t, url);
  const [asked, sockets] = [[], []];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  page.on("websocket", (socket) => sockets.push(socket.url()));

  await reaches(page, 3);
  await page.getByText("Response time").waitFor();
  assert.match(await page.locator(".value").nth(3).textContent(), /^\d+\.\d\d%$/);
  const before = await points(page);
  await page.reload();
  await reaches(page, before + 2);
  assert.ok(asked.includes("/events"), asked.join(" "));
  assert.deepEqual(sockets, []);
  if (process.env.EXAMPLES_SHOTS) await reaches(page, 40);
  await look(page, "dashboard");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 420, height: 760 });
  await look(page, "dashboard-dark");
});
