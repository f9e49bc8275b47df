// A TCP proxy between a client and the server that misbehaves as networks do. Holds no assertion.
import { createServer, connect } from "node:net";
import { once } from "node:events";

export class Proxy {
  /** In front of a server that may be killed and started again. */
  static async before(server) {
    const proxy = new Proxy();
    Object.assign(proxy, { server, pairs: new Set(), refused: 0, isDown: false, isFrozen: false, swallows: false });
    proxy.turned = 0;
    proxy.clear();
    proxy.front = createServer((near) => proxy.accept(near));
    proxy.front.listen(0, "127.0.0.1");
    await once(proxy.front, "listening");
    proxy.url = `http://127.0.0.1:${proxy.front.address().port}`;
    return proxy;
  }

  accept(near) {
    if (this.isDown) {
      this.refused++;
      this.told?.();
      return near.destroy();
    }
    const far = connect(this.server.port, "127.0.0.1");
    const pair = { near, far };
    this.pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      this.pairs.delete(pair);
    };
    for (const end_ of ["close", "error"]) for (const socket of [near, far]) socket.on(end_, end);
    near.on("data", (bytes) => this.isFrozen || far.write(this.upward(bytes)));
    far.on("data", (bytes) => {
      // The answer to a publish names its place; what else comes is passed on.
      if (this.swallows && bytes.includes('"delivered"')) {
        this.swallows = false;
        return this.cut();
      }
      if (!this.isFrozen) near.write(this.downward(bytes));
    });
  }

  /** All connections, at once. */
  cut() {
    for (const { near, far } of [...this.pairs]) {
      near.destroy();
      far.destroy();
    }
  }

  /** The next ack is lost, and every connection with it. */
  swallowAck() {
    this.swallows = true;
  }

  /** Connections that exist stay and carry nothing any more; new ones work. */
  freeze() {
    this.isFrozen = true;
    for (const pair of this.pairs) {
      for (const socket of [pair.near, pair.far]) socket.removeAllListeners("data").resume();
    }
    this.isFrozen = false;
  }

  /** Nobody gets through, until `up`. */
  down() {
    this.isDown = true;
    this.cut();
  }

  up() {
    this.isDown = false;
  }

  /** Waits until that many were refused. */
  async refuses(count) {
    const until = this.refused + count;
    while (this.refused < until) await new Promise((then) => (this.told = then));
  }

  /** Waits until somebody is refused who was refused so many milliseconds ago as well, and meanwhile. */
  async refusesFor(ms) {
    await this.refuses(1);
    const since = performance.now();
    while (performance.now() - since < ms) await this.refuses(1);
  }

  /** Turns a bit of about one byte in `every`, both ways, the same ones for the same numbers; until `clear`. */
  spoil(every, random) {
    const distance = () => 1 + Math.floor(random() * 2 * every);
    const noise = (next = distance()) => (bytes) => {
      for (; next < bytes.length; next += distance()) {
        bytes[next] ^= 1 << Math.floor(random() * 8);
        this.turned++;
      }
      next -= bytes.length;
      return bytes;
    };
    Object.assign(this, { upward: noise(), downward: noise() });
  }

  clear() {
    this.upward = this.downward = (bytes) => bytes;
  }

  async stop() {
    this.down();
    this.front.close();
    await once(this.front, "close");
  }
}
