// HTTP/2 over TLS with Node's own client: requests, events, and a WebSocket by extended CONNECT (RFC 8441).

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Server, mint, newRoom } from "./support.mjs";

/** A text frame as a client masks it, with a key of zeros; RFC 6455 asks for no more of the receiver. */
function masked(text) {
  const payload = Buffer.from(text);
  const length = payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from([0x81, ...length, 0, 0, 0, 0]), payload]);
}

/** The JSON of each whole text frame at the beginning of `bytes`, and what is left. */
function* frames(state) {
  while (state.bytes.length >= 2) {
    const short = state.bytes[1] & 127;
    const head = short === 126 ? 4 : 2;
    const length = short === 126 ? state.bytes.readUInt16BE(2) : short;
    if (state.bytes.length < head + length) return;
    const [opcode, payload] = [state.bytes[0] & 15, state.bytes.subarray(head, head + length)];
    state.bytes = state.bytes.subarray(head + length);
    yield { opcode, payload };
  }
}

describe("HTTP/2", () => {
  let server, session;
  before(async () => {
    const file = (name) => JSON.stringify(join(import.meta.dirname, "../support/tls", name));
    const paths = `tls_certificate = ${file("certificate.pem")}\ntls_key = ${file("key.pem")}`;
    server = await Server.serve(`[server]\n${paths}`);
    session = connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false });
    const [settings] = await once(session, "remoteSettings");
    assert.equal(settings.enableConnectProtocol, true);
  });
  after(async () => {
    session.destroy();
    await server.stop();
  });

  const authorization = () => `Bearer ${mint("ada")}`;

  async function post(room, message) {
    const path = `/rooms/${room}/messages`;
    const request = session.request({ ":method": "POST", ":path": path, authorization: authorization() });
    request.end(JSON.stringify(message));
    const [headers] = await once(request, "response");
    request.resume();
    return headers[":status"];
  }

  test("events and requests share a connection", async () => {
    const room = newRoom();
    const events = session.request({ ":path": `/events/${room}`, authorization: authorization() });
    const [headers] = await once(events, "response");
    assert.deepEqual([headers[":status"], headers["content-type"]], [200, "text/event-stream"]);
    assert.equal(await post(room, { type: "text", data: { n: 1 } }), 200);
    let seen = "";
    for await (const chunk of events) {
      seen += chunk;
      if (/^data: \{"type":"text".*"n":1/m.test(seen)) break;
    }
    assert.match(seen, /^event: system\ndata: \{"type":"system","data":\{"event":"welcome"/m);
  });

  test("a WebSocket by extended CONNECT", async () => {
    const room = newRoom();
    const socket = session.request(
      {
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":path": `/ws/${room}?token=${mint("ada")}`,
        "sec-websocket-version": "13",
      },
      { endStream: false },
    );
    const [headers] = await once(socket, "response");
    assert.equal(headers[":status"], 200);
    const state = { bytes: Buffer.alloc(0) };
    const seen = [];
    socket.write(masked(JSON.stringify({ type: "text", room, id: "m1", data: { content: "over h2" } })));
    for await (const chunk of socket) {
      state.bytes = Buffer.concat([state.bytes, chunk]);
      for (const { opcode, payload } of frames(state)) {
        assert.equal(opcode, 1);
        seen.push(JSON.parse(payload));
      }
      if (["ack", "text"].every((type) => seen.some((message) => message.type === type && message.id === "m1"))) break;
    }
    assert.equal(seen[0].data.event, "welcome");
    assert.equal(seen.find((message) => message.type === "text").data.content, "over h2");
  });

  test("a plain request to the socket's path says how it is opened", async () => {
    const request = session.request({ ":path": "/ws" });
    const [headers] = await once(request, "response");
    const body = await request.setEncoding("utf8").toArray();
    assert.equal(headers[":status"], 400);
    assert.match(body.join(""), /over HTTP\/2 by CONNECT \(RFC 8441\)/);
  });

  test("pages of the server's own host may ask, others may not", async () => {
    const status = async (origin) => {
      const request = session.request({ ":path": `/rooms/${newRoom()}/messages`, authorization: authorization(), origin });
      const [headers] = await once(request, "response");
      request.resume();
      return [headers[":status"], headers["access-control-allow-origin"]];
    };
    const own = `https://127.0.0.1:${server.port}`;
    assert.deepEqual(await status(own), [200, own]);
    assert.deepEqual(await status("https://evil.test"), [403, undefined]);
  });

  test("a socket's close ends its stream alone", async () => {
    const socket = session.request(
      { ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws?token=nonsense", "sec-websocket-version": "13" },
      { endStream: false },
    );
    const chunks = [];
    for await (const chunk of socket) chunks.push(chunk);
    const close = Buffer.concat(chunks);
    assert.equal(close[0], 0x88);
    assert.equal(close.readUInt16BE(2), 1008);
    assert.match(close.subarray(4).toString(), /^unauthorized: /);
    assert.equal(await post(newRoom(), { type: "text", data: {} }), 200);
  });
});
