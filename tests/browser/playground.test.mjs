/** The playground of `roomcast dev`, driven in Chromium as a user drives it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bothLive, browser, frames, newRoom, openPair, openPlayground, post, server, side, stage } from "./support.mjs";

stage();

test("a message arrives on the other side, and its author sees that it was delivered", async (t) => {
  const { ada, grace } = await openPair(t);
  await ada.says("Hello, Grace");
  await grace.message("Hello, Grace").getByText("Ada").waitFor();
  await ada.message("Hello, Grace").getByText("Delivered, number 1").waitFor();
  await grace.says("Hello, Ada");
  await ada.message("Hello, Ada").waitFor();
  assert.deepEqual(await ada.texts(), ["Hello, Grace", "Hello, Ada"]);
  assert.deepEqual(await grace.texts(), ["Hello, Grace", "Hello, Ada"]);
});

test("typing shows on the other side only, and ends with the message and with leaving the field", async (t) => {
  const { page, ada, grace } = await openPair(t);
  const stopped = frames(page).filter({ hasText: /Ada sent typing\s*stopped/ });
  const dots = grace.panel.getByText("Ada is typing");
  await ada.composer.pressSequentially("He");
  await dots.waitFor();
  assert.equal(await ada.panel.getByText("is typing").count(), 0);
  await ada.composer.press("Enter");
  await grace.message("He").waitFor();
  await stopped.waitFor();
  await dots.waitFor({ state: "detached" });
  await ada.composer.pressSequentially("again");
  await dots.waitFor();
  await ada.composer.blur();
  await stopped.nth(1).waitFor();
  await dots.waitFor({ state: "detached" });
});

test("a third tab is seen to come and to go", async (t) => {
  const { page, ada, grace } = await openPair(t);
  const [tab] = await Promise.all([page.waitForEvent("popup"), page.getByRole("link", { name: "Open another tab" }).click()]);
  const lin = side(tab, "Lin");
  await lin.live();
  await lin.members.nth(2).waitFor();
  assert.equal(await tab.getByRole("log").count(), 1);
  for (const one of [ada, grace]) await one.members.filter({ hasText: "Lin" }).waitFor();
  await tab.close();
  for (const one of [ada, grace]) await one.members.filter({ hasText: "Lin" }).waitFor({ state: "detached" });
  await ada.note("Lin left").waitFor();
  assert.deepEqual((await ada.members.allInnerTexts()).length, 2);
});

test("a tab that begins with history sees who comes after it, and who types", async (t) => {
  const { room, ada } = await openPair(t);
  for (const text of ["one", "two"]) await ada.says(text);
  await ada.message("two").getByText("Delivered, number 2").waitFor();
  const lin = side(await openPlayground(t, browser, `${server.url}/?user=Lin&room=${room}`), "Lin");
  await lin.message("two").waitFor();
  await openPlayground(t, browser, `${server.url}/?user=Barbara&room=${room}`);
  await lin.members.filter({ hasText: "Barbara" }).waitFor();
  await ada.composer.pressSequentially("three");
  await lin.panel.getByText("Ada is typing").waitFor();
});

test("a message posted over HTTP appears on both sides", async (t) => {
  const { room, ada, grace } = await openPair(t);
  await post(server.url, room, { type: "text", data: { content: "from a shell" } });
  await post(server.url, room, { type: "build.done", data: { ok: true } });
  for (const one of [ada, grace]) {
    await one.message("from a shell").getByText("curl").waitFor();
    await one.message('build.done {"ok":true}').waitFor();
  }
});

test("a cut cable heals: what was missed arrives in order and once, what was written goes out", async (t) => {
  const { ada, grace } = await openPair(t);
  await ada.says("before");
  await grace.message("before").waitFor();
  await grace.press("Cut the cable");
  await grace.panel.getByRole("status").getByText("cable cut").waitFor();
  for (const text of ["one", "two", "three"]) await ada.says(text);
  await ada.message("three").getByText("Delivered, number 4").waitFor();
  await grace.says("written offline");
  await grace.message("written offline").getByText("waiting").waitFor();
  assert.equal(await grace.message("one").count(), 0);

  await grace.press("Plug it back in");
  await grace.note("3 recovered, seq 2-4").waitFor();
  await grace.message("written offline").getByText("Delivered, number 5").waitFor();
  await ada.message("written offline").waitFor();
  const everything = ["before", "one", "two", "three", "written offline"];
  assert.deepEqual(await grace.texts(), everything);
  assert.deepEqual(await ada.texts(), everything);
  assert.equal(await ada.panel.getByText("Grace left").count(), 0);
});

test("a connection that the server ends comes back by itself and misses nothing", async (t) => {
  const room = newRoom();
  const page = await openPlayground(t, browser, "about:blank");
  const sockets = [];
  await page.routeWebSocket(/\/ws\?user=Grace/, (socket) => {
    socket.connectToServer();
    sockets.push(socket);
  });
  await page.goto(`${server.url}/?room=${room}`);
  const [ada, grace] = await bothLive(page);
  await sockets[0].close({ code: 1012 });
  await ada.says("while you were away");
  await grace.message("while you were away").waitFor();
  await grace.live();
  assert.equal(sockets.length, 2);
  assert.deepEqual(await grace.texts(), ["while you were away"]);
});

test("a reset is told with its reason, and the room is loaded again", async (t) => {
  const room = newRoom();
  const page = await openPlayground(t, browser, "about:blank");
  await page.routeWebSocket(/\/ws\?user=Grace/, (socket) => {
    const upstream = socket.connectToServer();
    socket.onMessage((frame) => upstream.send(frame.replace(/("since":)"[^.]*/, '$1"elsewhere')));
  });
  await page.goto(`${server.url}/?room=${room}`);
  const [ada, grace] = await bothLive(page);
  await ada.says("kept");
  await grace.message("kept").waitFor();
  await grace.press("Cut the cable");
  await ada.says("missed");
  await ada.message("missed").getByText("Delivered, number 2").waitFor();
  await grace.press("Plug it back in");
  await grace.panel.getByText("reset: epoch").waitFor();
  await grace.message("missed").waitFor();
  await ada.says("after");
  await grace.message("after").waitFor();
  assert.deepEqual(await grace.texts(), ["kept", "missed", "after"]);
});

