/** A real browser's WebTransport against the real server: its stream, its datagrams and how its end is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, newRoom, server, stage } from "./support.mjs";

stage();

/** A page on which `open(path)` connects by WebTransport. */
async function page(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${server.url}/healthz`);
  await page.evaluate(() => {
    window.open = async (path) => {
      const { hash } = await (await fetch("/wt/certificate")).json();
      const value = Uint8Array.from(atob(hash.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
      const transport = new WebTransport(new URL(path, location.href.replace("http:", "https:")), {
        serverCertificateHashes: [{ algorithm: "sha-256", value }],
      });
      await transport.ready;
      const { readable, writable } = await transport.createBidirectionalStream();
      const seen = [];
      const datagrams = [];
      const waiting = new Set();
      const news = () => [...waiting].forEach((look) => look());
      void read(readable.getReader(), seen, news).catch(() => {});
      void readDatagrams(transport.datagrams.readable.getReader(), datagrams, news).catch(() => {});
      const writer = writable.getWriter();
      const until = (look) =>
        new Promise((resolve) => {
          const check = () => look() && (waiting.delete(check), resolve(look()));
          waiting.add(check);
          check();
        });
      return { transport, seen, datagrams, until, send: (message) => writer.write(counted(JSON.stringify(message))) };
    };

    /** A QUIC varint (RFC 9000, section 16), then the text. */
    const counted = (text) => {
      const body = new TextEncoder().encode(text);
      const head = body.length < 64 ? [body.length] : [0x40 | (body.length >> 8), body.length & 0xff];
      return new Uint8Array([...head, ...body]);
    };

    const read = async (reader, seen, news) => {
      let bytes = [];
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        bytes = [...bytes, ...value];
        for (;;) {
          const count = 1 << (bytes[0] >> 6);
          if (bytes.length < count) break;
          const length = bytes.slice(1, count).reduce((length, byte) => length * 256 + byte, bytes[0] & 0x3f);
          if (bytes.length < count + length) break;
          seen.push(JSON.parse(new TextDecoder().decode(new Uint8Array(bytes.slice(count, count + length)))));
          bytes = bytes.slice(count + length);
        }
        news();
      }
    };

    const readDatagrams = async (reader, datagrams, news) => {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        datagrams.push(JSON.parse(new TextDecoder().decode(value)));
        news();
      }
    };
  });
  return page;
}

test("a browser joins, sends and is answered on one stream", async (t) => {
  const told = await (await page(t)).evaluate(async (room) => {
    const ada = await window.open("/wt?user=ada");
    await ada.send({ type: "join", id: "1", room });
    await ada.send({ type: "text", id: "2", room, data: { content: "Hello" } });
    return ada.until(() => ada.seen.some((message) => message.seq === 1) && ada.seen);
  }, newRoom());
  assert.deepEqual([told[0].type, told[0].data.event, told[0].data.user], ["system", "welcome", "ada"]);
  assert.equal(told.find(({ id, type }) => id === "1" && type === "ack").data.status, "joined");
  assert.equal(told.find(({ seq }) => seq === 1).data.author, "ada");
});

test("what may be lost travels as datagrams, both ways", async (t) => {
  const room = newRoom();
  const [message, typing] = await (await page(t)).evaluate(async (room) => {
    const [ada, bob] = [await window.open(`/wt/${room}?user=ada`), await window.open(`/wt/${room}?user=bob`)];
    const joined = (one) => one.until(() => one.seen.some(({ type }) => type === "ack"));
    await Promise.all([joined(ada), joined(bob)]);
    const writer = ada.transport.datagrams.writable.getWriter();
    const cast = (message) => writer.write(new TextEncoder().encode(JSON.stringify(message)));
    await cast({ type: "cursor", volatile: true, data: { x: 7 } });
    await cast({ type: "typing" });
    return bob.until(() => bob.datagrams.length === 2 && bob.datagrams);
  }, room);
  assert.deepEqual([message.type, message.data], ["cursor", { x: 7, author: "ada" }]);
  assert.deepEqual([typing.type, typing.data], ["typing", { typing: true, author: "ada" }]);
});

test("a browser learns the code and the reason of its close", async (t) => {
  const ends = await (await page(t)).evaluate(async () => {
    const session = "AAAAAAAAAAAAAAAAAAAAAA";
    const welcomed = async (path) => {
      const one = await window.open(path);
      await one.until(() => one.seen.length > 0);
      return one;
    };
    const first = await welcomed(`/wt?session=${session}&attempt=1`);
    await welcomed(`/wt?session=${session}&attempt=2`);
    const lost = await first.transport.closed;
    const refused = await (await window.open("/wt/no%20room?user=ada")).transport.closed;
    return [lost, refused].map(({ closeCode, reason }) => ({ closeCode, reason }));
  });
  assert.equal(ends[0].closeCode, 4009);
  assert.match(ends[0].reason, /^taken_over: /);
  assert.equal(ends[1].closeCode, 1008);
  assert.match(ends[1].reason, /^invalid_room: /);
});
