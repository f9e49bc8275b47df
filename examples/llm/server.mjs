/**
 * A model writes its answer into a room of the answer's own. Whoever asks gets the room's name and reads along: the model
 * knows nothing of pages, so none of them can break it off by a reload, and none can miss or double a word.
 */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";

const ROOMCAST = process.env.ROOMCAST_URL;
const TOKEN_MS = 40;

const server = createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(400).end(error.message));
});

async function answer(request, response) {
  if (`${request.method} ${request.url}` !== "POST /api/ask") return response.writeHead(404).end();
  const { question } = await json(request);
  const room = `answer:${randomUUID()}`;
  await publish(room, "question", { text: question });
  write(room, question);
  response.end(JSON.stringify({ room }));
}

async function write(room, question) {
  try {
    for await (const text of model(question)) await publish(room, "token", { text });
    await publish(room, "end", {});
  } catch (error) {
    console.error(`the answer in ${room} has broken off: ${error.message}`);
  }
}

/** In order and once: what got no answer, or is refused for now, goes again under the same id. */
async function publish(room, type, data) {
  const body = JSON.stringify({ type, data, id: randomUUID() });
  for (;;) {
    try {
      const answer = await fetch(`${ROOMCAST}/rooms/${room}/messages`, { method: "POST", headers: { "content-type": "application/json" }, body });
      if (answer.ok) return;
      const problem = await answer.json();
      if (!problem.retryable) throw new Error(problem.detail);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what `fetch` throws if there was no answer
    }
    await wait(1000);
  }
}

/** Put your model's stream here. This one has a single thought. */
async function* model(question) {
  const thought = `You asked: “${question}”

I am no real model, but my words come as a model's would, a few letters at a time. Each of them is a message in a room, and the room is a log.

Reload this page while I write. It asks the room for everything since the beginning, and goes on reading where I am. Nothing is missing and nothing is there twice. Send the link to somebody else: they read along, word for word.

And if nobody is here at all, I still finish my sentence.`;
  for (const token of thought.match(/\s*\S{1,5}/g)) {
    await wait(TOKEN_MS);
    yield token;
  }
}

server.listen(process.env.PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
