//! What one measurement does: the named scenarios and the knobs behind them. Decided before anything connects.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::args::LoadArgs;
use crate::error::Error;
use crate::wire;

/// Rooms are numbered in four digits, so that every room's frames have one size.
const ROOMS_MAX: u32 = 10_000;

/// Messages per second in the room beside.
const CROWD_RATE: f64 = 10.0;

/// The server takes 64 KiB with the envelope.
const DATA_BYTES_MAX: usize = 65_000;

/// A load with a name: one row of the published table, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// 1 room of 1,000 members at 50 messages/s.
    LargeRoom,
    /// 1 room of 1,000 members, closed loop, 4 in flight.
    LargeRoomClosed,
    /// 1,000 rooms of 10 members at 2,000 messages/s in all.
    SmallRooms,
    /// 50 rooms of 10 members at 100 messages/s in all, beside a room of 8,000 members at 10/s.
    Beside,
    /// Acked publishes, 64 in flight on one connection alone in its room.
    Acks,
    /// 10,000 joined connections that say nothing for 10 s.
    Idle,
    /// 5,000 new connections: handshake, join, ack.
    Connect,
    /// 1 room of 20 at 5,000 messages/s, first as it is, then with one reader that stops reading.
    StalledReader,
    /// 1 room of 200 members at 1,000 messages/s: what `coalesce_ms` saves.
    Coalesce,
}

impl Scenario {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the floor can carry it: it has no queue for a stalled reader and no fairness between rooms.
    pub(crate) fn has_floor(self) -> bool {
        !matches!(self, Self::StalledReader | Self::Beside)
    }

    fn plan(self) -> Plan {
        let base = Plan::default();
        let group = |connections, rooms, pace| Group { connections, rooms, pace, ..Group::default() };
        let closed = |window, until| Some(Pace::InFlight { window, until });
        let rate = |per_second| Some(Pace::Rate(per_second));
        match self {
            Self::LargeRoom => Plan { group: group(1_000, 1, rate(50.0)), ..base },
            Self::LargeRoomClosed => Plan { group: group(1_000, 1, closed(4, Until::Delivered)), ..base },
            Self::SmallRooms => Plan { group: group(10_000, 1_000, rate(2_000.0)), ..base },
            Self::Beside => Plan {
                group: group(500, 50, rate(100.0)),
                crowd: Some(group(8_000, 1, rate(CROWD_RATE))),
                ..base
            },
            Self::Acks => Plan { group: group(1, 1, closed(64, Until::Ack)), ..base },
            Self::Idle => Plan { group: group(10_000, 1_000, None), idle: Duration::from_secs(10), ..base },
            Self::Connect => Plan { group: group(5_000, 500, None), ..base },
            // The warm-up fills the room's log and its table of 100,000 ids, so that what memory grows by
            // afterwards is the stalled reader's.
            Self::StalledReader => Plan {
                group: group(20, 1, rate(5_000.0)),
                stalled: 1,
                warmup: Duration::from_secs(24),
                ..base
            },
            Self::Coalesce => Plan { group: group(200, 1, rate(1_000.0)), ..base },
        }
    }
}

/// When a publish gives its place in a closed loop to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Its ack has come.
    Ack,
    /// Its ack has come, and every reader of the room has got it.
    #[default]
    Delivered,
}

/// How fast messages are published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Messages per second, all rooms of the group together, whatever the server does (open loop).
    Rate(f64),
    /// At most `window` at a time, all rooms of the group together (closed loop).
    InFlight {
        /// How many.
        window: u32,
        /// Until when one counts.
        until: Until,
    },
}

/// Connections that do the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) connections: u32,
    /// Connection `i` joins room `i` modulo this.
    pub(crate) rooms: u32,
    /// Members of each room that publish, in turn; all of them if there are fewer.
    pub(crate) publishers: u32,
    pub(crate) pace: Option<Pace>,
}

impl Default for Group {
    fn default() -> Self {
        Self { connections: 100, rooms: 1, publishers: u32::MAX, pace: None }
    }
}

