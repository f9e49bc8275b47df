"""Judges a recorded run: did every reader get every message of a room once and in order, or was it told?

A history is a file of JSON lines in the order in which they were observed, by one recorder. Every line has `ev`,
`client` and `room`; positions are (`epoch`, `seq`).

    pub    {id}                       about to be sent, or sent again; `client` is the publisher
    ack    {id, epoch, seq}           the publisher was told its position
    join   {epoch, seq, from, since?} a reader joined: the head, where it goes on, and what it asked for, [epoch, seq]
    recv   {epoch, seq, prev?, id}    a reader got a logged message
    reset  {epoch, seq}               a reader was told to reload, and the head it goes on from
    end    {epoch, seq}               a reader stopped by itself, having been given time to reach this head

Run by itself: `python -m history.checker FILE…` prints what is wrong and exits with 1 if anything is. It never
talks to a server.
"""

import json
import sys
from collections import defaultdict


def check(events):
    """All violations in a history, as sentences; an empty list is a kept promise."""
    events = list(events)
    return [
        *one_position_one_message(events),
        *readers(events),
        *real_time_order(events),
        *publisher_order(events),
    ]


def one_position_one_message(events):
    """S1: (epoch, seq) names one message for everybody. S4: a message has one position in an epoch."""
    message_at, position_of = {}, {}
    for event in events:
        if event["ev"] not in ("ack", "recv"):
            continue
        place, id = (event["room"], event["epoch"], event["seq"]), event["id"]
        if message_at.setdefault(place, id) != id:
            yield f"{place} is {message_at[place]} and also {id}"
        seq = position_of.setdefault((event["room"], event["epoch"], id), event["seq"])
        if seq != event["seq"]:
            yield f"{id} stands twice in {place[:2]}: at {seq} and at {event['seq']}"


def readers(events):
    """S1 and S5, for each reader: gapless and once, or told by a reset; and at the end, everything acked."""
    acked = defaultdict(set)
    for event in events:
        if event["ev"] == "ack":
            acked[event["room"], event["epoch"]].add(event["seq"])
    states = {}
    for event in events:
        key = (event["client"], event["room"])
        if event["ev"] in ("join", "recv", "reset", "end"):
            yield from states.setdefault(key, Reader(*key)).observe(event, acked)


class Reader:
    """One reader of one room: the position it stands at, and what it has been given since its last reset."""

    def __init__(self, client, room):
        self.name = f"{client} in {room}"
        self.epoch, self.seq = None, None
        self.start, self.given = None, set()

    def observe(self, event, acked):
        return getattr(self, event["ev"])(event, acked)

    def join(self, event, _):
        since = event.get("since")
        if since and self.epoch is not None and tuple(since) != (self.epoch, self.seq):
            yield f"{self.name}: the recorder asked for {since} but stood at {self.epoch}.{self.seq}"
        if since and event.get("recovered"):
            if (event["epoch"], event["from"]) != tuple(since):
                yield f"{self.name}: recovered {since} but goes on from {event['epoch']}.{event['from']}"
        elif not since:
            self.go_on_from(event["epoch"], event["from"])
        # Neither: a reset must follow before the first message, and moves the reader.

    def reset(self, event, _):
        self.go_on_from(event["epoch"], event["seq"])
        return ()

    def recv(self, event, _):
        place = f"{event['epoch']}.{event['seq']}"
        before = event.get("prev", event["seq"] - 1)
        if event["epoch"] != self.epoch:
            yield f"{self.name}: got {place} while in epoch {self.epoch}, without a reset"
        elif event["seq"] in self.given:
            yield f"{self.name}: got {place} twice"
        elif before != self.seq:
            yield f"{self.name}: got {place} (after {before}) while standing at {self.seq}, without a reset"
        self.epoch, self.seq = event["epoch"], event["seq"]
        self.given.add(event["seq"])

    def end(self, event, acked):
        if (self.epoch, self.seq) != (event["epoch"], event["seq"]):
            yield f"{self.name}: ended at {self.epoch}.{self.seq}, the head was {event['epoch']}.{event['seq']}"
        room = event["room"]
        expected = {seq for seq in acked[room, self.epoch] if seq > self.start}
        if lost := sorted(expected - self.given):
            yield f"{self.name}: never got the acked {self.epoch}.{lost}"

    def go_on_from(self, epoch, seq):
        self.epoch, self.seq, self.start, self.given = epoch, seq, seq, set()


def real_time_order(events):
    """S2: ack(a) before publish(b) means seq(a) < seq(b), within an epoch of a room."""
    highest_acked, floor, seen = {}, {}, set()
    for event in events:
        room, id = event["room"], event.get("id")
        if event["ev"] == "pub" and (room, id) not in seen:
            seen.add((room, id))
            floor[room, id] = {epoch: seq for (of, epoch), seq in highest_acked.items() if of == room}
        elif event["ev"] == "ack":
            log, seq = (room, event["epoch"]), event["seq"]
            if seq <= floor.get((room, id), {}).get(event["epoch"], 0):
                yield f"{id} at {log[1]}.{seq} in {room} was sent after {floor[room, id][log[1]]} had been acked"
            highest_acked[log] = max(seq, highest_acked.get(log, 0))


def publisher_order(events):
    """S2: what one publisher sends to a room is sequenced in the order in which it was first sent."""
    order, acked = {}, defaultdict(dict)
    for event in events:
        if event["ev"] == "pub":
            order.setdefault((event["client"], event["room"], event["id"]), len(order))
        elif event["ev"] == "ack":
            sent = order.get((event["client"], event["room"], event["id"]))
            if sent is None:
                yield f"{event['client']} got an ack for {event['id']}, which it never sent"
                continue
            acked[event["client"], event["room"], event["epoch"]][sent] = event["seq"]
    for (client, room, epoch), seqs in acked.items():
        in_order = [seqs[sent] for sent in sorted(seqs)]
        if in_order != sorted(in_order):
            yield f"{client} in {room}: sent in order, but stands in {epoch} at {in_order}"


def main(files):
    faults = 0
    for file in files:
        with open(file, encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines]
        found = check(events)
        faults += len(found)
        for sentence in found:
            print(f"{file}: {sentence}")
        print(f"{file}: {len(events)} events, {len(found)} violations")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
