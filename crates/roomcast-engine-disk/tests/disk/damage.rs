//! Damage that is planted between two runs, and stores that can't be opened: each is named, none is a wrong answer.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use roomcast_engine_disk::{Disk, OpenError, Settings};
use roomcast_hub::{
    Durability,
    engine::{EngineError, Page, Range, ReadError},
};
use rusqlite::Connection;

use crate::support::{Directories, PATIENCE, Room, copy, open, open_with, rule};

/// A store with ten messages in one room, closed, after something was done to its database.
fn damaged(sql: &str) -> (Directories, Disk) {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let room = Room::of(&disk, "r");
    (1..=10).for_each(|i| drop(room.say(&i.to_string(), None).unwrap()));
    disk.close(PATIENCE);
    Connection::open(path.join("roomcast.db")).unwrap().execute_batch(sql).unwrap();
    let disk = open(&path);
    (directories, disk)
}

fn is_corrupt(outcome: &Result<Vec<String>, ReadError>, says: &str) -> bool {
    matches!(outcome, Err(ReadError::Failed(EngineError::Corrupt(found))) if found.contains(says))
}

#[test]
fn a_message_that_is_not_what_was_written_is_never_handed_out() {
    let flip =
        "UPDATE msg SET body = CAST(replace(CAST(body AS TEXT), '\"5\"', '\"6\"') AS BLOB) WHERE seq = 5";
    let (_directories, disk) = damaged(flip);
    let room = Room::of(&disk, "r");
    let page = Page { messages_max: 100, bytes_max: usize::MAX };
    let before = room.0.read(Range::After(0), page).unwrap();
    assert_eq!((before.frames.len(), before.complete), (4, false), "what comes before is handed out");
    let at_it = room.0.read(Range::After(4), page);
    assert!(is_corrupt(&at_it.map(|_| Vec::new()), "message 5 is not what was written"));
    assert_eq!(room.0.read(Range::After(5), page).unwrap().frames.len(), 5, "and what comes after");
    assert_eq!(room.0.read(Range::Before(u64::MAX), page).unwrap().frames.len(), 5);
}

#[test]
fn messages_that_are_missing_are_missed() {
    let check = |sql: &str, says: &str| {
        let (_directories, disk) = damaged(sql);
        let all = Room::of(&disk, "r").all();
        assert!(is_corrupt(&all, says), "{sql}: {all:?}");
    };
    check("DELETE FROM msg WHERE seq = 5", "after 4 is missing");
    check("DELETE FROM msg WHERE seq = 1", "after 0 is missing");
    check("UPDATE msg SET seq = 99 WHERE seq = 5", "after 4 is missing");
}

#[test]
fn messages_that_are_missing_right_before_a_page_are_missed() {
    let (_directories, disk) = damaged("DELETE FROM msg WHERE seq IN (4, 5)");
    let room = Room::of(&disk, "r");
    let page = Page { messages_max: 2, bytes_max: usize::MAX };
    let before = |seq| room.0.read(Range::Before(seq), page);
    for seq in [5, 6] {
        assert!(is_corrupt(&before(seq).map(|_| Vec::new()), "after 3 is missing"), "before {seq}");
    }
    for seq in [4, 9] {
        assert_eq!(before(seq).map(|batch| batch.frames.len()), Ok(2), "before {seq} nothing is missing");
    }
}

