/** The code that the playground shows for what just happened: whatever it says it does, as it stands. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { TRANSPORTS, log, openPair, server, stage } from "./support.mjs";

/** What the code without a library prints that asks who is here; over WebTransport it prints all that comes, as it comes. */
const HERE = { WebSocket: /^here:/, SSE: /^sync/, "Long poll": /^here:/, WebTransport: /"status":"joined",.*"members":\[\{/ };

stage();

test("the code shown for a message sends that message again", async (t) => {
  const { page, ada, grace } = await openPair(t);
  const text = `it's "quoted" \\ $HOME \`id\` & <b> ${"\u202e"}txet`;
  await ada.says(text);
  await grace.message(text).waitFor();
  const shown = page.getByRole("tabpanel").locator("pre");
  const elsewhere = await page.context().newPage();
  await elsewhere.goto(`${server.url}/healthz`);
  await elsewhere.addScriptTag({ type: "module", content: await shown.textContent() });
  await grace.message(text).nth(1).waitFor();

  await page.getByRole("tab", { name: "JS" }).click();
  await page.evaluate(await shown.textContent());
  await grace.message(text).nth(2).waitFor();

  await page.getByRole("tab", { name: "curl" }).click();
  const { method, url, headers, body } = readCurl(await shown.textContent());
  await fetch(url, { method, headers, body });
  await grace.message(text).nth(3).getByText("Number 4").waitFor();
  assert.deepEqual(await ada.texts(), [text, text, text, text]);
});

/** Lets a real shell take the command apart, with `curl` replaced by a function that tells its arguments. */
function readCurl(command) {
  const tell = `curl() { "${process.execPath}" -e 'console.log(JSON.stringify(process.argv.slice(1)))' -- "$@"; }\n`;
  const [x, method, url, h, header, d, body] = JSON.parse(execFileSync("sh", ["-c", tell + command], { encoding: "utf8" }));
  assert.deepEqual([x, h, d], ["-X", "-H", "-d"]);
  return { method, url, headers: [header.split(": ")], body };
}

for (const transport of TRANSPORTS) {
  test(`${transport}: the code shown for the SDK runs as it stands`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: [transport, "WebSocket"] });
    const elsewhere = await page.context().newPage();
    const run = async (content) => {
      // Without the playground's policy, which takes no script in place; and anew, since a browser has six connections.
      await elsewhere.goto(`${server.url}/healthz`);
      await elsewhere.addScriptTag({ type: "module", content });
    };
    await runsShownCode({ page, ada, grace }, { tab: "SDK", where: elsewhere, run, here: /^here: \[.*Ada.*\]/ });
  });

  test(`${transport}: the code shown without a library runs as it stands`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: [transport, "WebSocket"] });
    const run = (source) => page.evaluate(`(async () => { ${source} })().catch(console.error); 0`);
    await runsShownCode({ page, ada, grace }, { tab: "JS", where: page, run, here: HERE[transport] });
  });
}

/** Runs on a page what a tab shows for each happening, and sees that it does as it says. */
async function runsShownCode({ page, ada, grace }, { tab, where, run, here }) {
  const shown = page.getByRole("tabpanel").locator("pre");
  const runShown = async () => run(await shown.textContent());
  const logged = (pattern) => where.waitForEvent("console", (line) => pattern.test(line.text()));
  await page.getByRole("tab", { name: tab }).click();
  await log(ada, `it's "quoted"`);
  await runShown();
  await grace.message(`it's "quoted"`).nth(1).waitFor();

  const choose = (recipe) => page.getByLabel("Code for").selectOption(recipe);
  await choose("join");
  await Promise.all([logged(/Ada it's "quoted"|"content":"it's/), runShown()]);
  await choose("resume");
  await Promise.all([logged(/3 Ada later|"seq":3,.*"later"/), runShown(), log(ada, "later")]);
  await choose("presence");
  await Promise.all([logged(here), runShown()]);
  await choose("typing");
  await runShown();
  await grace.panel.getByText("Ada is typing").waitFor();
}
