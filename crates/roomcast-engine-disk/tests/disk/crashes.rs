//! Simulated crashes by the thousand: one run is recorded after every commit; then each seed takes one of those
//! moments, tears or damages the files as a crash or a bad disk would, and looks at what a start makes of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use roomcast_engine_disk::{Disk, Settings};
use roomcast_hub::engine::ReadError;

use crate::support::{Directories, PATIENCE, Room, copy, open, open_with};

const COMMITS: usize = 40;
const ROOMS: [&str; 3] = ["one", "two", "three"];
const SEEDS: u64 = 1_000;

/// What was acked in each room: the epoch, and the messages.
type Acked = BTreeMap<&'static str, (String, Vec<String>)>;

/// The store after each commit.
struct Recording {
    _directories: Directories,
    moments: Vec<(PathBuf, Acked)>,
}

fn record() -> Recording {
    let directories = Directories::default();
    let path = directories.fresh();
    let disk = open(&path);
    let rooms = ROOMS.map(|name| (name, Room::of(&disk, name)));
    let mut moments = Vec::new();
    for commit in 0..=COMMITS {
        let acked = rooms.iter().map(|(name, room)| (*name, (room.epoch(), room.all().unwrap()))).collect();
        let copied = directories.fresh();
        copy(&path, &copied);
        moments.push((copied, acked));
        let (_, room) = &rooms[commit * 7 % 5 % 3];
        let id = (commit % 2 == 0).then(|| commit.to_string());
        room.say(&"x".repeat(commit * 131 % 3_000), id.as_deref()).unwrap();
    }
    Recording { _directories: directories, moments }
}

/// A small generator; the same seed gives the same run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)) >> 33) as usize % bound
    }
}

/// What was found of a room.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The epoch goes on, and everything that was acked is there as it was.
    Whole,
    /// A new epoch, or an error that says what is wrong.
    Named,
    /// Something that was acked is not there, or not as it was, and nobody says so.
    Wrong(String),
}

fn look(disk: &Disk, name: &'static str, acked: &Acked) -> Found {
    let (epoch, messages) = &acked[name];
    let Ok(room) = Room::watch(disk, name, crate::support::rule(roomcast_hub::Durability::Synced)) else {
        return Found::Named;
    };
    // Of a room without messages nothing is kept.
    if room.epoch() != *epoch {
        return if messages.is_empty() { Found::Whole } else { Found::Named };
    }
    match room.all() {
        Ok(found) if found.starts_with(messages) => Found::Whole,
        Ok(found) => Found::Wrong(format!("{name}: {} of {} messages", found.len(), messages.len())),
        Err(ReadError::Failed(_) | ReadError::Reset(_)) => Found::Named,
    }
}

/// Opens a damaged store. If it can't be opened, that is said for all rooms.
fn outcome(path: &Path, acked: &Acked) -> Vec<Found> {
    match open_with(path, Settings::default()) {
        Ok(disk) => ROOMS.map(|name| look(&disk, name, acked)).into(),
        Err(_) => vec![Found::Named],
    }
}

/// Tears the commit that leads to a moment: its bytes are partly not there, or never were what they should be.
fn tear(recording: &Recording, moment: usize, chance: &mut Chance, into: &Path) {
    copy(&recording.moments[moment].0, into);
    let before = &recording.moments[moment - 1].0;
    fs::copy(before.join("roomcast.acked"), into.join("roomcast.acked")).unwrap();
    let wal = into.join("roomcast.db-wal");
    let from = fs::metadata(before.join("roomcast.db-wal")).map_or(0, |file| file.len() as usize);
    let mut bytes = fs::read(&wal).unwrap();
    let at = from + chance.below(bytes.len() - from);
    match chance.below(3) {
        0 => bytes.truncate(at),
        1 => bytes[at..].fill(0),
        _ => bytes[at..].iter_mut().for_each(|byte| *byte = chance.below(256) as u8),
    }
    fs::write(&wal, bytes).unwrap();
}

#[test]
fn a_torn_commit_takes_nothing_that_was_acked() {
    let recording = record();
    let directories = Directories::default();
    let into = directories.fresh();
    for seed in 0..SEEDS {
        let chance = &mut Chance(seed);
        let moment = 1 + chance.below(COMMITS);
        tear(&recording, moment, chance, &into);
        let found = outcome(&into, &recording.moments[moment - 1].1);
        assert!(found.iter().all(|found| *found == Found::Whole), "seed {seed}: {found:?}");
        fs::remove_dir_all(&into).unwrap();
    }
}

/// Flips one bit of a file, in a copy of the last moment's store.
fn flip(from: &Path, file: &str, chance: &mut Chance, into: &Path) {
    copy(from, into);
    let path = into.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let at = chance.below(bytes.len());
    bytes[at] ^= 1 << chance.below(8);
    fs::write(&path, bytes).unwrap();
}

fn no_flip_is_a_wrong_answer(from: &Path, file: &str, acked: &Acked) {
    let directories = Directories::default();
    let into = directories.fresh();
    for seed in 0..SEEDS {
        flip(from, file, &mut Chance(seed), &into);
        let found = outcome(&into, acked);
        assert!(!found.iter().any(|found| matches!(found, Found::Wrong(_))), "seed {seed}: {found:?}");
        fs::remove_dir_all(&into).unwrap();
    }
}

#[test]
fn a_flipped_bit_in_the_log_is_named() {
    let recording = record();
    let (path, acked) = recording.moments.last().unwrap();
    no_flip_is_a_wrong_answer(path, "roomcast.db-wal", acked);
}

#[test]
fn a_flipped_bit_in_the_database_is_named() {
    let recording = record();
    let (path, acked) = recording.moments.last().unwrap();
    open(path).close(PATIENCE);
    no_flip_is_a_wrong_answer(path, "roomcast.db", acked);
}
