//! The command line of `roomcast bench`. It says what may be asked; what it means is the plan's.

use clap::Subcommand;

use crate::plan::{Scenario, Until};

const EXAMPLES: &str = "\
Examples:
  roomcast bench                                        100 clients in a room at 100 messages/s
  roomcast bench --connections 2000 --rooms 100 --rate 500
  roomcast bench --connections 1000 --inflight 4        as fast as deliveries come, 4 at a time
  roomcast bench --scenario large-room --vs-floor --runs 3
  roomcast bench --scenario acks --server-cmd 'roomcast dev --listen 127.0.0.1:0'
  roomcast bench floor --scenario large-room            the physical limit: one send() per socket
  roomcast bench table --server-cmd 'roomcast dev --listen 127.0.0.1:0' > table.md

Lost, doubled and out of order must all be 0; if one isn't, the report isn't clean and the
exit status is 1.
CPU and memory of the server are read from /proc, so they need Linux and a server on this machine.";

const TABLE_EXAMPLES: &str = "\
Examples:
  roomcast bench table --server-cmd 'roomcast serve --listen 127.0.0.1:0 --config bench.toml'
  roomcast bench table --only large-room --only acks --runs 5";

/// Measures a Roomcast server: what it delivers, how fast, and what that costs
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Measure the floor and the server in turn and print medians and ratios
    #[arg(long)]
    pub(crate) vs_floor: bool,
    /// How often each is measured with --vs-floor
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), requires = "vs_floor")]
    pub(crate) runs: u32,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Args {
    /// Whether the report is for a program.
    pub fn json(&self) -> bool {
        self.json
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure a bare loop of one `send()` per socket with the same client: the physical limit
    Floor {
        #[command(flatten)]
        load: LoadArgs,
    },
    /// Measure every row of the published table, floor and server in turn, and print Markdown
    #[command(after_help = TABLE_EXAMPLES)]
    Table(TableArgs),
    /// The server of `bench floor`
    #[command(hide = true)]
    FloorServer(FloorServerArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FloorServerArgs {
    /// Payload bytes of every frame it sends
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    pub(crate) frame_bytes: usize,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TableArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// How often floor and server are measured for each row
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Only the rows of this scenario; may be repeated
    #[arg(long, value_name = "SCENARIO", value_enum)]
    pub(crate) only: Vec<Scenario>,
    /// Seconds each load is measured [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Option<f64>,
    /// Seconds each load runs before that [default: 2; stalled-reader: 24, and less isn't enough]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warmup: Option<f64>,
    /// Prefix of rooms for which the server has `coalesce_ms = 4`: adds that row
    #[arg(long, value_name = "PREFIX")]
    pub(crate) coalesced_rooms: Option<String>,
}

/// Where the server is.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server: http, host and port, or ws and a path too [default: port 8000 of 127.0.0.1]
    #[arg(long, value_name = "URL", conflicts_with = "server_cmd")]
    pub(crate) url: Option<String>,
    /// Start this command for every run and read its address from what it prints
    #[arg(long, value_name = "COMMAND")]
    pub(crate) server_cmd: Option<String>,
    /// A token for all connections, sent as ?token=
    #[arg(long, value_name = "JWT", env = "ROOMCAST_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The server's process, children included, if it can't be found by its port
    #[arg(long, value_name = "PID", conflicts_with = "server_cmd")]
    pub(crate) pid: Option<u32>,
}

/// What to do with it. Everything is optional: a scenario, or the defaults, say the rest.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LoadArgs {
    /// A load with a name; the options below change it
    #[arg(long, value_enum)]
    pub(crate) scenario: Option<Scenario>,
    /// Clients, spread evenly over the rooms [default: 100]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: Option<u32>,
    /// Rooms [default: 1]
    #[arg(long, short = 'm', value_name = "M")]
    pub(crate) rooms: Option<u32>,
    /// Messages per second, all rooms together, whatever the server does (open loop) [default: 100]
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "inflight")]
    pub(crate) rate: Option<f64>,
    /// Messages on their way at a time, all rooms together (closed loop)
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) inflight: Option<u32>,
    /// When a message counts as done in a closed loop [default: delivered]
    #[arg(long, value_enum)]
    pub(crate) until: Option<Until>,
    /// Members of each room that publish, in turn [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) publishers: Option<u32>,
    /// Bytes of each message's `data` object [default: 128]
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<usize>,
    /// Seconds to measure [default: 10]
    #[arg(long, short = 'd', value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Option<f64>,
    /// Seconds of the same load before measuring [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warmup: Option<f64>,
    /// Seconds to wait for the last deliveries before they count as lost [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) settle: Option<f64>,
    /// Seconds to watch the joined connections do nothing [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle: Option<f64>,
    /// Readers that stop reading in a second load, to compare with the first [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) stalled: Option<u32>,
    /// Beside the rooms measured, one room with this many members under load
    #[arg(long, value_name = "N")]
    pub(crate) crowd: Option<u32>,
    /// Messages per second in that room [default: 10]
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) crowd_rate: Option<f64>,
    /// Join as members whose presence is told, not as mere readers
    #[arg(long)]
    pub(crate) presence: bool,
    /// What the rooms' names begin with [default: bench]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) room_prefix: Option<String>,
    /// Handshakes at a time [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connect_window: Option<u32>,
    /// Client threads; a room is never cut in two [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: Option<u32>,
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, 0.0..=86_400.0)
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.001..=10_000_000.0)
}

fn number(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let wanted = || format!("a number from {} to {}", range.start(), range.end());
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(wanted)
}
