// The example `embed`: rooms inside a Rust app, whose own handler tells what has happened, on the app's own page.
import assert from "node:assert/strict";
import { test } from "node:test";

import { look, run, stage } from "./support.mjs";

const open = stage();

test("an app in Rust tells its pages what has happened", async (t) => {
  assert.ok(process.env.EMBED_BIN, "set EMBED_BIN to the example `embed` (cargo xtask test does)");
  const url = await run(process.env.EMBED_BIN, "127.0.0.1:0");
  const [ada, grace] = [await open(t, url), await open(t, url, { colorScheme: "dark" })];
  const lines = (page) => page.getByRole("listitem").locator("visible=true");
  for (const number of [1, 2]) {
    await ada.getByRole("button", { name: "Order something" }).click();
    await Promise.all([ada, grace].map((page) => lines(page).filter({ hasText: `Order ${number}` }).waitFor()));
  }
  await ada.reload();
  await lines(ada).nth(1).waitFor();
  assert.match(await lines(ada).first().textContent(), /^Order 2/);
  await look(ada, "embed");
  await look(grace, "embed-dark");
});
