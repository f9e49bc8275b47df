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

/** A link that lets into each room at once, and then says this. */
function prompt(it, say) {
  const { sent } = it.link();
  sent.push = (request) => {
    const length = Array.prototype.push.call(sent, request);
    if (request.type === "join") queueMicrotask(() => (it.link().joined(request.room), say(request.room)));
    return length;
  };
}

test("what comes before React has looked at the room again is shown", async (t) => {
  globalThis.IS_REACT_ACT_ENVIRONMENT = false;
  t.after(() => (globalThis.IS_REACT_ACT_ENVIRONMENT = true));
  const it = bench();
  it.client.room("elsewhere");
  await settled();
  await it.link().welcome();
  prompt(it, (room) => [6, 7].forEach((seq) => it.link().message(room, seq)));
  const view = create(app(it.client, "r"));
  t.after(() => view.unmount());
  while (!view.toJSON()?.startsWith("online|live")) await settled();
  await settled();
  equal(view.toJSON(), "online|live|6,7||");
});

test("a component that comes later shows at once what the others do", async () => {
  const it = bench();
  const { after, show } = await rendered(it, "r");
  await after(() => it.link().welcome());
  await after(() => it.link().joined("r", { members: [{ user: "ada" }], count: 1 }));
  await after(() => [6, 7, 8].forEach((seq) => it.link().message("r", seq)));
  deepEqual(await show("r", "r"), Array(2).fill("online|live|7,8|ada|"));
  deepEqual(await after(() => it.link().message("r", 9)), Array(2).fill("online|live|8,9|ada|"));
});

test("nothing of one room is shown by the name of another, nor of another client", async () => {
  const it = bench();
  const other = bench();
  const shown = [];
  function Named({ name }) {
    const { room, state, messages } = useRoom(name);
    shown.push([name, room?.name, state, messages.length].join());
    return null;
  }
  const named = (client, name) => h(RoomcastProvider, { client }, h(Named, { name }));
  let view;
  await act(() => (view = create(named(it.client, "r"))));
  await act(() => it.link().welcome());
  await act(async () => (it.link().joined("r"), it.link().message("r", 6), await settled()));
  await act(() => view.update(named(it.client, "s")));
  await act(() => other.client.room("s"));
  await act(() => view.update(named(other.client, "s")));
  deepEqual(shown.filter((each) => /^s.*(r|live|left|[1-9])$|^s,r/.test(each)), []);
  equal(shown[shown.lastIndexOf("s,s,joining,0") - 1], "s,,joining,0", "the other client's room comes after none");
  await act(() => view.unmount());
});

test("messages that aren't kept push none out that are", async () => {
  const it = bench();
  const { after } = await rendered(it, "r");
  await after(() => it.link().welcome());
  await after(() => it.link().joined("r"));
  await after(() => [6, 7, undefined, undefined].forEach((seq) => it.link().message("r", seq)));
  equal(await after(() => {}), "online|live|6,7||");
});

test("a room that tells its count alone is shown with it", async () => {
  const it = bench();
  let shown;
  function Count() {
    const { room } = useRoom("r");
    shown = [usePresence(room).length, room?.presence.count];
    return null;
  }
  await act(() => void create(h(RoomcastProvider, { client: it.client }, h(Count))));
  await act(() => it.link().welcome());
  await act(async () => (it.link().joined("r", { count: 500 }), await settled()));
  await act(async () => (it.link().say({ type: "presence", room: "r", data: { event: "count", v: 2, count: 501 } }), await settled()));
  deepEqual(shown, [0, 501]);
});

test("who wants no messages gathers none", async () => {
  const it = bench();
  let length;
  const None = () => ((length = useRoom("r", { keep: 0 }).messages.length), null);
  await act(() => void create(h(RoomcastProvider, { client: it.client }, h(None))));
  await act(() => it.link().welcome());
  await act(async () => (it.link().joined("r"), [6, 7].forEach((seq) => it.link().message("r", seq)), await settled()));
  equal(length, 0);
});

test("what a server has rendered is what a page begins with, though its client is online by then", async () => {
  const it = bench();
  it.client.room("elsewhere");
  await settled();
  await it.link().welcome();
  // A server's view of a store is what hydration begins with.
  equal(renderToString(app(it.client, "r")), "idle|joining|||");
});

test("a server renders it without a connection", () => {
  const it = bench();
  equal(renderToString(app(it.client, "r")), "idle|joining|||");
  equal(it.client.state, "idle");
});

test("without a provider it says what is missing", () => {
  throws(() => renderToString(h(Chat, { name: "r" })), /RoomcastProvider/);
});
