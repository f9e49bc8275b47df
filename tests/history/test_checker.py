"""The checker finds what it is for: each broken history is one change to a good one."""

import copy

import pytest

from history.checker import check

GOOD = [
    {"ev": "join", "client": "r", "room": "x", "epoch": "e", "seq": 0, "from": 0},
    {"ev": "pub", "client": "p", "room": "x", "id": "a"},
    {"ev": "pub", "client": "q", "room": "x", "id": "b"},
    {"ev": "ack", "client": "p", "room": "x", "id": "a", "epoch": "e", "seq": 1},
    {"ev": "pub", "client": "p", "room": "x", "id": "c"},
    {"ev": "recv", "client": "r", "room": "x", "id": "a", "epoch": "e", "seq": 1},
    {"ev": "ack", "client": "q", "room": "x", "id": "b", "epoch": "e", "seq": 2},
    {"ev": "ack", "client": "p", "room": "x", "id": "c", "epoch": "e", "seq": 3},
    {
        "ev": "join",
        "client": "r",
        "room": "x",
        "epoch": "e",
        "seq": 3,
        "from": 1,
        "since": ["e", 1],
        "recovered": True,
    },
    {"ev": "recv", "client": "r", "room": "x", "id": "b", "epoch": "e", "seq": 2},
    {"ev": "recv", "client": "r", "room": "x", "id": "c", "epoch": "e", "seq": 3},
    {"ev": "end", "client": "r", "room": "x", "epoch": "e", "seq": 3},
]


def changed(index, **fields):
    events = copy.deepcopy(GOOD)
    events[index] |= fields
    return events


def without(index):
    return GOOD[:index] + GOOD[index + 1 :]


def with_(index, event):
    return GOOD[:index] + [event] + GOOD[index:]


LATE = [
    {"ev": "pub", "client": "q", "room": "x", "id": "d"},
    {"ev": "pub", "client": "q", "room": "x", "id": "e"},
    {"ev": "ack", "client": "q", "room": "x", "id": "e", "epoch": "e", "seq": 4},
    {"ev": "ack", "client": "q", "room": "x", "id": "d", "epoch": "e", "seq": 5},
]

BROKEN = {
    "two messages at one position": (changed(5, id="z"), "is a and also z"),
    "one message at two positions": (changed(7, id="b"), "stands twice"),
    "a gap": (without(9), "without a reset"),
    "a message twice": (with_(10, GOOD[9]), "twice"),
    "out of order": (GOOD[:9] + [GOOD[10], GOOD[9], GOOD[11]], "without a reset"),
    "another epoch without a reset": (changed(9, epoch="f"), "without a reset"),
    "recovered elsewhere": (changed(8, **{"from": 2}), "goes on from"),
    "an acked message that never came": (without(10), "never got the acked"),
    "an end before the head": (changed(11, seq=4), "the head was"),
    "an ack against real time": (
        [
            *GOOD,
            {"ev": "pub", "client": "q", "room": "x", "id": "d"},
            {"ev": "ack", "client": "q", "room": "x", "id": "d", "epoch": "e", "seq": 0},
        ],
        "was sent after",
    ),
    "a publisher's messages in another order": ([*GOOD, *LATE], "sent in order, but"),
}


def test_a_good_history_has_no_violation():
    assert check(GOOD) == []


def test_a_reset_explains_a_gap():
    reset = {"ev": "reset", "client": "r", "room": "x", "epoch": "e", "seq": 2}
    assert check(GOOD[:9] + [reset] + GOOD[10:]) == []


def test_where_numbers_have_holes_prev_chains_them():
    events = [
        event | {"seq": event["seq"] * 10} if "seq" in event else event for event in copy.deepcopy(GOOD)
    ]
    for event in events:
        if event["ev"] == "recv":
            event["prev"] = event["seq"] - 10
        if event["ev"] == "join":
            event["from"] *= 10
        if "since" in event:
            event["since"][1] *= 10
    assert check(events) == []


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_promise_is_found(name):
    events, sentence = BROKEN[name]
    assert any(sentence in violation for violation in check(events)), check(events)
