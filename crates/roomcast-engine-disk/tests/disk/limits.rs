//! What is full answers so, keeps what it acked, and goes on once there is room.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use roomcast_engine_disk::{Disk, Settings};
use roomcast_hub::{
    Durability,
    engine::{AppendError, Engine, Ticket, conformance},
};
use roomcast_protocol::Timestamp;
use roomcast_session::Now;
use rusqlite::Connection;

use crate::support::{Directories, NOW, PATIENCE, Room, open, open_with, rule};

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let directories = Directories::default();
    let path = directories.fresh();
    let small = Settings { disk_bytes_max: Some(1024 * 1024), ..Settings::default() };
    let disk = open_with(&path, small).unwrap();
    let room = Room::of(&disk, "r");
    let large = "x".repeat(10_000);
    let mut acked = 0;
    let refusal = loop {
        match room.say(&large, Some(&acked.to_string())) {
            Ok(_) => acked += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(acked > 10, "{acked} were acked");
    assert!(matches!(&refusal, AppendError::Unavailable(says) if says.contains("full")), "{refusal:?}");
    assert_eq!(room.all().unwrap().len(), acked, "what was refused is nowhere");
    drop((room, disk));
    let disk = open(&path);
    let room = Room::of(&disk, "r");
    assert_eq!(room.all().unwrap().len(), acked, "what was acked is kept");
    let again = room.say(&large, Some(&acked.to_string())).unwrap();
    assert!(!again.duplicate, "what was refused was never remembered");
    assert_eq!(again.position.unwrap().1, acked as u64 + 1, "and has left no hole");
}

#[test]
fn a_full_disk_gives_up_first_what_its_room_no_longer_keeps() {
    let directories = Directories::default();
    let small = Settings { disk_bytes_max: Some(1024 * 1024), ..Settings::default() };
    let disk = open_with(&directories.fresh(), small).unwrap();
    let mut few = rule(Durability::Synced);
    // All of them fit, but not a quarter more, which is let be otherwise.
    few.history.messages_max = 90;
    let room = Room::watch(&disk, "r", few).unwrap();
    let large = "x".repeat(10_000);
    while room.say(&large, None).is_ok() {}
    let kept = room.0.bounds();
    assert_eq!(kept.head - kept.floor, 90);
    let after = room.say_until_taken(&large, None);
    assert_eq!(after.position.unwrap().1, kept.head + 1);
    assert_eq!(room.all_after(room.0.bounds().floor).unwrap().len(), 90);
}

#[test]
fn what_is_dropped_leaves_the_disk() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let mut few = rule(Durability::None);
    few.history.messages_max = 10;
    let room = Room::watch(&disk, "r", few).unwrap();
    let large = "x".repeat(10_000);
    (0..1_000).for_each(|_| drop(room.say(&large, None).unwrap()));
    assert_eq!(room.0.bounds().head - room.0.bounds().floor, 10);
    disk.close(PATIENCE);
    let bytes = std::fs::metadata(path.join("roomcast.db")).unwrap().len();
    assert!(bytes < 1_000_000, "ten messages of 10 kB take {bytes} bytes");
}

#[test]
fn a_closed_store_refuses() {
    let directories = Directories::default();
    let disk = open(&directories.fresh());
    let room = Room::of(&disk, "r");
    disk.close(PATIENCE);
    assert!(matches!(room.say("late", None), Err(AppendError::Unavailable(_))));
}

/// Opens a store, lets it see a time, and closes it.
fn sweep(path: &Path, after: Duration) {
    let ms = after.as_millis() as u64;
    let disk = open(path);
    disk.tick(Now { ms: NOW.ms + ms, wall: Timestamp(NOW.wall.0 + ms) });
    disk.close(PATIENCE);
}

