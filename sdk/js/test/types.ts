// What compiles, and what must not: checked by `tsc -p test`, never run.
import { connect, type Ack, type Message, RoomcastError, type Room } from "roomcast";
import { RoomcastProvider, useConnection, usePresence, useRoom, useTyping } from "roomcast/react";
import { connect as connectBySocket } from "roomcast/ws";

/** An interface has no index signature, and must do all the same. */
interface Chat {
  text: { content: string };
  "poll.vote": { choice: 1 | 2 };
}
interface Mood {
  name: string;
}

const rt = connect("https://example.com", { token: async (why) => (why === "expired" ? null : "t") });
connect();
connect(new URL("https://example.com"), { token: "t", backoff: { base: 1, max: 2, retries: 3 }, timeout: 1, queue: 1 });
connectBySocket("ws://localhost:8000", { websocket: WebSocket });
// @ts-expect-error: no such option
connect("", { tokn: "t" });
// @ts-expect-error: a token is text
connect("", { token: () => 7 });

const room = rt.room<Chat, Mood>("general", { last: 20, state: { name: "Ada" } });
const ack: Promise<Ack> = room.send("text", { content: "Hello" });
const written: Promise<void> = room.send("poll.vote", { choice: 1 }, { volatile: true });
const signal = AbortSignal.timeout(1000);
room.send("text", { content: "Hello" }, { signal, id: "one" });
// @ts-expect-error: no such message
room.send("txt", { content: "Hello" });
// @ts-expect-error: no such field
room.send("text", { contents: "Hello" });
// @ts-expect-error: the field has another type
room.send("poll.vote", { choice: 3 });
// @ts-expect-error: what is volatile has no place
room.send("text", { content: "" }, { volatile: true }).then(({ seq }) => seq);

room.on("text", ({ type, data, seq, time, timestamp, id, room: name, epoch }) => {
  const content: string = data.content;
  const author: string | undefined = data.author;
  const kind: "text" = type;
  void [content, author, kind, seq?.toFixed(), time.getTime(), timestamp + 1, id?.length, name.length, epoch?.length];
});
room.on("*", (message) => {
  if (message.type === "poll.vote") message.data.choice satisfies 1 | 2;
  // @ts-expect-error: not of every type
  message.data.content;
});
room.on("gap", ({ reason, epoch, seq }) => `${reason} ${epoch} ${seq.toFixed()}`);
room.on("state", (state, { recovered, error }) => state === "live" && recovered && error?.code);
room.on("typing", ({ data }) => data.typing && data.author.length);
// @ts-expect-error: no such message
room.on("txt", () => {});

room.presence.set({ name: "Ada" });
// @ts-expect-error: no such field
room.presence.set({ nick: "Ada" });
room.presence.on("change", (members) => members.map(({ user, state, connections }) => `${user} ${state.name} ${connections}`));
room.presence.members[0]?.state.name satisfies string | undefined;

async function reads(newest: Message<Chat>) {
  const { messages, complete } = await room.history({ before: newest, limit: 10 });
  await room.history({ since: room.position ?? "e.1" });
  messages[0]?.data satisfies object | undefined;
  complete satisfies boolean;
  for await (const message of room) if (message.type === "text") return message.data.content;
  // @ts-expect-error: read only
  room.position = undefined;
}

// Without types everything may be said.
const loose: Room = rt.room("anything");
loose.send("note", { any: ["thing"] });
loose.on("note", ({ data }) => data.any);
rt.on("state", (state, { retryIn, error }) => state === "waiting" && retryIn!.toFixed() + error!.message);
// @ts-expect-error: no such state
rt.state === "open";
// @ts-expect-error: no such event
rt.on("open", () => {});
rt.on("error", (error) => error instanceof RoomcastError && error.retryable && error.code === "rate_limited");

void [ack, written, reads];

function Hooks() {
  const { room, messages, state } = useRoom<Chat, Mood>("general", { keep: 10, last: 10 });
  room?.send("text", { content: "Hello" });
  // @ts-expect-error: no such message
  room?.send("txt", { content: "Hello" });
  const [authors, typing] = useTyping(room);
  typing();
  const names: string[] = usePresence(room).map((member) => member.state.name);
  return [messages.length, state === "live", authors.length, names, useConnection() === "online"];
}
void [Hooks, RoomcastProvider({ client: rt, children: null })];
