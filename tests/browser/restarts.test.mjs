/** The playground when its server is killed or restarted, over every transport: what was kept, and that it is said. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TRANSPORTS, five, log, openPair, stage, startServer } from "./support.mjs";

/**
 * What a browser says of a server that isn't there, of a socket to it, also one that is given up with the page, and of a
 * server that has come back with a new certificate.
 */
const GONE = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|QUIC_TLS_CERTIFICATE_UNKNOWN|closed before the connection is established|status of 503/;

stage();

for (const transport of TRANSPORTS) {
  test(`${transport}: a server that is killed and comes back has kept the room, and that is said`, async (t) => {
    const data = await mkdtemp(join(tmpdir(), "roomcast-"));
    t.after(() => rm(data, { recursive: true }));
    const { first, again } = await restartable(t, { data });
    const { ada, grace } = await openPair(t, { url: first.url, over: [transport, transport], excused: GONE });
    await log(ada, ...five);
    await grace.message("five").waitFor();
    await first.kill();
    await grace.says("while it was down");
    await grace.message("while it was down").getByText("waiting").waitFor();

    await again();
    await grace.note("nothing lost: the room was kept up to seq 5").waitFor();
    for (const one of [ada, grace]) {
      await one.panel.getByText(/^nothing lost: the room was kept/).waitFor();
      await one.message("while it was down").getByText("umber 6").waitFor();
      assert.deepEqual(await one.texts(), [...five, "while it was down"]);
    }
  });

  test(`${transport}: a server that is restarted and keeps nothing begins anew, and that is said`, async (t) => {
    const { first, again } = await restartable(t);
    const { grace } = await openPair(t, { url: first.url, over: [transport, transport], excused: GONE });
    await log(grace, ...five);
    await first.stop();
    await grace.says("while it was down");
    await again();
    await grace.note("reset: epoch, the room's log has begun anew; nothing up to seq 5 was kept").waitFor();
    await grace.message("while it was down").getByText("Delivered, number 1").waitFor();
    await log(grace, "anew");
    assert.deepEqual(await grace.texts(), ["while it was down", "anew"]);
  });
}

/** A server that can be killed, and started `again` at the same address. */
async function restartable(t, options = {}) {
  const first = await startServer(options);
  let running = first;
  t.after(() => running.kill());
  const again = async () => {
    running = await startServer({ ...options, listen: new URL(first.url).host });
  };
  return { first, again };
}
