"""A disk that fails on request, and loses at a power cut what was not synced: faulty_disk.c around a server. Holds no
assertion."""

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "faulty_disk.c"
RECORD = struct.Struct("<cHQQII")
SECTOR_BYTES = 512


class FaultyDisk:
    """The directory `data` in a folder. A server has to be started with `environment`."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.orders = self.folder / "orders"
        self.journal = self.folder / "journal"
        self.order("none")
        # Whether a power cut leaves the directory itself.
        self.is_lasting = self.data.exists()
        library = self.folder / "faulty_disk.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULTY_DISK_FOLDER": str(self.data.resolve()),
            "FAULTY_DISK_ORDERS": str(self.orders),
            "FAULTY_DISK_JOURNAL": str(self.journal),
        }

    def order(self, word):
        """From the next call on the disk does as the word says; `none` is in order."""
        new = self.orders.with_suffix(".new")
        new.write_text(word)
        new.rename(self.orders)

    def cut_power(self, rng):
        """Leaves on the disk of a server that was killed what a power cut would: of what was not synced, nothing, all,
        or some writes whole, some in part and some not at all; of a directory that is new and not synced into the one
        above, nothing. Answers how many writes were not synced."""
        if not self.journal.exists():
            return 0
        lines = list(read(self.journal.read_bytes()))
        self.journal.unlink()
        self.is_lasting |= any((name, change.kind) == ("..", "S") for name, change in lines)
        if not self.is_lasting:
            shutil.rmtree(self.data)
            return len(lines)
        changes = by_file(lines)
        keep = rng.choice([lambda: 0.0, lambda: 1.0, lambda: rng.choice([0.0, 1.0, rng.random()])])
        return sum(restore(self.data / name, of_name, keep) for name, of_name in changes.items())


@dataclass
class Change:
    """A line of the journal: a write, or a truncation, which has no new bytes; and what came of it."""

    kind: str
    at: int
    offset: int
    size: int
    old: bytes
    new: bytes
    fate: str = "open"

    def undo(self, file):
        if self.kind == "W":
            put(file, self.offset, self.old)
            file.truncate(self.size)
        else:
            file.truncate(self.size)
            put(file, self.offset, self.old)

    def do(self, file, part):
        """A part of a write is whole sectors from its beginning."""
        if self.kind == "T":
            file.truncate(self.offset)
        elif part:
            sectors = int(len(self.new) * part) // SECTOR_BYTES * SECTOR_BYTES
            put(file, self.offset, self.new if part == 1.0 else self.new[:sectors])


def put(file, offset, data):
    file.seek(offset)
    file.write(data)


def read(journal):
    """The name of a file and what happened to it, line by line."""
    at = 0
    while at + RECORD.size <= len(journal):
        kind, name_bytes, offset, size, old_bytes, new_bytes = RECORD.unpack_from(journal, at)
        ends = [at + RECORD.size]
        for count in (name_bytes, old_bytes, new_bytes):
            ends.append(ends[-1] + count)
        if ends[-1] > len(journal):
            break  # The process ended in the middle of it, and so before the change itself.
        name, old, new = (journal[start:end] for start, end in zip(ends, ends[1:], strict=False))
        yield os.fsdecode(name), Change(kind.decode(), at, offset, size, old, new)
        at = ends[-1]


def by_file(lines):
    """The changes of each file that is still there under its name, and whether each is on the disk."""
    changes = {}
    for name, change in lines:
        note(changes.setdefault(name, []), change)
    return changes


def note(of_name, change):
    if change.kind == "U":
        of_name.clear()
    elif change.kind in "SF":
        # After a sync that failed nobody knows what was kept; here, nothing.
        fate = "synced" if change.kind == "S" else "lost"
        for before in of_name:
            if before.fate == "open" and before.at < change.offset:
                before.fate = fate
    else:
        of_name.append(change)


def restore(path, changes, keep):
    """Makes a file what it would be. Answers how many of its changes were not synced."""
    unsure = [number for number, change in enumerate(changes) if change.fate != "synced"]
    if not unsure:
        return 0
    since = changes[unsure[0] :]
    with path.open("r+b") as file:
        for change in reversed(since):
            change.undo(file)
        for change in since:
            if change.fate != "lost":
                change.do(file, 1.0 if change.fate == "synced" else keep())
    return len(unsure)
