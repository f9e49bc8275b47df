// What clients did and saw, in the form that `roomcast verify` judges (docs/history.md).
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class History {
  events = [];

  note(ev, client, room, fields) {
    this.events.push({ ev, client, room: room.name, ...fields });
  }

  /** Records what this reader is told from now on, and counts its messages. */
  follow(client, room) {
    let place;
    let isReset = false;
    const reader = { count: 0 };
    room.on("state", (state, { recovered }) => {
      if (state !== "live" || isReset) return (isReset &&= state !== "live");
      const since = place && { since: place };
      place = room.position;
      this.note("join", client, room, { ...place, from: place.seq, recovered, ...since });
    });
    room.on("gap", ({ epoch, seq }) => {
      isReset = room.state !== "live";
      place = { epoch, seq };
      this.note("reset", client, room, place);
    });
    room.on("*", ({ id, seq, epoch, prev, data }) => {
      if (seq === undefined) return;
      place = { epoch, seq };
      reader.count++;
      this.note("recv", client, room, { id, epoch, seq, prev, content: data.content });
    });
    return reader;
  }

  /** Sends, and records that and the ack. */
  async send(client, room, id, content) {
    this.note("pub", client, room, { id, content });
    const { epoch, seq } = await room.send("text", { content }, { id });
    this.note("ack", client, room, { id, epoch, seq });
    return { epoch, seq };
  }

  /** Throws what `roomcast verify` says, if anything is wrong. */
  judge() {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
    const file = join(folder, "history.jsonl");
    writeFileSync(file, this.events.map((event) => JSON.stringify(event)).join("\n"));
    const { ROOMCAST_BIN, ...env } = process.env;
    try {
      return execFileSync(ROOMCAST_BIN, ["verify", file], { env, encoding: "utf8" });
    } catch (error) {
      throw new Error(`${error.stdout}${error.stderr}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
