//! What is full answers so, keeps what it acked, and goes on once there is room.

use roomcast_engine_disk::{Disk, Settings};
use roomcast_hub::engine::AppendError;

use crate::support::{Directories, Room, open};

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let directories = Directories::default();
    let path = directories.fresh();
    let small = Settings { disk_bytes_max: Some(1024 * 1024), ..Settings::default() };
    let disk = Disk::open(&path, small).unwrap();
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
fn what_is_dropped_leaves_the_disk() {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let mut few = crate::support::rule(roomcast_hub::Durability::None);
    few.history.messages_max = 10;
    let room = Room::watch(&disk, "r", few).unwrap();
    let large = "x".repeat(10_000);
    (0..1_000).for_each(|_| drop(room.say(&large, None).unwrap()));
    assert_eq!(room.0.bounds().head - room.0.bounds().floor, 10);
    disk.close();
    let bytes = std::fs::metadata(path.join("roomcast.db")).unwrap().len();
    assert!(bytes < 1_000_000, "ten messages of 10 kB take {bytes} bytes");
}

#[test]
fn a_closed_store_refuses() {
    let directories = Directories::default();
    let disk = open(&directories.fresh());
    let room = Room::of(&disk, "r");
    disk.close();
    assert!(matches!(room.say("late", None), Err(AppendError::Unavailable(_))));
}