test("a message that gets lost on the way is noticed and fetched", async (t) => {
  const room = newRoom();
  const page = await openPlayground(t, browser, "about:blank");
  const lost = [/"content":"lost"/];
  await page.routeWebSocket(/\/ws\?user=Grace/, (socket) => {
    socket.connectToServer().onMessage((frame) => {
      if (lost[0]?.test(frame)) lost.pop();
      else socket.send(frame);
    });
  });
  await page.goto(`${server.url}/?room=${room}`);
  const [ada, grace] = await bothLive(page);
  for (const text of ["lost", "found"]) await ada.says(text);
  await grace.message("found").waitFor();
  assert.deepEqual(await grace.texts(), ["lost", "found"]);
  assert.deepEqual(lost, []);
});

test("a reload takes the session back, and nobody is seen to leave", async (t) => {
  const { page, room } = await openPair(t);
  const other = await openPlayground(t, browser, `${server.url}/?user=Lin&room=${room}`);
  const lin = side(other, "Lin");
  await lin.members.nth(2).waitFor();
  await lin.says("still here?");
  await page.reload();
  const [ada] = await bothLive(page);
  await ada.message("still here?").waitFor();
  await ada.says("yes");
  await lin.message("yes").waitFor();
  assert.equal(await frames(other).filter({ hasText: /received presence.*(Ada|Grace)/ }).count(), 0);
});

