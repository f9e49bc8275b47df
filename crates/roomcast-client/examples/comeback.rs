//! How clients come back that were all dropped at once: real ones, over real sockets, from a real server.
//!
//! ```sh
//! cargo build --release
//! cargo run --release -p roomcast-client --example comeback -- target/release/roomcast --how expire
//! ```
//!
//! Prints how the clients' tries, and their returns, are spread, and the largest share of them in any 100 ms. Needs
//! three open files for each client.

#![allow(clippy::unwrap_used, reason = "what a measurement can't set up ends it")]

use std::{
    fmt,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::{Parser, ValueEnum};
use futures_util::{StreamExt as _, future::join_all, stream};
use roomcast_client::{Client, Join, Raw, Room, Status, Why};
use roomcast_server::auth::{Algorithm, Signer};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
};

const SECRET: &str = "a secret for an hour, of thirty-two bytes or more";
const ROOMS: usize = 100;
/// Clients that connect at the same time, before they are dropped.
const AT_ONCE: usize = 64;
const WINDOW: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3_600);

/// Drops clients of a server, all at once, and tells how they come back
#[derive(Parser)]
struct Arguments {
    /// The `roomcast` binary
    binary: PathBuf,
    /// How they are dropped
    #[arg(long, value_enum, default_value_t = How::Expire)]
    how: How,
    /// How many
    #[arg(long, default_value_t = 5_000)]
    clients: usize,
    /// Seconds until their tokens end, with `expire`: all must have come by then
    #[arg(long, default_value_t = 15)]
    within: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// The server lives, and ends all of them itself, as their tokens end in the same instant
    Expire,
    /// It lives, and a proxy before it cuts every connection
    Cut,
    /// It is killed, and started again where it was
    Kill,
    /// It is told to stop, and the next one is started when it has
    Drain,
}

fn main() {
    let Arguments { binary, how, clients, within } = Arguments::parse();
    let files = 3 * clients as u64 + 256;
    assert!(
        rlimit::increase_nofile_limit(files).unwrap() >= files,
        "{files} open files are needed: ulimit -n"
    );
    let runtime = Runtime::new().unwrap();
    let mut server = Server::start(binary, "127.0.0.1:0");
    let lifetime = if how == How::Expire { Duration::from_secs(within) } else { HOUR };
    // Tokens end with a whole second.
    let ends = (wall() + lifetime).as_secs();
    let end = Instant::now() + Duration::from_secs(ends).saturating_sub(wall());
    let (cut, middle) = runtime.block_on(proxy(server.address.clone()));
    let address = if how == How::Cut { &middle } else { &server.address };
    let crowd = runtime.block_on(connect(clients, address, ends));
    assert!(how != How::Expire || Instant::now() < end, "not all have come in time: raise --within {within}");

    let stories: Vec<_> = crowd.into_iter().map(|member| runtime.spawn(story(member))).collect();
    let began = if how == How::Expire { end } else { Instant::now() };
    match how {
        How::Expire => {}
        How::Cut => cut.send_modify(|cuts| *cuts += 1),
        How::Kill => server.restart("-KILL"),
        How::Drain => server.restart("-TERM"),
    }
    if matches!(how, How::Kill | How::Drain) {
        println!("the next server was there after {} ms", began.elapsed().as_millis());
    }
    let stories = runtime.block_on(join_all(stories)).into_iter().map(Result::unwrap).collect();
    println!("{clients} clients, dropped by {how:?}");
    report(stories, began);
}

// The crowd.

/// A client, and the room that it is in.
type Member = (Client, Room<Raw>);

async fn connect(clients: usize, address: &str, first_ends: u64) -> Vec<Member> {
    let (first, later) = (token(first_ends), token((wall() + HOUR).as_secs()));
    let one = |n: usize| {
        let (first, later) = (first.clone(), later.clone());
        // Nobody gets a fresh token before the old one has ended.
        let fetch = move |why| {
            let token = match why {
                Why::Connect => Ok(Some(first.clone())),
                Why::Expired => Ok(Some(later.clone())),
                _ => Err("not yet"),
            };
            async { token }
        };
        let url = format!("http://{address}");
        async move {
            let client = Client::builder(&url).token_fn(fetch).connect().unwrap();
            let room = Join::new(&format!("comeback:{}", n % ROOMS)).unseen();
            let room = client.join(room).await.unwrap();
            client.status().wait_for(|status| matches!(status, Status::Connected { .. })).await.unwrap();
            (client, room)
        }
    };
    stream::iter((0..clients).map(one)).buffer_unordered(AT_ONCE).collect().await
}

