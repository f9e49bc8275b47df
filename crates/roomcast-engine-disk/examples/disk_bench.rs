//! What the disk engine costs, beside the floor of the same machine: a bare append and `fdatasync` with the same
//! publishers.
//!
//!     cargo run --release -p roomcast-engine-disk --example disk_bench -- acks [rooms] [seconds]
//!     cargo run --release -p roomcast-engine-disk --example disk_bench -- restart [messages] [rooms]

#![allow(clippy::unwrap_used, reason = "what a measurement can't set up ends it")]

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use roomcast_engine_disk::{Disk, Settings};
use roomcast_hub::{
    RoomRule,
    engine::{
        Engine, Log,
        conformance::{wait, watched},
    },
};
use roomcast_protocol::{Draft, Pattern, RoomName, Timestamp};
use roomcast_session::Now;

const PUBLISHERS: usize = 64;
const BODY_BYTES: usize = 256;
const WAITING_MAX: usize = 4_096;
const NOW: Now = Now { ms: 1_000, wall: Timestamp(1_700_000_000_000) };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, default: usize| arguments.get(index).map_or(default, |text| text.parse().unwrap());
    let directory = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    match arguments.first().map(String::as_str) {
        Some("acks") => acks(directory.path(), number(1, 1), Duration::from_secs(number(2, 5) as u64)),
        Some("restart") => restart(directory.path(), number(1, 1_000_000), number(2, 100_000)),
        _ => eprintln!("say what to measure: acks [rooms] [seconds], or restart [messages] [rooms]"),
    }
}

fn room(disk: &Disk, number: usize) -> Arc<dyn Log> {
    let rule =
        RoomRule { history: roomcast_engine_disk::retention(), ..RoomRule::new(Pattern::new("*").unwrap()) };
    watched(disk, &RoomName::new(&format!("room:{number}")).unwrap(), rule, NOW).unwrap()
}

fn draft() -> Draft {
    Draft::new(("text", Some("0123456789abcdef"), "room"), NOW.wall, |out| {
        out.push(b'"');
        out.resize(out.len() + BODY_BYTES - 100, b'x');
        out.push(b'"');
    })
}

fn acks(directory: &Path, rooms: usize, time: Duration) {
    let floor = Floor::start(&directory.join("floor"));
    tell("bare append + fdatasync", publish(time, |_| floor.append()));
    let disk = Disk::open(&directory.join("data"), Settings::default()).unwrap();
    let logs: Vec<_> = (0..rooms).map(|number| room(&disk, number)).collect();
    let publish_one = |turn: usize| {
        wait(logs[turn % rooms].append(NOW, draft(), None)).unwrap();
    };
    tell(&format!("disk engine, {rooms} rooms"), publish(time, publish_one));
}

/// Publishes from many threads for a while. Answers how long each ack took.
fn publish(time: Duration, one: impl Fn(usize) + Sync) -> (Vec<Duration>, Duration) {
    let began = Instant::now();
    let took = thread::scope(|scope| {
        let publisher = |first: usize| {
            let one = &one;
            move || {
                let (mut took, mut turn) = (Vec::new(), first);
                while began.elapsed() < time {
                    let asked = Instant::now();
                    one(turn);
                    took.push(asked.elapsed());
                    turn += PUBLISHERS;
                }
                took
            }
        };
        let threads: Vec<_> = (0..PUBLISHERS).map(|first| scope.spawn(publisher(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (took, began.elapsed())
}

fn tell(what: &str, (mut took, time): (Vec<Duration>, Duration)) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let rate = took.len() as f64 / time.as_secs_f64();
    println!("{what}: {rate:.0} acked/s, p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}

/// The least that a log can be: one thread, one file, one sync for all that wait.
struct Floor(mpsc::SyncSender<mpsc::Sender<()>>);

impl Floor {
    fn start(path: &Path) -> Self {
        let mut file = File::create(path).unwrap();
        let (sender, waiting) = mpsc::sync_channel::<mpsc::Sender<()>>(WAITING_MAX);
        thread::spawn(move || {
            while let Ok(first) = waiting.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
                file.write_all(&vec![b'x'; batch.len() * BODY_BYTES]).unwrap();
                file.sync_data().unwrap();
                for answer in batch {
                    answer.send(()).unwrap();
                }
            }
        });
        Self(sender)
    }

    fn append(&self) {
        let (answer, answered) = mpsc::channel();
        self.0.send(answer).unwrap();
        answered.recv().unwrap();
    }
}

fn restart(directory: &Path, messages: usize, rooms: usize) {
    let disk = Disk::open(directory, Settings::default()).unwrap();
    let logs: Vec<_> = (0..rooms).map(|number| room(&disk, number)).collect();
    let mut tickets = std::collections::VecDeque::new();
    for turn in 0..messages {
        tickets.push_back(logs[turn % rooms].append(NOW, draft(), None));
        if tickets.len() == WAITING_MAX {
            wait(tickets.pop_front().unwrap()).unwrap();
        }
    }
    for ticket in tickets {
        wait(ticket).unwrap();
    }
    drop((logs, disk));
    let (before, began) = (resident_bytes(), Instant::now());
    let disk = Disk::open(directory, Settings::default()).unwrap();
    let log = room(&disk, rooms / 2);
    let (ready, bounds) = (began.elapsed(), log.bounds());
    assert_eq!(bounds.head as usize, messages / rooms);
    let grown = resident_bytes().saturating_sub(before) / rooms;
    println!("{messages} messages in {rooms} rooms: ready after {ready:?}, {grown} B for each cold room");
    println!("the engine itself counts {} B", disk.memory_bytes());
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4_096
}
