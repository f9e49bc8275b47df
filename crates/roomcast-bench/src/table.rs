//! The published table: which figure of which scenario answers for each row, its target, and Markdown.

use std::fmt;

use serde::Serialize;

use crate::args::{LoadArgs, ServerArgs, TableArgs};
use crate::comparison::{Comparison, Medians};
use crate::error::Error;
use crate::figure::{Figure, short};
use crate::plan::{Plan, Scenario, Until};
use crate::progress::Progress;
use crate::report::{Load, Outcome};

/// All rows, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// How often floor and server were measured for each row.
    pub runs: u32,
    /// The kernel, where known, and the number of CPUs.
    pub machine: String,
    /// The rows in the order of the table.
    pub rows: Vec<Row>,
    /// What the rows were taken from.
    pub comparisons: Vec<Comparison>,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub work: &'static str,
    /// What was measured.
    #[serde(flatten)]
    pub medians: Medians,
    /// What it must reach.
    pub target: Target,
    /// Whether it does; `None` where nothing is asked.
    pub met: Option<bool>,
}

/// What a row must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At most so much, in the figure's unit.
    AtMost(f64),
    /// At most so many times the floor's.
    OfFloor(f64),
    /// Nothing: the row is there to be seen.
    Shown,
}

/// A measurement that rows are taken from: a scenario, or a variation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Plain(Scenario),
    /// Acks count only when the publisher's own copy has come too.
    AcksUntilDelivered,
    /// Rooms in which the server waits for the next tick.
    Coalesced,
}

struct Spec {
    work: Work,
    title: &'static str,
    figure: Figure,
    target: Target,
}

const fn spec(work: Work, title: &'static str, figure: Figure, target: Target) -> Spec {
    Spec { work, title, figure, target }
}

const MIB: f64 = 1_048_576.0;

/// The rows and their targets.
const SPECS: [Spec; 16] = {
    use Figure::{
        CpuPerAck, CpuPerConnect, CpuPerDelivery, DeliveryP99, IdleCpuPerSecond, ResidentPerConnection,
        StalledGrowth, StalledP99Ratio, UserPerDelivery,
    };
    use Scenario::{
        Acks, Beside, Coalesce, Connect, Idle, LargeRoom, LargeRoomClosed, SmallRooms, StalledReader,
    };
    use Target::{AtMost, OfFloor, Shown};
    use Work::{AcksUntilDelivered, Coalesced, Plain};
    [
        spec(Plain(LargeRoom), "1 room × 1,000 members at 50 msg/s", CpuPerDelivery, OfFloor(1.2)),
        spec(Plain(LargeRoom), "the same", UserPerDelivery, AtMost(0.3)),
        spec(Plain(LargeRoomClosed), "the same room, closed loop, 4 in flight", CpuPerDelivery, OfFloor(0.6)),
        spec(Plain(LargeRoomClosed), "the same", UserPerDelivery, AtMost(0.3)),
        spec(Plain(SmallRooms), "1,000 rooms × 10 members, acks included", CpuPerDelivery, OfFloor(1.3)),
        spec(Plain(SmallRooms), "the same", UserPerDelivery, AtMost(0.6)),
        spec(Plain(Beside), "50 rooms × 10 beside one of 8,000 under load", DeliveryP99, AtMost(10_000.0)),
        spec(Plain(Acks), "acked publishes, 64 in flight on one connection", CpuPerAck, AtMost(2.5)),
        spec(AcksUntilDelivered, "the same, own copies awaited too", CpuPerAck, Shown),
        spec(Plain(Idle), "10,000 joined, idle connections", ResidentPerConnection, AtMost(2_048.0)),
        spec(Plain(Idle), "the same, over 10 s", IdleCpuPerSecond, Shown),
        spec(Plain(Connect), "a new connection: handshake, join, ack", CpuPerConnect, AtMost(40.0)),
        spec(Plain(StalledReader), "one of 20 readers stops at 5,000 msg/s", StalledP99Ratio, AtMost(1.3)),
        spec(Plain(StalledReader), "the same", StalledGrowth, AtMost(MIB)),
        spec(Plain(Coalesce), "200 members at 1,000 msg/s", CpuPerDelivery, Shown),
        spec(Coalesced, "the same with `coalesce_ms = 4`", CpuPerDelivery, Shown),
    ]
};

impl Work {
    fn scenario(self) -> Scenario {
        match self {
            Self::Plain(scenario) => scenario,
            Self::AcksUntilDelivered => Scenario::Acks,
            Self::Coalesced => Scenario::Coalesce,
        }
    }

    fn is_wanted(self, args: &TableArgs) -> bool {
        let possible = self != Self::Coalesced || args.coalesced_rooms.is_some();
        possible && (args.only.is_empty() || args.only.contains(&self.scenario()))
    }

