//! The rooms of a hub by name, in shards so that no lock is shared by all; and those that nobody reads, in the
//! order in which they will be forgotten.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;
use roomcast_protocol::RoomName;

use crate::{Room, engine::lock};

const SHARDS: usize = 64;

#[derive(Debug, Default)]
struct Shard {
    rooms: HashMap<RoomName, Arc<Room>>,
    /// Rooms that are being made: whoever wants one waits for its turn, and nobody else does.
    making: HashMap<RoomName, Arc<Mutex<()>>>,
}

impl Shard {
    /// The room, or whose turn it is to make it.
    fn find(&mut self, name: &RoomName) -> Result<Arc<Room>, Arc<Mutex<()>>> {
        match self.rooms.get(name) {
            Some(room) => Ok(room.clone()),
            None => Err(self.making.entry(name.clone()).or_default().clone()),
        }
    }
}

/// Rooms by name. The hasher is seeded by chance, so that names can't be made to collide.
#[derive(Debug)]
pub(crate) struct Rooms {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Rooms {
    fn shard(&self, name: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.shard(name).lock().rooms.get(name).cloned()
    }

    /// The room of this name, made if there is none: by one at a time, while other rooms go on.
    pub(crate) fn get_or_make<E>(
        &self,
        name: &RoomName,
        make: impl FnOnce() -> Result<Arc<Room>, E>,
    ) -> Result<Arc<Room>, E> {
        let shard = self.shard(name);
        loop {
            let turn = match shard.lock().find(name) {
                Ok(room) => return Ok(room),
                Err(turn) => turn,
            };
            let _mine = lock(&turn);
            // Whoever had the turn before has made it, or has failed and left the turn to others.
            if !shard.lock().making.get(name).is_some_and(|current| Arc::ptr_eq(current, &turn)) {
                continue;
            }
            let outcome = make();
            let mut shard = shard.lock();
            shard.making.remove(name);
            return outcome.inspect(|room| drop(shard.rooms.insert(name.clone(), room.clone())));
        }
    }

    /// Takes a room out that nobody but the caller holds, if `goes` says so, and runs `after` before anybody can make
    /// it anew.
    pub(crate) fn remove_if(
        &self,
        room: &Arc<Room>,
        goes: impl FnOnce() -> bool,
        after: impl FnOnce(),
    ) -> bool {
        let mut shard = self.shard(room.name()).lock();
        let rooms = &mut shard.rooms;
        let known = rooms.get(&**room.name()).is_some_and(|known| Arc::ptr_eq(known, room));
        let gone = known && Arc::strong_count(room) == 2 && goes();
        if gone {
            rooms.remove(&**room.name());
            if rooms.len() < rooms.capacity() / 4 {
                rooms.shrink_to_fit();
            }
            after();
        }
        gone
    }

    /// Rooms in the order of their names, after one of them.
    pub(crate) fn page(&self, after: &str, limit: usize) -> Vec<Arc<Room>> {
        let mut rooms: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| {
                shard.lock().rooms.values().filter(|room| **room.name() > *after).cloned().collect::<Vec<_>>()
            })
            .collect();
        rooms.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        rooms.truncate(limit);
        rooms
    }
}

/// Rooms that had no reader when they were put here, and since when: the longest idle first.
#[derive(Debug, Default)]
pub(crate) struct IdleRooms(Mutex<VecDeque<(u64, RoomName)>>);

impl IdleRooms {
    pub(crate) fn push(&self, since_ms: u64, room: &RoomName) {
        self.0.lock().push_back((since_ms, room.clone()));
    }

    /// Takes the first, if it has been idle since `until_ms` or longer.
    pub(crate) fn pop(&self, until_ms: u64) -> Option<RoomName> {
        let mut idle = self.0.lock();
        let due = idle.front().is_some_and(|(since_ms, _)| *since_ms <= until_ms);
        if idle.len() < idle.capacity() / 4 {
            idle.shrink_to_fit();
        }
        due.then(|| idle.pop_front()).flatten().map(|(_, room)| room)
    }
}