impl Group {
    /// The group cut in `threads` parts, each with whole rooms and its share of the pace.
    pub(crate) fn shares(&self, threads: u32) -> Vec<Self> {
        let threads = threads.min(self.rooms);
        let members =
            |room: u32| self.connections / self.rooms + u32::from(room < self.connections % self.rooms);
        let share = |thread: u32| {
            let range = self.rooms * thread / threads..self.rooms * (thread + 1) / threads;
            let rooms = range.len() as u32;
            let pace = self.pace.map(|pace| pace.share(rooms, self.rooms));
            Self { connections: range.map(members).sum(), rooms, pace, ..self.clone() }
        };
        (0..threads).map(share).collect()
    }
}

impl Pace {
    fn share(self, rooms: u32, of: u32) -> Self {
        match self {
            Self::Rate(rate) => Self::Rate(rate * f64::from(rooms) / f64::from(of)),
            Self::InFlight { window, until } => {
                Self::InFlight { window: (window * rooms / of).max(1), until }
            }
        }
    }

    pub(crate) fn until(self) -> Until {
        match self {
            Self::Rate(_) => Until::Ack,
            Self::InFlight { until, .. } => until,
        }
    }
}

/// One measurement, settled in every point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) scenario: Option<Scenario>,
    /// The connections that are reported on.
    pub(crate) group: Group,
    /// Others that load the server meanwhile, on a thread of their own.
    pub(crate) crowd: Option<Group>,
    /// Readers of the group that stop reading in a second load.
    pub(crate) stalled: u32,
    pub(crate) idle: Duration,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// How long to wait for the last deliveries before they count as lost.
    pub(crate) settle: Duration,
    pub(crate) data_bytes: usize,
    pub(crate) room_prefix: String,
    pub(crate) presence: bool,
    /// Handshakes at a time.
    pub(crate) connect_window: u32,
    /// Threads that the group's connections are spread over.
    pub(crate) threads: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            scenario: None,
            group: Group { pace: Some(Pace::Rate(100.0)), ..Group::default() },
            crowd: None,
            stalled: 0,
            idle: Duration::ZERO,
            warmup: Duration::from_secs(2),
            duration: Duration::from_secs(10),
            settle: Duration::from_secs(10),
            data_bytes: 128,
            room_prefix: "bench".into(),
            presence: false,
            connect_window: 64,
            threads: 1,
        }
    }
}

/// Sets what was asked for and leaves the rest as it is.
fn set<T: Clone>(value: &mut T, asked: Option<&T>) {
    if let Some(asked) = asked {
        value.clone_from(asked);
    }
}

impl Plan {
    /// The scenario's plan with every knob turned that was given.
    pub(crate) fn new(args: &LoadArgs) -> Result<Self, Error> {
        let mut plan = args.scenario.map_or_else(Self::default, Scenario::plan);
        plan.scenario = args.scenario;
        plan.presence = args.presence;
        set(&mut plan.group.connections, args.connections.as_ref());
        set(&mut plan.group.rooms, args.rooms.as_ref());
        set(&mut plan.group.publishers, args.publishers.as_ref());
        set(&mut plan.stalled, args.stalled.as_ref());
        set(&mut plan.data_bytes, args.size.as_ref());
        set(&mut plan.room_prefix, args.room_prefix.as_ref());
        set(&mut plan.connect_window, args.connect_window.as_ref());
        set(&mut plan.threads, args.threads.as_ref());
        plan.set_pace(args);
        plan.set_times(args);
        plan.check()?;
        Ok(plan)
    }

    fn set_pace(&mut self, args: &LoadArgs) {
        if let Some(rate) = args.rate {
            self.group.pace = Some(Pace::Rate(rate));
        }
        if let Some(window) = args.inflight {
            self.group.pace = Some(Pace::InFlight { window, until: Until::default() });
        }
        if let (Some(asked), Some(Pace::InFlight { until, .. })) = (args.until, &mut self.group.pace) {
            *until = asked;
        }
        if let Some(connections) = args.crowd {
            let pace = Some(Pace::Rate(CROWD_RATE));
            self.crowd = (connections > 0).then(|| Group { connections, pace, ..Group::default() });
        }
        if let (Some(rate), Some(crowd)) = (args.crowd_rate, &mut self.crowd) {
            crowd.pace = Some(Pace::Rate(rate));
        }
    }