#[test]
fn a_store_whose_end_is_missing_gives_new_epochs() {
    let directories = Directories::default();
    let (path, lost) = (directories.fresh(), directories.fresh());
    let disk = open(&path);
    let room = Room::of(&disk, "r");
    (1..=10).for_each(|i| drop(room.say(&i.to_string(), None).unwrap()));
    copy(&path, &lost);
    // A flip in the middle of SQLite's own log: it silently ends there.
    let wal = lost.join("roomcast.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&wal, bytes).unwrap();
    let disk = open(&lost);
    let after = Room::of(&disk, "r");
    assert!(after.all().unwrap().len() < 10);
    let epoch = after.epoch();
    assert_ne!(epoch, room.epoch(), "nobody may go on as if nothing was missing");
    disk.close(PATIENCE);
    assert_eq!(Room::of(&open(&lost), "r").epoch(), epoch, "it is told once");
}

#[test]
fn a_crash_gives_new_epochs_where_acks_came_before_the_sync() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let durabilities = [Durability::Synced, Durability::Interval, Durability::None];
    let room =
        |disk: &Disk, durability| Room::watch(disk, &format!("{durability:?}"), rule(durability)).unwrap();
    let before = durabilities.map(|durability| {
        let room = room(&disk, durability);
        room.say("hello", None).unwrap();
        room.epoch()
    });
    let crashed = directories.fresh();
    copy(&path, &crashed);
    disk.close(PATIENCE);
    let goes_on = |disk: &Disk| {
        let now = durabilities.map(|durability| room(disk, durability).epoch());
        [now[0] == before[0], now[1] == before[1], now[2] == before[2]]
    };
    assert_eq!(goes_on(&open(&path)), [true, true, true], "after an orderly stop");
    assert_eq!(goes_on(&open(&crashed)), [true, false, false], "after a crash");
}

#[test]
fn a_store_that_was_not_quite_made_is_made() {
    let directories = Directories::default();
    let path = directories.fresh();
    fs::create_dir_all(&path).unwrap();
    let half = Connection::open(path.join("roomcast.db")).unwrap();
    half.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = 2; PRAGMA journal_mode = WAL").unwrap();
    drop(half);
    assert!(fs::metadata(path.join("roomcast.db")).unwrap().len() > 0);
    assert!(Room::of(&open(&path), "r").say("hello", None).is_ok());
}

#[test]
fn a_directory_is_of_one_process() {
    let directories = Directories::default();
    let path = directories.fresh();
    let first = open(&path);
    let second = open_with(&path, Settings::default()).unwrap_err();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    assert!(second.to_string().contains(&format!("process {}", std::process::id())), "{second}");
    drop(first);
    open(&path);
}

#[test]
fn what_is_no_store_is_left_alone() {
    let check = |prepare: &dyn Fn(&std::path::Path), says: &str| {
        let directories = Directories::default();
        let path = directories.fresh();
        fs::create_dir_all(&path).unwrap();
        prepare(&path.join("roomcast.db"));
        let before = fs::read(path.join("roomcast.db")).unwrap();
        let told = open_with(&path, Settings::default()).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
        assert_eq!(fs::read(path.join("roomcast.db")).unwrap(), before);
    };
    let sql = |sql: &'static str| {
        move |file: &std::path::Path| Connection::open(file).unwrap().execute_batch(sql).unwrap()
    };
    check(
        &|file| fs::write(file, "not a database at all, but long enough".repeat(100)).unwrap(),
        "is damaged",
    );
    check(&sql("CREATE TABLE other (x)"), "no store of Roomcast");
    let newer = "PRAGMA application_id = 0x526f6f6d; PRAGMA user_version = 2; CREATE TABLE x (x)";
    check(&sql(newer), "a store of version 2, and this is version 1");
}

#[test]
fn a_directory_that_cant_be_made_is_named() {
    let directories = Directories::default();
    let path = directories.fresh();
    fs::write(&path, "a file").unwrap();
    for directory in [path.clone(), path.join("data")] {
        let told = open_with(&directory, Settings::default()).unwrap_err();
        assert!(matches!(told, OpenError::Directory { .. }), "{told}");
        assert!(told.to_string().contains("a file is in its place"), "{told}");
    }
}

#[test]
fn a_directory_is_free_once_its_store_is_closed_whatever_this_process_has_begun() {
    let directories = Directories::default();
    let path = directories.fresh();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        // A process that begins has every file of this one until it is its own.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        let opened = (0..100).try_for_each(|_| open_with(&path, Settings::default()).map(drop));
        ended.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}
