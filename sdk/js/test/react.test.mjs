// The hooks, on a client whose links are fakes.
import assert from "node:assert/strict";
import { test } from "node:test";

import { StrictMode, createElement as h } from "react";
import { renderToString } from "react-dom/server";
import { act, create } from "react-test-renderer";

import { RoomcastProvider, useConnection, usePresence, useRoom, useTyping } from "roomcast/react";

import { bench, settled } from "./bench.mjs";

const { deepEqual, equal, throws } = assert;

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

function Chat({ name }) {
  const { room, state, messages } = useRoom(name, { keep: 2 });
  const members = usePresence(room);
  const [typists] = useTyping(room);
  return [useConnection(), state, messages.map(({ seq }) => seq), members.map(({ user }) => user), typists].join("|");
}

const app = (client, ...names) => h(StrictMode, null, h(RoomcastProvider, { client }, names.map((name, n) => h(Chat, { name, key: n }))));

/** Rendered, and what it shows after `change`. */
async function rendered(it, ...names) {
  let view;
  const after = async (change) => {
    await act(async () => {
      await change();
      await settled();
    });
    return view.toJSON();
  };
  await after(() => (view = create(app(it.client, ...names))));
  return { after, show: (...names) => after(() => view.update(app(it.client, ...names))), unmount: () => after(() => view.unmount()) };
}

test("StrictMode opens one connection and one join, and what comes is shown", async () => {
  const it = bench();
  const { after } = await rendered(it, "r");
  equal(it.links.length, 1);
  equal(await after(() => it.link().welcome()), "online|joining|||");
  deepEqual(it.link().ids("join").length, 1);
  equal(await after(() => it.link().joined("r", { members: [{ user: "ada" }], count: 1 })), "online|live||ada|");
  equal(await after(() => [6, 7, 8].forEach((seq) => it.link().message("r", seq))), "online|live|7,8|ada|");
  equal(await after(() => it.link().say({ type: "typing", room: "r", data: { author: "bob", typing: true } })), "online|live|7,8|ada|bob");
  equal(await after(() => it.link().say({ type: "typing", room: "r", data: { author: "bob", typing: false } })), "online|live|7,8|ada|");
  equal(await after(() => it.link().system("reset", { reason: "too_old", epoch: "e", seq: 20 }, "r")), "online|live||ada|");
  equal(await after(() => it.link().break()), "waiting|joining||ada|");
});

test("a room is left when the last component that shows it is gone", async () => {
  const it = bench();
  const { after, show, unmount } = await rendered(it, "r", "r");
  await after(() => it.link().welcome());
  equal(it.link().ids("join").length, 1);
  await show("r");
  equal(it.link().ids("leave").length, 0);
  await show("s");
  deepEqual([it.link().last("leave").room, it.link().last("join").room], ["r", "s"]);
  await unmount();
  deepEqual(it.link().sent.filter(({ type }) => type === "leave").map(({ room }) => room), ["r", "s"]);
});

test("a server renders it without a connection", () => {
  const it = bench();
  equal(renderToString(app(it.client, "r")), "idle|joining|||");
  equal(it.client.state, "idle");
});

test("without a provider it says what is missing", () => {
  throws(() => renderToString(h(Chat, { name: "r" })), /RoomcastProvider/);
});