fn token(exp: u64) -> String {
    let claims = json!({"sub": "crowd", "exp": exp, "rooms": {"*": ["*"]}});
    Signer::secret(Algorithm::Hs256, SECRET).unwrap().mint(&claims).unwrap()
}

/// What became of a client.
#[derive(Default)]
struct Story {
    lost: Vec<Instant>,
    waits: Vec<Duration>,
    tries: Vec<Instant>,
    back: Vec<Instant>,
}

/// Watches a client until it is back.
async fn story((client, _room): Member) -> Story {
    let (mut story, mut status) = (Story::default(), client.status());
    while story.back.is_empty() {
        status.changed().await.unwrap();
        let now = Instant::now();
        match &*status.borrow_and_update() {
            Status::Waiting { retry_in, .. } => {
                story.lost.push(now);
                story.waits.push(*retry_in);
            }
            Status::Connecting { .. } => story.tries.push(now),
            Status::Connected { .. } if !story.tries.is_empty() => story.back.push(now),
            Status::Ended(ended) => panic!("a client has ended: {}", ended.reason),
            _ => {}
        }
    }
    story
}

/// Passes everything on, and cuts all connections when it is told to. Answers where it listens.
async fn proxy(server: String) -> (watch::Sender<u32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (cut, cuts) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, mut cuts) = (server.clone(), cuts.clone());
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                tokio::select! {
                    _ = cuts.changed() => {}
                    passed = copy_bidirectional(&mut client, &mut server) => drop(passed?),
                }
                io::Result::Ok(())
            });
        }
    });
    (cut, address)
}

// The server.

/// A server that ends with this.
struct Server {
    binary: PathBuf,
    process: Child,
    address: String,
}

impl Server {
    fn start(binary: PathBuf, address: &str) -> Self {
        let mut command = Command::new(&binary);
        command.args(["serve", "--log", "error", "--set", "engine=memory", "--listen", address]);
        command.env("ROOMCAST_AUTH_SECRET", SECRET);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the server doesn't say where it listens");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split_whitespace().next().unwrap().trim_end_matches(':').to_owned();
            }
        };
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        Self { binary, process, address }
    }

    /// Ends it by a signal, and starts the next one when it has ended.
    fn restart(&mut self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.process.wait().unwrap();
        let next = Self::start(self.binary.clone(), &self.address);
        drop(std::mem::replace(self, next));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// Figures.

fn report(stories: Vec<Story>, began: Instant) {
    let mut sum = Story::default();
    for story in stories {
        sum.lost.extend(story.lost);
        sum.waits.extend(story.waits);
        sum.tries.extend(story.tries);
        sum.back.extend(story.back);
    }
    let since = |all: Vec<Instant>| all.into_iter().map(|at| at.saturating_duration_since(began)).collect();
    println!("noticed the end: {}", Spread::of(since(sum.lost)));
    println!("waits that were drawn: {}", Spread::of(sum.waits));
    println!("tries: {}", Spread::of(since(sum.tries)));
    println!("back (welcome): {}", Spread::of(since(sum.back)));
}

/// Times, ascending.
struct Spread(Vec<Duration>);

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The most in any window, wherever it begins, and where that is.
    fn crowdest(&self) -> (usize, Duration) {
        let within = |from: &Duration| self.0.partition_point(|at| *at < *from + WINDOW);
        let windows = self.0.iter().enumerate().map(|(before, from)| (within(from) - before, *from));
        windows.max_by_key(|(times, _)| *times).unwrap_or_default()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.0.len().checked_sub(1) else { return f.write_str("none") };
        let at = |place: usize| self.0[place].as_millis();
        write!(f, "{}, from {} to {} ms, half by {} ms", self.0.len(), at(0), at(last), at(last / 2))?;
        let (most, from) = self.crowdest();
        let share = 100.0 * most as f64 / self.0.len() as f64;
        let (window, from) = (WINDOW.as_millis(), from.as_millis());
        write!(f, "; at most {most} ({share:.1} %) in any {window} ms, from {from} ms on")
    }
}

/// Since the Unix epoch.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
