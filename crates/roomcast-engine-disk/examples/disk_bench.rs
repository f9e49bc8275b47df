//! What the disk engine costs, beside the floor of the same machine: a bare append and `fdatasync` with the same
//! publishers.
//!
//!     cargo run --release -p roomcast-engine-disk --example disk_bench -- acks [rooms] [seconds]
//!     cargo run --release -p roomcast-engine-disk --example disk_bench -- restart [messages] [rooms]
//!     cargo run --release -p roomcast-engine-disk --example disk_bench -- retention [rooms] [seconds]
//!     cargo run --release -p roomcast-engine-disk --example disk_bench -- reads [threads] [messages]

#![allow(clippy::unwrap_used, reason = "what a measurement can't set up ends it")]

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use roomcast_engine_disk::{Disk, Settings};
use roomcast_hub::{
    Key, Retention, RoomRule,
    engine::{
        Engine, Log, Page, Range,
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
        Some("retention") => {
            retention(directory.path(), number(1, 100), Duration::from_secs(number(2, 180) as u64));
        }
        Some("reads") => reads(directory.path(), number(1, 1), number(2, 100)),
        _ => eprintln!(
            "say what to measure: acks [rooms] [seconds], restart [messages] [rooms], \
             retention [rooms] [seconds], or reads [threads] [messages]"
        ),
    }
}

fn room(disk: &Disk, number: usize) -> Arc<dyn Log> {
    room_with(disk, number, roomcast_engine_disk::retention())
}

fn room_with(disk: &Disk, number: usize, history: Retention) -> Arc<dyn Log> {
    let rule = RoomRule { history, ..RoomRule::new(Pattern::new("*").unwrap()) };
    watched(disk, &RoomName::new(&format!("room:{number}")).unwrap(), rule, NOW).unwrap()
}

fn draft(now: Now) -> Draft {
    Draft::new(("text", Some("0123456789abcdef"), "room"), now.wall, |out| {
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
        wait(logs[turn % rooms].append(NOW, draft(NOW), None)).unwrap();
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
    println!(
        "{what}: {rate:.0} acked/s, p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
        at(50),
        at(99),
        at(100)
    );
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

/// Half of the rooms keep a number of bytes, half keep messages for a time; every message has an id. Tells from time to
/// time what stands on the disk.
fn retention(directory: &Path, rooms: usize, time: Duration) {
    const BYTES_MAX: usize = 1024 * 1024;
    const AGE_MAX: Duration = Duration::from_secs(30);
    let disk = Disk::open(directory, Settings::default()).unwrap();
    let default = roomcast_engine_disk::retention();
    let by =
        [Retention { bytes_max: BYTES_MAX, ..default.clone() }, Retention { age_max: AGE_MAX, ..default }];
    let logs: Vec<_> = (0..rooms).map(|number| room_with(&disk, number, by[number % 2].clone())).collect();
    let (began, written_before) = (Instant::now(), written_bytes());
    let acked = AtomicUsize::new(0);
    let publish_one = |turn: usize| {
        let now = now_since(began);
        let key = Key::new(("ada", &turn.to_string()), ("text", "x"));
        wait(logs[turn % rooms].append(now, draft(now), Some(key))).unwrap();
        acked.fetch_add(1, Ordering::Relaxed);
    };
    let outcome = thread::scope(|scope| {
        scope.spawn(|| watch_disk((&disk, directory), (began, time), &acked));
        publish(time, publish_one)
    });
    let payload = outcome.0.len() * BODY_BYTES;
    let written = (written_bytes() - written_before) as f64 / payload as f64;
    tell(&format!("disk engine, {rooms} rooms, bytes and age"), outcome);
    println!("{written:.1} bytes were written for each byte of a message");
}

/// Lets the engine see each second, as a hub does.
fn watch_disk((disk, directory): (&Disk, &Path), (began, time): (Instant, Duration), acked: &AtomicUsize) {
    const TOLD_EVERY: u64 = 15;
    for second in 1..=time.as_secs() {
        thread::sleep(Duration::from_secs(second).saturating_sub(began.elapsed()));
        disk.tick(now_since(began));
        if second % TOLD_EVERY == 0 {
            let mib = |file| std::fs::metadata(directory.join(file)).map_or(0, |file| file.len()) >> 20;
            let (database, log) = (mib("roomcast.db"), mib("roomcast.db-wal"));
            println!(
                "{second} s: {} acked, {database} MiB and {log} MiB of log",
                acked.load(Ordering::Relaxed)
            );
        }
    }
}

/// Reads stretches of a log that only the disk has, from some threads at once.
fn reads(directory: &Path, threads: usize, messages: usize) {
    const LOGGED: usize = 50_000;
    const TIME: Duration = Duration::from_secs(5);
    let disk = Disk::open(directory, Settings { tail_bytes_max: 0, ..Settings::default() }).unwrap();
    let log = room(&disk, 0);
    let tickets: Vec<_> = (0..LOGGED).map(|_| log.append(NOW, draft(NOW), None)).collect();
    assert!(tickets.into_iter().all(|ticket| wait(ticket).is_ok()));
    let page = Page { messages_max: messages, bytes_max: usize::MAX };
    let (began, cpu_before) = (Instant::now(), cpu_time());
    let read = |first: usize| {
        let mut turn = first;
        while began.elapsed() < TIME {
            let after = (turn * 7_919 % (LOGGED - messages)) as u64;
            assert_eq!(log.read(Range::After(after), page).unwrap().frames.len(), messages);
            turn += 1;
        }
        turn - first
    };
    let count: usize = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|first| scope.spawn(move || read(first * 1_000))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{threads} threads, {messages} messages a read: {:.0} reads/s, {:.1} us of CPU each",
        1e6 / each(began.elapsed()),
        each(cpu_time().saturating_sub(cpu_before))
    );
}

/// What this process has taken so far, in the system's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn now_since(began: Instant) -> Now {
    let ms = began.elapsed().as_millis() as u64;
    Now { ms: NOW.ms + ms, wall: Timestamp(NOW.wall.0 + ms) }
}

/// What this process has asked the system to write.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
}

fn restart(directory: &Path, messages: usize, rooms: usize) {
    let disk = Disk::open(directory, Settings::default()).unwrap();
    let logs: Vec<_> = (0..rooms).map(|number| room(&disk, number)).collect();
    let mut tickets = std::collections::VecDeque::new();
    for turn in 0..messages {
        tickets.push_back(logs[turn % rooms].append(NOW, draft(NOW), None));
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
