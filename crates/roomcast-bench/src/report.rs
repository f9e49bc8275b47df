//! What a measurement found, for people (`Display`) and for programs (`Serialize`). Plain values; it never measures.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::comparison::Comparison;
use crate::plan::{Pace, Scenario};
use crate::table::Table;
use crate::tally::{Fault, Tally};
use crate::text::{bytes, count, micros, whole};

/// The answer to one invocation.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// One measurement.
    Run(Box<Outcome>),
    /// Floor and server in turn.
    Comparison(Comparison),
    /// All rows of the published table.
    Table(Table),
}

impl Report {
    /// Whether nothing was lost, doubled, out of order, refused or cut off.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Run(outcome) => outcome.is_clean(),
            Self::Comparison(comparison) => comparison.is_clean(),
            Self::Table(table) => table.is_clean(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(outcome) => outcome.fmt(f),
            Self::Comparison(comparison) => comparison.fmt(f),
            Self::Table(table) => table.fmt(f),
        }
    }
}

/// One measurement of one server.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The server: its URL, the command that started it, or `floor`.
    pub target: String,
    /// The server's processes; empty where they can't be looked at.
    pub pids: Vec<u32>,
    /// Why there is nothing on the server's CPU and memory, if so.
    pub unmeasured: Option<String>,
    /// The named load, if it was one.
    pub scenario: Option<Scenario>,
    /// Connections in the rooms that are reported on.
    pub connections: u32,
    /// Rooms that they are spread over.
    pub rooms: u32,
    /// Bytes of each message's `data` object as it was sent.
    pub data_bytes: usize,
    /// How fast messages were published.
    pub pace: Option<Pace>,
    /// What it took to connect and join.
    pub connect: Connect,
    /// What joined connections cost that said nothing.
    pub idle: Option<Idle>,
    /// The load.
    pub load: Option<Load>,
    /// The load of the room beside, if there was one.
    pub beside: Option<Load>,
    /// The same load again, with readers that don't read.
    pub stalled: Option<Stalled>,
}

/// What it took to connect and join.
#[derive(Clone, Debug, Serialize)]
pub struct Connect {
    /// All connections, also those of a room beside.
    pub connections: u32,
    /// From the first SYN to the last join's ack.
    pub seconds: f64,
    /// Connections in a second.
    pub per_second: f64,
    /// CPU of the server for each, in µs.
    pub server_cpu_us: Option<f64>,
    /// What the server's resident memory grew by for each.
    pub server_resident_bytes: Option<f64>,
}

/// A time in which nothing was said.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// How long.
    pub seconds: f64,
    /// CPU of the server in all, in ms.
    pub server_cpu_ms: Option<f64>,
}

/// Messages published, and what became of them.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    /// From the first publish until the last delivery had come, or was given up.
    pub seconds: f64,
    /// Messages sent.
    pub published: u64,
    /// Acks that came.
    pub acked: u64,
    /// Messages that were neither acked nor refused.
    pub unanswered: u64,
    /// Messages in the log × readers of their room.
    pub expected: u64,
    /// Copies that came, each counted once.
    pub delivered: u64,
    /// Copies that a reader neither got nor was told it wouldn't get.
    pub lost: u64,
    /// Copies that came again.
    pub doubled: u64,
    /// Copies that came after a later one.
    pub out_of_order: u64,
    /// Copies that a reader was told it wouldn't get, by a reset or a close.
    pub cut_off: u64,
    /// Errors, closes and resets, by code.
    pub faults: BTreeMap<String, Fault>,
    /// From when a message was due to its ack.
    pub ack: Option<Latency>,
    /// From when a message was due to each of its copies.
    pub delivery: Option<Latency>,
    /// What it cost.
    pub cost: Option<LoadCost>,
}

/// Latency in µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half took at most this.
    pub p50_us: u64,
    /// 99 % took at most this.
    pub p99_us: u64,
    /// 99.9 % took at most this.
    pub p999_us: u64,
    /// None took longer.
    pub max_us: u64,
}

/// CPU while a load ran, everything included: reading publishes, acks, wake-ups.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LoadCost {
    /// CPU of the server for each delivery, in µs.
    pub server_cpu_us_per_delivery: f64,
    /// The part of it in user space, as far as the kernel's ticks tell.
    pub server_user_us_per_delivery: f64,
    /// CPU of the server for each ack, in µs, where every publisher was alone in its room.
    pub server_cpu_us_per_ack: Option<f64>,
    /// Cores that the server kept busy.
    pub server_cores: f64,
    /// Cores that the bench itself kept busy; at its number of threads, latencies are its own.
    pub client_cores: f64,
}

/// A load with readers that don't read.
#[derive(Clone, Debug, Serialize)]
pub struct Stalled {
    /// How many don't read.
    pub readers: u32,
    /// What the others got.
    pub load: Load,
    /// p99 of the others' deliveries, over that of the load before.
    pub p99_ratio: Option<f64>,
    /// What the server's resident memory grew by meanwhile.
    pub server_growth_bytes: Option<f64>,
}

impl Outcome {
    /// Whether nothing was lost, doubled, out of order, refused or cut off.
    pub fn is_clean(&self) -> bool {
        let stalled = self.stalled.as_ref().map(|stalled| &stalled.load);
        self.load.iter().chain(&self.beside).chain(stalled).all(Load::is_clean)
    }
}

