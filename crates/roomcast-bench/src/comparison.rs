//! Floor and server measured in turn, and the medians side by side.

use std::fmt;

use serde::Serialize;

use crate::args::ServerArgs;
use crate::conduct::conduct;
use crate::error::Error;
use crate::figure::{Figure, median, short};
use crate::limits::allow_connections;
use crate::plan::{Plan, Scenario};
use crate::progress::Progress;
use crate::report::Outcome;
use crate::server::Server;
use crate::wire;

/// Bytes of a room's name behind its prefix: a colon, eight hex digits, a colon, four digits.
const ROOM_SUFFIX_BYTES: usize = 14;

/// Floor and server in turn, so that what else the machine does meanwhile hits both alike.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The named load, if it was one.
    pub scenario: Option<Scenario>,
    /// How often each was measured.
    pub runs: u32,
    /// The medians.
    pub medians: Vec<Medians>,
    /// Every run of the floor; none where there is no floor for the load.
    pub floor: Vec<Outcome>,
    /// Every run of the server.
    pub server: Vec<Outcome>,
}

/// The medians of one figure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Medians {
    /// Which.
    pub figure: Figure,
    /// Of the floor.
    pub floor: Option<f64>,
    /// Of the server.
    pub server: Option<f64>,
    /// Of the server, over that of the floor.
    pub ratio: Option<f64>,
}

/// The floor for a plan: deliveries as large as Roomcast's.
pub(crate) fn open_floor(plan: &Plan) -> Result<Server, Error> {
    let room = "x".repeat(plan.room_prefix.len() + ROOM_SUFFIX_BYTES);
    Server::floor(wire::delivery_bytes(plan.data_bytes, &room))
}

impl Comparison {
    /// Measures the floor (unless the load has none) and the server `runs` times in turn.
    pub(crate) fn measure(
        plan: &Plan,
        server: &ServerArgs,
        runs: u32,
        progress: &Progress,
    ) -> Result<Self, Error> {
        // First of all, so that the servers started below inherit it.
        allow_connections(plan.connections())?;
        let has_floor = plan.scenario.is_none_or(Scenario::has_floor);
        let (mut floors, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            if has_floor {
                floors.push(conduct(plan, &open_floor(plan)?, progress)?);
            }
            servers.push(conduct(plan, &Server::open(server)?, progress)?);
        }
        let medians = Figure::ALL.into_iter().filter_map(|figure| Medians::new(figure, &floors, &servers));
        Ok(Self { scenario: plan.scenario, runs, medians: medians.collect(), floor: floors, server: servers })
    }

    /// The medians of one figure; `None` if it wasn't measured.
    pub fn medians_of(&self, figure: Figure) -> Option<Medians> {
        self.medians.iter().find(|medians| medians.figure == figure).copied()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.floor.iter().chain(&self.server).all(Outcome::is_clean)
    }
}

impl Medians {
    fn new(figure: Figure, floors: &[Outcome], servers: &[Outcome]) -> Option<Self> {
        let of =
            |outcomes: &[Outcome]| median(outcomes.iter().filter_map(|outcome| figure.of(outcome)).collect());
        let (floor, server) = (of(floors), of(servers));
        floor.or(server)?;
        let ratio = floor.zip(server).map(|(floor, server)| server / floor).filter(|ratio| ratio.is_finite());
        Some(Self { figure, floor, server, ratio })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.scenario.map_or_else(|| "load".to_owned(), Scenario::name);
        writeln!(f, "{:<36}{:>12}{:>12}{:>9}", name, "floor", "server", "ratio")?;
        let cell = |value: Option<f64>| value.map(short).unwrap_or_default();
        for Medians { figure, floor, server, ratio } in &self.medians {
            let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            writeln!(f, "{:<36}{:>12}{:>12}{:>9}", figure.name(), cell(*floor), cell(*server), ratio)?;
        }
        writeln!(f, "medians of {}, in turn", self.runs)?;
        let unclean = self.floor.iter().chain(&self.server).filter(|outcome| !outcome.is_clean());
        unclean.clone().try_for_each(|outcome| write!(f, "\nNOT CLEAN: {outcome}"))
    }
}