#[test]
fn age_gives_the_disk_back_and_then_forgets_the_room() {
    let directories = Directories::default();
    let path = directories.fresh();
    let mut brief = rule(Durability::None);
    brief.history.age_max = Duration::from_secs(60);
    let room = |disk: &Disk, name: &str| Room::watch(disk, name, brief.clone()).unwrap();
    let disk = open(&path);
    let rooms = ["a", "b", "c"].map(|name| room(&disk, name));
    let large = "x".repeat(3_000);
    (0..3_000).for_each(|i| drop(rooms[i % 3].say(&large, None).unwrap()));
    let before = rooms[0].0.bounds();
    disk.close(PATIENCE);
    let bytes = || std::fs::metadata(path.join("roomcast.db")).unwrap().len();
    let full = bytes();
    sweep(&path, Duration::from_secs(30));
    assert_eq!(bytes(), full, "nothing is old yet");
    sweep(&path, Duration::from_secs(61));
    assert!(bytes() < full / 2, "{} of {full} bytes are left", bytes());
    let swept = room(&open(&path), "a").0.bounds();
    assert_eq!((&swept.epoch, swept.floor, swept.head), (&before.epoch, before.head, before.head));
    sweep(&path, Duration::from_secs(8 * 24 * 3_600));
    assert_ne!(room(&open(&path), "a").0.bounds().epoch, before.epoch, "a week later the room is forgotten");
}

#[test]
fn another_program_in_the_database_is_named_and_readers_dont_wait() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let room = Room::of(&disk, "r");
    room.say("before", None).unwrap();
    let other = Connection::open(path.join("roomcast.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refusal = room.say("meanwhile", None).unwrap_err();
    assert!(
        matches!(&refusal, AppendError::Unavailable(says) if says.contains("another program")),
        "{refusal:?}"
    );
    let elsewhere = Room::of(&disk, "elsewhere");
    assert_eq!((room.all().unwrap().len(), elsewhere.all().unwrap().len()), (1, 0));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(room.say_until_taken("after", None).position.unwrap().1, 2);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let directories = Directories::default();
    let path = directories.fresh();
    let small = Settings { waiting_bytes_max: 10_000, ..Settings::default() };
    let disk = open_with(&path, small).unwrap();
    let room = Room::of(&disk, "r");
    room.say("before", None).unwrap();
    let other = Connection::open(path.join("roomcast.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let large = "x".repeat(6_000);
    let mut waiting = Vec::new();
    let refusal = loop {
        match room.queue(&large) {
            Ticket::Now(outcome) => break outcome.unwrap_err(),
            later @ Ticket::Later(_) => waiting.push(later),
        }
    };
    assert!(matches!(&refusal, AppendError::Unavailable(says) if says.contains("disk.waiting_bytes_max")));
    let refused = Instant::now();
    other.execute_batch("ROLLBACK").unwrap();
    let acked = waiting.into_iter().flat_map(conformance::wait).count();
    let next = room.say("sent before the refusal was heard of", None);
    assert!(
        next.is_err() || refused.elapsed() > Duration::from_secs(1),
        "it would overtake what was refused"
    );
    assert_eq!(
        room.all().unwrap().len(),
        1 + acked + usize::from(next.is_ok()),
        "what was taken is kept, what was refused is not"
    );
}

#[test]
fn ids_of_all_rooms_are_bounded() {
    let directories = Directories::default();
    let disk = open_with(&directories.fresh(), Settings { keys_max: 2, ..Settings::default() }).unwrap();
    let rooms = ["a", "b"].map(|name| Room::of(&disk, name));
    assert!(rooms.iter().all(|room| room.say("hello", Some("m1")).is_ok()));
    let refusal = rooms[0].say("hello", Some("m2"));
    assert!(matches!(&refusal, Err(AppendError::Unavailable(says)) if says.contains("disk.keys_max")));
    assert!(rooms[0].say("hello", Some("m1")).unwrap().duplicate, "what is remembered is told");
    assert!(rooms[0].say("hello", None).is_ok(), "and without an id nothing is to be remembered");
}