impl Load {
    pub(crate) fn new(tally: &Tally, seconds: f64) -> Self {
        Self {
            seconds,
            published: tally.published,
            acked: tally.acked,
            unanswered: tally.unanswered,
            expected: tally.expected,
            delivered: tally.delivered,
            lost: tally.lost,
            doubled: tally.doubled,
            out_of_order: tally.out_of_order,
            cut_off: tally.cut_off,
            faults: tally.faults.clone(),
            ack: tally.ack_latency(),
            delivery: tally.delivery_latency(),
            cost: None,
        }
    }

    fn is_clean(&self) -> bool {
        let bad = [self.unanswered, self.lost, self.doubled, self.out_of_order, self.cut_off];
        bad == [0; 5] && self.faults.is_empty()
    }
}

/// Writes a line of two columns, the name padded.
macro_rules! row {
    ($f:expr, $name:expr, $($value:tt)+) => {
        writeln!($f, "  {:<14} {}", $name, format_args!($($value)+))
    };
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        self.fmt_server(f)?;
        self.connect.fmt(f)?;
        if let Some(idle) = &self.idle {
            let cpu = idle.server_cpu_ms.map(|cpu| format!("; server CPU {cpu:.1} ms in all"));
            row!(f, "idle", "{:.0} s{}", idle.seconds, cpu.unwrap_or_default())?;
        }
        if let Some(load) = &self.load {
            load.fmt(f)?;
        }
        if let Some(beside) = &self.beside {
            writeln!(f, "the room beside")?;
            beside.fmt(f)?;
        }
        if let Some(stalled) = &self.stalled {
            stalled.fmt(f)?;
        }
        Ok(())
    }
}

impl Outcome {
    fn title(&self) -> String {
        let name = self.scenario.map(|scenario| format!("{}: ", scenario.name())).unwrap_or_default();
        let pace = match self.pace {
            Some(Pace::Rate(rate)) => {
                format!(", {rate} messages/s of {} bytes of data", count(self.data_bytes as u64))
            }
            Some(Pace::InFlight { window, .. }) => {
                format!(", {window} messages of {} bytes of data in flight", count(self.data_bytes as u64))
            }
            None => String::new(),
        };
        let rooms =
            if self.rooms == 1 { "1 room".into() } else { format!("{} rooms", count(self.rooms.into())) };
        format!("{name}{} connections in {rooms}{pace}", count(self.connections.into()))
    }

    fn fmt_server(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        match &self.unmeasured {
            None => row!(f, "server", "{} (pid {})", self.target, pids.join(", ")),
            Some(why) => row!(f, "server", "{}; its CPU and memory aren't known: {why}", self.target),
        }
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, rate) = (count(self.connections.into()), whole(self.per_second));
        let cpu = self.server_cpu_us.map(|cpu| format!("; server CPU {cpu:.1} µs each"));
        let memory = self.server_resident_bytes.map(|grown| format!(", {} resident each", bytes(grown)));
        row!(
            f,
            "connected",
            "{connections} in {:.2} s ({rate}/s){}{}",
            self.seconds,
            cpu.unwrap_or_default(),
            memory.unwrap_or_default()
        )
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row!(f, "published", "{} in {:.1} s", count(self.published), self.seconds)?;
        row!(f, "acked", "{} of {}", count(self.acked), count(self.published))?;
        row!(f, "delivered", "{} of {}", count(self.delivered), count(self.expected))?;
        row!(f, "lost", "{}", count(self.lost))?;
        row!(f, "doubled", "{}", count(self.doubled))?;
        row!(f, "out of order", "{}", count(self.out_of_order))?;
        self.fmt_faults(f)?;
        for (name, latency) in [("ack", self.ack), ("delivery", self.delivery)] {
            if let Some(latency) = latency {
                row!(f, name, "{latency}")?;
            }
        }
        self.cost.iter().try_for_each(|cost| cost.fmt(f))
    }
}

impl Load {
    fn fmt_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [("unanswered", self.unanswered), ("cut off", self.cut_off)] {
            if value > 0 {
                row!(f, name, "{}", count(value))?;
            }
        }
        for (what, fault) in &self.faults {
            row!(f, "fault", "{} × {what}: {}", count(fault.count), fault.example)?;
        }
        Ok(())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p99_us, p999_us, max_us } = *self;
        let [p50, p99, p999, max] = [p50_us, p99_us, p999_us, max_us].map(micros);
        write!(f, "p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}")
    }
}

impl fmt::Display for LoadCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server_cpu_us_per_delivery: cpu, server_user_us_per_delivery: user, .. } = self;
        let per_ack = self.server_cpu_us_per_ack.map(|cpu| format!(", {cpu:.2} µs an ack"));
        row!(
            f,
            "server CPU",
            "{cpu:.2} µs a delivery ({user:.2} in user space){}, {:.0} % of a core",
            per_ack.unwrap_or_default(),
            self.server_cores * 100.0
        )?;
        row!(f, "bench CPU", "{:.0} % of a core", self.client_cores * 100.0)
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the same, with {} of the readers not reading", self.readers)?;
        self.load.fmt(f)?;
        if let Some(ratio) = self.p99_ratio {
            row!(f, "p99", "{ratio:.2} × that without")?;
        }
        if let Some(growth) = self.server_growth_bytes {
            row!(f, "server memory", "grew by {}", bytes(growth))?;
        }
        Ok(())
    }
}