    fn measure(self, args: &TableArgs, progress: &Progress) -> Result<Comparison, Error> {
        let load = LoadArgs {
            scenario: Some(self.scenario()),
            until: (self == Self::AcksUntilDelivered).then_some(Until::Delivered),
            room_prefix: args.coalesced_rooms.clone().filter(|_| self == Self::Coalesced),
            duration: args.duration,
            warmup: args.warmup,
            ..LoadArgs::default()
        };
        let server = ServerArgs { ..args.server.clone() };
        Comparison::measure(&Plan::new(&load)?, &server, args.runs, progress)
    }
}

impl Table {
    pub(crate) fn measure(args: &TableArgs, progress: &Progress) -> Result<Self, Error> {
        let mut measured: Vec<(Work, Comparison)> = Vec::new();
        let mut rows = Vec::new();
        for spec in SPECS.iter().filter(|spec| spec.work.is_wanted(args)) {
            if measured.last().is_none_or(|(work, _)| *work != spec.work) {
                measured.push((spec.work, spec.work.measure(args, progress)?));
            }
            let medians = measured.last().and_then(|(_, comparison)| comparison.medians_of(spec.figure));
            rows.extend(medians.map(|medians| spec.row(medians)));
        }
        let comparisons = measured.into_iter().map(|(_, comparison)| comparison).collect();
        Ok(Self { runs: args.runs, machine: machine(), rows, comparisons })
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.comparisons.iter().all(Comparison::is_clean)
    }
}

impl Spec {
    fn row(&self, medians: Medians) -> Row {
        let met = match self.target {
            Target::AtMost(max) => medians.server.map(|server| server <= max),
            Target::OfFloor(max) => medians.ratio.map(|ratio| ratio <= max),
            Target::Shown => None,
        };
        Row { work: self.title, medians, target: self.target, met }
    }
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cpus} CPUs, {} {}", std::env::consts::OS, kernel.trim())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(max) => write!(f, "≤ {}", short(*max)),
            Self::OfFloor(max) => write!(f, "≤ {max} × floor"),
            Self::Shown => f.write_str("shown"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Medians of {}, floor and server in turn; {}.\n", self.runs, self.machine)?;
        writeln!(f, "| work, 128 B | figure | floor | Roomcast | ratio | target | met |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        self.rows.iter().try_for_each(|row| row.fmt(f))?;
        writeln!(f, "\n| run of the server | delivered of expected | lost | doubled | out of order |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        let runs = self.comparisons.iter().flat_map(|comparison| &comparison.server);
        runs.clone().try_for_each(|outcome| fmt_counts(f, outcome))?;
        let unclean = runs.filter(|outcome| !outcome.is_clean());
        unclean.clone().try_for_each(|outcome| write!(f, "\nNot clean:\n\n```\n{outcome}```\n"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Medians { figure, floor, server, ratio } = self.medians;
        let cell = |value: Option<f64>| value.map(short).unwrap_or_default();
        let met = self.met.map(|met| if met { "yes" } else { "**no**" }).unwrap_or_default();
        let (floor, server, ratio) = (cell(floor), cell(server), cell(ratio));
        writeln!(
            f,
            "| {} | {} | {floor} | {server} | {ratio} | {} | {met} |",
            self.work,
            figure.name(),
            self.target
        )
    }
}

fn fmt_counts(f: &mut fmt::Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let name = outcome.scenario.map(Scenario::name).unwrap_or_default();
    let stalled = outcome.stalled.as_ref().map(|stalled| &stalled.load);
    let loads: Vec<&Load> = outcome.load.iter().chain(&outcome.beside).chain(stalled).collect();
    let sum = |of: fn(&Load) -> u64| crate::text::count(loads.iter().map(|load| of(load)).sum());
    let (delivered, expected) = (sum(|load| load.delivered), sum(|load| load.expected));
    let (lost, doubled) = (sum(|load| load.lost), sum(|load| load.doubled));
    writeln!(
        f,
        "| {name} | {delivered} of {expected} | {lost} | {doubled} | {} |",
        sum(|load| load.out_of_order)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_it_is_met() {
        let figure = Figure::CpuPerDelivery;
        let medians = Medians { figure, floor: Some(2.0), server: Some(2.2), ratio: Some(1.1) };
        let check = |target, expected: &str| {
            let row = spec(Work::Plain(Scenario::LargeRoom), "work", figure, target).row(medians);
            assert_eq!(
                row.to_string(),
                format!("| work | CPU µs per delivery | 2.00 | 2.20 | 1.10 | {expected} |\n")
            );
        };
        check(Target::OfFloor(1.2), "≤ 1.2 × floor | yes");
        check(Target::OfFloor(1.05), "≤ 1.05 × floor | **no**");
        check(Target::AtMost(2.5), "≤ 2.50 | yes");
        check(Target::AtMost(2.1), "≤ 2.10 | **no**");
        check(Target::Shown, "shown | ");
    }

    #[test]
    fn rows_of_one_measurement_stand_together() {
        let mut works: Vec<Work> = SPECS.iter().map(|spec| spec.work).collect();
        works.dedup();
        for (at, work) in works.iter().enumerate() {
            assert!(!works[..at].contains(work), "{work:?} would be measured twice");
        }
    }
}