test("a session opened twice is told to the older one, which can go on with a new session", async (t) => {
  const { page, ada } = await openPair(t);
  const twin = await page.context().newPage();
  const stored = await page.evaluate(() => ({ ...sessionStorage }));
  await twin.addInitScript((entries) => Object.assign(sessionStorage, entries), stored);
  await twin.goto(page.url());
  await bothLive(twin);
  await ada.panel.getByText("This session was opened in another tab").waitFor();
  await ada.press("Connect again");
  await ada.live();
  await side(twin, "Ada").live();
});

test("a refused message says why, and can be edited and sent again", async (t) => {
  const { ada, grace } = await openPair(t);
  await ada.says("x".repeat(70_000));
  const refused = ada.panel.locator(".message").filter({ hasText: "too_large" });
  await refused.getByText(/65536.* Shorten it/).waitFor();
  await refused.getByRole("button", { name: "Edit and send again" }).click();
  assert.equal((await ada.composer.inputValue()).length, 70_000);
  await ada.says("x");
  await grace.message("x").waitFor();
  assert.deepEqual(await ada.texts(), ["x"]);
});

test("hostile text is shown as text", async (t) => {
  const { page, room, ada, grace } = await openPair(t);
  const texts = [
    '<img src=x onerror="window.hacked = true">',
    "<script>window.hacked = true</script>",
    "\u202eright to left\u202c שלום",
    "👩🏽‍💻🦋".repeat(20),
    "w".repeat(20_000),
    "line\n".repeat(300),
  ];
  for (const content of texts) await post(server.url, room, { type: "text", data: { content } });
  await post(server.url, room, { type: "odd.one", data: { content: { html: "<b>no</b>" }, "<i>key</i>": 1 } });
  await grace.panel.getByText("odd.one").waitFor();
  assert.deepEqual((await grace.texts()).slice(0, texts.length), texts);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("main :is(img, script, b, i:not(.dots i))").count(), 0);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "long words don't widen the page");
  await ada.panel.getByRole("button", { name: "Show all 20,000 characters" }).click();
});

test("a name and a room can be changed", async (t) => {
  const { page, ada, grace } = await openPair(t);
  await ada.name.fill("Barbara");
  await ada.name.press("Enter");
  const barbara = side(page, "Barbara");
  await barbara.live();
  await grace.members.filter({ hasText: "Barbara" }).waitFor();
  await grace.members.filter({ hasText: "Ada" }).waitFor({ state: "detached" });
  await grace.says("old room");
  await barbara.message("old room").waitFor();

  const room = page.getByRole("textbox", { name: "Room" });
  await room.fill("not a room!");
  await room.press("Enter");
  await page.getByRole("alert").getByText("A room's name is").waitFor();
  const next = newRoom();
  await room.fill(next);
  await room.press("Enter");
  await bothLive(page, "Barbara", "Grace");
  await barbara.says("new room");
  await grace.message("new room").getByText("Number 1").waitFor();
  assert.deepEqual(await grace.texts(), ["new room"]);
  assert.equal(new URL(page.url()).searchParams.get("room"), next);
});

test("the wire shows both directions, opens a frame, and filters", async (t) => {
  const { page, ada, grace } = await openPair(t);
  await ada.says("over the wire");
  await grace.message("over the wire").waitFor();
  const shown = frames(page).and(page.locator(":visible"));
  await shown.filter({ hasText: "Ada sent text" }).waitFor();
  await shown.filter({ hasText: "Grace received text" }).waitFor();
  await shown.filter({ hasText: "delivered at 1" }).waitFor();

  await page.getByLabel("Whose frames").selectOption("Grace");
  await page.getByLabel("Which type").selectOption("text");
  await frames(page).filter({ hasText: "Ada sent text" }).waitFor({ state: "hidden" });
  assert.equal(await shown.count(), 1);
  await shown.locator("summary").click();
  await shown.getByText('"content": "over the wire"').waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByText("No frames to show").waitFor();
});