    fn set_times(&mut self, args: &LoadArgs) {
        let times = [
            (&mut self.idle, args.idle),
            (&mut self.warmup, args.warmup),
            (&mut self.duration, args.duration),
            (&mut self.settle, args.settle),
        ];
        for (time, asked) in times {
            if let Some(seconds) = asked {
                *time = Duration::from_secs_f64(seconds);
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        let Group { connections, rooms, .. } = self.group;
        let members = connections / rooms.max(1);
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:@~=+-".contains(&byte);
        if rooms == 0 || rooms > ROOMS_MAX || rooms > connections {
            return usage(format!(
                "--rooms is {rooms}: between 1 and {ROOMS_MAX}, and at most --connections ({connections})"
            ));
        }
        if self.stalled >= members.max(1) {
            return usage(format!(
                "--stalled is {} in rooms of {members}: someone must go on reading",
                self.stalled
            ));
        }
        if !(wire::DATA_BYTES_MIN..=DATA_BYTES_MAX).contains(&self.data_bytes) {
            return usage(format!(
                "--size is {}: between {} and {DATA_BYTES_MAX}",
                self.data_bytes,
                wire::DATA_BYTES_MIN
            ));
        }
        if self.room_prefix.is_empty() || self.room_prefix.len() > 64 || !self.room_prefix.bytes().all(name) {
            return usage(format!(
                "--room-prefix is {:?}: 1-64 of A-Z a-z 0-9 _ . : @ ~ = + -",
                self.room_prefix
            ));
        }
        Ok(())
    }

    /// Connections of the whole plan.
    pub(crate) fn connections(&self) -> u32 {
        self.group.connections + self.crowd.as_ref().map_or(0, |crowd| crowd.connections)
    }
}

fn usage<T>(what: String) -> Result<T, Error> {
    Err(Error::Usage(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_a_valid_plan() {
        for &scenario in Scenario::value_variants() {
            let plan = Plan::new(&LoadArgs { scenario: Some(scenario), ..LoadArgs::default() }).unwrap();
            assert!(plan.connections() <= 10_000, "{scenario:?} must fit the usual limit of 20,000 files");
        }
    }

    #[test]
    fn a_knob_overrides_its_scenario_and_nothing_else() {
        let args = LoadArgs {
            scenario: Some(Scenario::LargeRoomClosed),
            connections: Some(10),
            until: Some(Until::Ack),
            ..LoadArgs::default()
        };
        let plan = Plan::new(&args).unwrap();
        assert_eq!(plan.group.connections, 10);
        assert_eq!(plan.group.pace, Some(Pace::InFlight { window: 4, until: Until::Ack }));
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_its_value() {
        let check = |args: LoadArgs, seen: &str| {
            let text = Plan::new(&args).unwrap_err().to_string();
            assert!(text.contains(seen), "{text}");
        };
        check(LoadArgs { rooms: Some(101), ..LoadArgs::default() }, "--rooms is 101");
        check(LoadArgs { rooms: Some(0), ..LoadArgs::default() }, "--rooms is 0");
        check(LoadArgs { size: Some(3), ..LoadArgs::default() }, "--size is 3");
        check(LoadArgs { stalled: Some(100), ..LoadArgs::default() }, "--stalled is 100");
        check(
            LoadArgs { room_prefix: Some("a b".into()), ..LoadArgs::default() },
            "--room-prefix is \"a b\"",
        );
    }

    #[test]
    fn shares_add_up_to_the_group() {
        let group = Group { connections: 1_003, rooms: 7, pace: Some(Pace::Rate(70.0)), ..Group::default() };
        let shares = group.shares(3);
        assert_eq!(shares.iter().map(|share| share.connections).sum::<u32>(), 1_003);
        assert_eq!(shares.iter().map(|share| share.rooms).collect::<Vec<_>>(), [2, 2, 3]);
        let rates = shares.iter().map(|share| match share.pace {
            Some(Pace::Rate(rate)) => rate,
            _ => 0.0,
        });
        assert!((rates.sum::<f64>() - 70.0).abs() < 1e-9);
        assert_eq!(group.shares(9).len(), 7, "a room is never cut in two");
    }
}
