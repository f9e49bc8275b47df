//! What is old leaves the disk in time: under load, whatever else is kept, and however much there is of it.

use std::{path::Path, time::Duration};

use roomcast_engine_disk::{Disk, Settings, retention};
use roomcast_hub::{
    Durability, Retention, RoomRule,
    engine::{AppendError, Engine, Page, Range, ReadError, Ticket, conformance},
};
use roomcast_protocol::{Reset, Timestamp, server::Delivered};
use roomcast_session::Now;
use rusqlite::Connection;

use crate::support::{Directories, NOW, PATIENCE, Room, open, open_with, rule};

fn after(seconds: u64) -> Now {
    Now { ms: NOW.ms + seconds * 1_000, wall: Timestamp(NOW.wall.0 + seconds * 1_000) }
}

const HELLO: &str = "\"hello\"";

/// A room whose messages go after some seconds.
fn aged(seconds: u64) -> RoomRule {
    let history = Retention { age_max: Duration::from_secs(seconds), ..retention() };
    RoomRule { history, ..rule(Durability::None) }
}

/// Lets the sweep look at everything once: each tick does a part of it, at least.
fn go_round(disk: &Disk, room: &Room, now: Now) {
    for _ in 0..10 {
        conformance::wait(room.queue_at(now, HELLO)).unwrap();
        disk.tick(now);
    }
}

/// Rows of a table, once the store is closed.
fn rows(disk: &Disk, path: &Path, from: &str) -> i64 {
    disk.close(PATIENCE);
    let connection = Connection::open(path.join("roomcast.db")).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {from}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_old_goes_however_busy_the_disk_is() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let room = Room::watch(&disk, "r", aged(60)).unwrap();
    let large = format!("\"{}\"", "x".repeat(2_000));
    let say = |count: usize, now: Now| (0..count).map(|_| room.queue_at(now, &large)).collect::<Vec<_>>();
    let are_taken = |tickets: Vec<Ticket<_>>| {
        tickets.into_iter().all(|ticket| conformance::wait::<Result<Delivered, AppendError>>(ticket).is_ok())
    };
    assert!(are_taken(say(3_000, NOW)));
    go_round(&disk, &room, NOW);
    let waiting = say(12_000, after(61));
    disk.tick(after(61));
    assert!(are_taken(waiting));
    assert_eq!(rows(&disk, &path, &format!("msg WHERE ts = {}", NOW.wall.0)), 0);
}

#[test]
fn what_is_kept_longer_keeps_nothing_else() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let [brief, long, pulse] = [("brief", 60), ("long", 1_000_000), ("pulse", 1_000_000)]
        .map(|(name, age)| Room::watch(&disk, name, aged(age)).unwrap());
    for seconds in [0, 100, 300] {
        for room in [&brief, &long] {
            conformance::wait(room.queue_at(after(seconds), HELLO)).unwrap();
        }
        go_round(&disk, &pulse, after(seconds + 90));
    }
    let of = |name: &str| format!("msg JOIN room ON room.id = msg.room WHERE room.name = '{name}'");
    assert_eq!(rows(&disk, &path, &of("brief")), 0);
    assert_eq!(rows(&disk, &path, &of("long")), 3);
}

#[test]
fn another_age_is_of_what_is_there_too() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let room = Room::watch(&disk, "r", aged(1_000_000)).unwrap();
    (0..10).for_each(|_| drop(conformance::wait(room.queue_at(NOW, HELLO)).unwrap()));
    disk.close(PATIENCE);
    let disk = open(&path);
    let other = Room::watch(&disk, "other", aged(60)).unwrap();
    go_round(&disk, &other, after(90));
    let room = Room::watch(&disk, "r", aged(60)).unwrap();
    conformance::wait(room.queue_at(after(100), HELLO)).unwrap();
    disk.tick(after(200));
    assert_eq!(rows(&disk, &path, "msg"), 1, "the last of all stays");
}

#[test]
fn ids_go_as_fast_as_they_come() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let room = Room::watch(&disk, "r", rule(Durability::None)).unwrap();
    (0..20_001).for_each(|id| drop(room.say("hello", Some(&id.to_string())).unwrap()));
    (0..2).for_each(|_| disk.tick(after(301)));
    assert_eq!(rows(&disk, &path, "idem"), 0);
}

#[test]
fn what_is_kept_for_ever_is_never_old() {
    let directories = Directories::default();
    let path = directories.fresh();
    let for_ever = aged(1 << 61);
    let room = |disk: &Disk| Room::watch(disk, "r", for_ever.clone()).unwrap();
    let disk = open(&path);
    room(&disk).say("hello", None).unwrap();
    disk.close(PATIENCE);
    assert_eq!(room(&open(&path)).all().map(|all| all.len()), Ok(1));
}

/// A sweep commits first and then tells whoever looked the room up meanwhile. Another program does the same here, and
/// never tells.
#[test]
fn what_has_just_left_the_disk_is_old_and_not_damaged() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open_with(&path, Settings { tail_bytes_max: 0, ..Settings::default() }).unwrap();
    let room = Room::of(&disk, "r");
    (0..10).for_each(|_| drop(room.say("hello", None).unwrap()));
    let take = "BEGIN; DELETE FROM msg WHERE seq <= 4; UPDATE room SET floor = 4; COMMIT";
    Connection::open(path.join("roomcast.db")).unwrap().execute_batch(take).unwrap();
    let page = Page { messages_max: 100, bytes_max: usize::MAX };
    let before = room.0.read(Range::Before(9), page).unwrap();
    assert_eq!((before.frames.len(), before.complete), (4, true));
    assert_eq!(room.all().unwrap_err(), ReadError::Reset(Reset::TooOld));
    assert_eq!(room.all_after(4).unwrap().len(), 6);
}