test("everything can be done from the keyboard", async (t) => {
  const { page, ada, grace } = await openPair(t);
  const keys = page.keyboard;
  await keys.press("Tab");
  await keys.press("Enter"); // "Skip to the conversation"
  await tabTo(page, ada.composer);
  await keys.type("typed");
  await keys.press("Shift+Enter");
  await keys.type("by hand");
  await keys.press("Enter");
  await grace.message("typed\nby hand").waitFor();

  await tabTo(page, grace.panel.getByRole("button", { name: "Cut the cable" }));
  await keys.press("Space");
  await grace.note("cable cut").waitFor();
  await keys.press("Enter"); // the same button, now "Plug it back in"
  await grace.note("resumed, nothing was missed").waitFor();

  await tabTo(page, frames(page).locator("summary").first());
  await keys.press("Enter");
  await frames(page).locator("pre").first().waitFor();
  await tabTo(page, page.getByRole("tab", { name: "SDK" }));
  for (const tab of ["JS", "curl", "SDK"]) {
    await keys.press("ArrowRight");
    await page.getByRole("tabpanel", { name: tab }).waitFor();
  }
});

/** Presses Tab until this element has the focus, and checks that the focus can be seen all the way. */
async function tabTo(page, target) {
  for (let presses = 0; presses < 200; presses += 1) {
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "the focused element has an outline");
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`Tab never reaches ${target}`);
}

test("it follows the system into the dark, and the button overrides it for good", async (t) => {
  const { page } = await openPair(t, { colorScheme: "dark" });
  assert.ok((await lightness(page)) < 60);
  const button = page.getByRole("button", { name: "Dark theme", pressed: true });
  await button.click();
  await page.getByRole("button", { name: "Dark theme", pressed: false }).waitFor();
  assert.ok((await lightness(page)) > 200);
  await page.reload();
  await bothLive(page);
  assert.ok((await lightness(page)) > 200);
});

/** Of the page's background, 0 to 255. */
async function lightness(page) {
  const colour = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  return Math.max(...colour.match(/\d+/g).map(Number).slice(0, 3));
}

test("however much is on the wire, the page is no longer than its window", async (t) => {
  const { page, room, grace } = await openPair(t);
  const texts = Array.from({ length: 60 }, (_, index) => `line ${index}`);
  for (const content of texts) await post(server.url, room, { type: "text", data: { content } });
  await grace.message(texts.at(-1)).waitFor();
  await frames(page).filter({ hasText: texts.at(-1) }).nth(1).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollHeight), 900);
});

test("it fits a phone", async (t) => {
  const { page, ada, grace } = await openPair(t, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  await ada.composer.tap();
  await ada.composer.fill("from a phone");
  await ada.panel.getByRole("button", { name: "Send" }).tap();
  await grace.message("from a phone").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
});

test("the page and all its parts come from this server alone, under a strict policy", async (t) => {
  const page = await openPlayground(t, browser, "about:blank");
  const urls = [];
  page.on("request", (request) => urls.push(request.url()));
  const answer = await page.goto(`${server.url}/?room=${newRoom()}`);
  await bothLive(page);
  assert.match(answer.headers()["content-security-policy"] ?? "", /default-src 'self'/);
  assert.ok(urls.includes(`${server.url}/sdk.js`), "the page rides on the SDK");
  assert.deepEqual(urls.filter((url) => !url.startsWith(server.url)), []);
});

test("what the README says to try in the console works, whichever name of this machine the page was opened by", async (t) => {
  const { page, room } = await openPair(t);
  const other = server.url.replace("127.0.0.1", "localhost");
  const heard = page.evaluate(
    (address) => new Promise((done) => (new EventSource(address).onmessage = ({ data }) => done(JSON.parse(data).data.content))),
    `${other}/events/${room}?last=1`,
  );
  await post(server.url, room, { type: "text", data: { content: "Hello" } });
  assert.equal(await heard, "Hello");
});
