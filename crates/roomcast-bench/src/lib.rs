//! The load generator behind `roomcast bench`: it opens thousands of connections, publishes, checks that every
//! reader gets every message once and in order, and tells what that cost the server.
//!
//! It owns the client side of a measurement, the *floor* to compare with, and the reading of `/proc`. It knows
//! the wire and nothing of the server's insides, so that it measures any build, anywhere.
//!
//! The binary hands it parsed arguments and prints the [`Report`]:
//!
//! ```
//! use clap::Parser;
//!
//! #[derive(Parser)]
//! enum Cli {
//!     Bench(roomcast_bench::Args),
//! }
//!
//! fn main() -> Result<(), roomcast_bench::Error> {
//!     # if true { return Ok(()); }
//!     let Cli::Bench(args) = Cli::parse();
//!     let report = roomcast_bench::run(&args)?;
//!     print!("{report}");
//!     Ok(())
//! }
//! ```
//!
//! How a measurement goes: a plan (a scenario, or knobs) is carried out on one server in phases: connect, idle,
//! warm up, measure. Each client thread is a worker with connections, and whole rooms, of its own; between the
//! phases the server's processes are sampled.

mod args;
mod comparison;
mod conduct;
mod connection;
mod error;
mod figure;
mod floor;
mod inflight;
mod limits;
mod load;
mod pace;
mod plan;
mod process;
mod progress;
mod report;
mod sequence;
mod server;
mod table;
mod tally;
mod text;
mod ticker;
mod wire;
mod worker;

pub use args::Args;
pub use comparison::{Comparison, Medians};
pub use error::Error;
pub use figure::Figure;
pub use floor::FloorServer;
pub use plan::{Pace, Scenario, Until};
pub use report::{Connect, Idle, Latency, Load, LoadCost, Outcome, Report, Stalled};
pub use table::{Row, Table, Target};
pub use tally::Fault;

use args::Command;
use conduct::conduct;
use plan::Plan;
use progress::Progress;
use server::Server;

/// Does what the arguments ask for. With the hidden `floor-server` it serves until its standard input ends.
pub fn run(args: &Args) -> Result<Report, Error> {
    match &args.command {
        None if args.vs_floor => {
            let plan = Plan::new(&args.load)?;
            Comparison::measure(&plan, &args.server, args.runs, &Progress::new()).map(Report::Comparison)
        }
        None => run_once(&Plan::new(&args.load)?, || Server::open(&args.server)),
        Some(Command::Floor { load }) => {
            let plan = Plan::new(load)?;
            run_once(&plan, || comparison::open_floor(&plan))
        }
        Some(Command::Table(args)) => Table::measure(args, &Progress::new()).map(Report::Table),
        Some(Command::FloorServer(args)) => serve_floor(args.frame_bytes),
    }
}

fn run_once(plan: &Plan, open: impl FnOnce() -> Result<Server, Error>) -> Result<Report, Error> {
    // First of all, so that a server started for the run inherits it.
    limits::allow_connections(plan.connections())?;
    Ok(Report::Run(Box::new(conduct(plan, &open()?, &Progress::new())?)))
}

fn serve_floor(frame_bytes: usize) -> Result<Report, Error> {
    let server = FloorServer::bind(frame_bytes).map_err(Error::io("listen on 127.0.0.1"))?;
    println!("http://{}", server.address().map_err(Error::io("ask for the port"))?);
    // The bench that started this holds the other end, so the floor never outlives it.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let Err(error) = server.run();
    Err(Error::io("poll")(error))
}
