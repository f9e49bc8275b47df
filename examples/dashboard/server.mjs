/**
 * The numbers of a shop that doesn't exist, twice a second. Who only publishes needs no library: a number is one POST.
 * The room keeps them, so that a page which opens now begins with the last minute.
 */
const MESSAGES = `${process.env.ROOMCAST_URL}/rooms/shop/messages`;
const EVERY_MS = 500;

/** What a number swings around, and how far it may go in one step. */
const usual = { visitors: [420, 18], orders: [34, 3], response: [82, 6], errors: [1.2, 0.3] };
const numbers = Object.fromEntries(Object.entries(usual).map(([name, [middle]]) => [name, middle]));

function swing() {
  for (const [name, [middle, step]] of Object.entries(usual)) {
    const pull = (middle - numbers[name]) / 20;
    numbers[name] = Math.max(0, numbers[name] + pull + (Math.random() * 2 - 1) * step);
  }
}

async function publish() {
  swing();
  const body = JSON.stringify({ type: "numbers", data: numbers });
  const answer = await fetch(MESSAGES, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!answer.ok) console.error(`not published: ${await answer.text()}`);
}

// A number that got lost is made up for by the next one.
setInterval(() => publish().catch((error) => console.error(`not published: ${error.message}`)), EVERY_MS);
console.log(`publishing to ${MESSAGES}`);
