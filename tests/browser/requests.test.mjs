/** The playground where plain requests carry what is said: refusals, answers that are lost, positions of another log. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { five, log, openPair, stage } from "./support.mjs";

stage();

for (const transport of ["SSE", "Long poll"]) {
  test(`${transport}: a refusal that passes, and an answer that is lost, send a message once and in order`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: ["WebSocket", transport], excused: /429|ERR_FAILED/ });
    const troubles = [refuse, loseAnswer];
    await page.route(/\/rooms\/.*\/messages\?/, (route) => (troubles.shift() ?? pass)(route));
    for (const text of five) await grace.says(text);
    await grace.message("five").getByText("Delivered, number 5").waitFor();
    await ada.message("five").waitFor();
    for (const one of [ada, grace]) assert.deepEqual(await one.texts(), five);
    assert.deepEqual(troubles, []);
  });

  test(`${transport}: a refusal that stays is told, and the way back is a button`, async (t) => {
    const { page, grace } = await openPair(t, { excused: /403/ });
    const body = JSON.stringify({ detail: "grace may not read this", code: "forbidden", retryable: false });
    await page.route(/\/(events|poll)\?/, (route) => route.fulfill({ status: 403, contentType: "application/problem+json", body }), { times: 1 });
    await grace.transport.selectOption(transport);
    await grace.panel.getByText("The server refused: forbidden: grace may not read this.").waitFor();
    await grace.press("Connect again");
    await grace.live();
  });

  test(`${transport}: a reset shows the room again, from where it is kept`, async (t) => {
    const { page, ada, grace } = await openPair(t, { over: ["WebSocket", transport] });
    await log(ada, "kept");
    await grace.message("kept").waitFor();
    await grace.press("Cut the cable");
    await log(ada, "missed");
    await page.route(/since=/, (route) => route.continue({ url: route.request().url().replace(/(since=[^&]*%3D)[^&]*/, "$1elsewhere.1") }), { times: 1 });
    await grace.press("Plug it back in");
    await grace.note("reset: epoch, the room's log has begun anew; shown again from seq 1 on").waitFor();
    await log(ada, "after");
    await grace.message("after").waitFor();
    assert.deepEqual(await grace.texts(), ["kept", "missed", "after"]);
  });
}

/** Answers for the server that it is too much now. */
function refuse(route) {
  const body = JSON.stringify({ detail: "slow down", code: "rate_limited", retryable: true, retry_after: 0.2 });
  return route.fulfill({ status: 429, contentType: "application/problem+json", body });
}

/** Lets the request through, and breaks the connection before its answer. */
async function loseAnswer(route) {
  await route.fetch();
  await route.abort();
}

function pass(route) {
  return route.continue();
}
