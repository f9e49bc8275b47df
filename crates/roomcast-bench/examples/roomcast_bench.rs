//! The bench without the rest of Roomcast: `cargo run --release --example roomcast_bench -- bench --help`.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
enum Cli {
    Bench(roomcast_bench::Args),
}

fn main() -> ExitCode {
    let Cli::Bench(args) = Cli::parse();
    match roomcast_bench::run(&args) {
        Ok(report) if args.json() => println!("{}", serde_json::json!(report)),
        Ok(report) => print!("{report}"),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
