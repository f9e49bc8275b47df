//! Ids are remembered over restarts as long as they are within a run, whatever the clock on the wall does.

use std::path::Path;

use roomcast_engine_disk::Disk;
use roomcast_hub::engine::Engine;
use roomcast_protocol::{Timestamp, server::Delivered};
use roomcast_session::Now;

use crate::support::{Directories, NOW, Room, open};

const HOUR_MS: u64 = 3_600_000;
const WINDOW_MS: u64 = 300_000;

/// So long after the beginning of a run, by a clock on the wall that is so much ahead.
fn at(ms: u64, ahead_ms: u64) -> Now {
    Now { ms: NOW.ms + ms, wall: Timestamp(NOW.wall.0 + ms + ahead_ms) }
}

/// Runs on a store until it is closed.
fn run<T>(path: &Path, talk: impl FnOnce(&Disk, &Room) -> T) -> T {
    let disk = open(path);
    let room = Room::of(&disk, "r");
    talk(&disk, &room)
}

fn is_repeat_of(again: &Delivered, first: &Delivered) -> bool {
    again.duplicate && again.position == first.position
}

#[test]
fn an_id_that_was_used_again_is_remembered_for_what_it_was_used_last() {
    let directories = Directories::default();
    let path = directories.fresh();
    let last = run(&path, |_, room| {
        room.say_at(at(0, 0), "first", "m1").unwrap();
        room.say_at(at(WINDOW_MS + 1_000, 0), "last", "m1").unwrap()
    });
    let again = run(&path, |_, room| room.say_at(at(0, 0), "last", "m1").unwrap());
    assert!(is_repeat_of(&again, &last), "{again:?}");
}

#[test]
fn a_clock_that_goes_back_makes_nothing_old() {
    let directories = Directories::default();
    let path = directories.fresh();
    let said = run(&path, |_, room| {
        room.say_at(at(0, HOUR_MS), "ahead", "m1").unwrap();
        room.say_at(at(1_000, 0), "right", "m2").unwrap()
    });
    let again = run(&path, |_, room| room.say_at(at(0, 0), "right", "m2").unwrap());
    assert!(is_repeat_of(&again, &said), "{again:?}");
}

#[test]
fn a_clock_that_goes_ahead_makes_nothing_old() {
    let directories = Directories::default();
    let path = directories.fresh();
    let said = run(&path, |disk, room| {
        let said = room.say_at(at(0, 0), "before", "m1").unwrap();
        disk.tick(at(1_000, HOUR_MS));
        said
    });
    let again = run(&path, |_, room| room.say_at(at(0, HOUR_MS), "before", "m1").unwrap());
    assert!(is_repeat_of(&again, &said), "{again:?}");
}
