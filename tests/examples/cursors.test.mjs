// examples/cursors: a pointer is where it is, in a window of another size too, and goes with its person.
import { test } from "node:test";

import { look, stage, start } from "./support.mjs";

const open = stage();

test("a pointer is seen by others at its place", async (t) => {
  const url = await start("cursors/README.md", "run.mjs cursors");
  const [ada, grace] = [await open(t, url), await open(t, url, { colorScheme: "dark", viewport: { width: 600, height: 500 } })];
  await Promise.all([ada, grace].map((page) => page.getByText("With you: ").waitFor()));

  await ada.mouse.move(450, 340, { steps: 10 });
  const cursor = grace.getByRole("region", { name: "Board" }).locator(".cursor");
  await grace.waitForFunction(() => document.querySelector(".cursor")?.style.translate === "300px 250px");
  await grace.mouse.move(150, 200, { steps: 5 });
  await ada.waitForFunction(() => document.querySelector(".cursor")?.style.translate === "225px 272px");
  await look(ada, "cursors");
  await look(grace, "cursors-dark");

  await ada.context().close();
  await cursor.waitFor({ state: "detached" });
});
