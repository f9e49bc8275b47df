//! Autobahn's WebSocket cases (through the Python package kosoku) against the example `ws_echo`.
//!
//! Any case that isn't conforming fails the step and is named; so does a run of too few cases.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::log::Log;
use crate::place;

/// Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, sizes, auto-fragmentation.
const CHAPTERS: [&str; 9] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"];
/// One of each kind of compression: sizes, fragments, window sizes.
const COMPRESSION: [&str; 7] = ["12.1.1", "12.1.10", "12.2.5", "12.3.3", "13.1.1", "13.3.7", "13.7.1"];
const ALL_COMPRESSION: [&str; 2] = ["12.*", "13.*"];
/// What the suite holds for the selections above; fewer means that the selection broke.
const CASES: usize = 301 + COMPRESSION.len();
const CASES_LONG: usize = 517;

/// Runs the cases; the report is left beside the logs.
pub(crate) fn run(all_compression: bool, log: &mut Log) -> Result<String, String> {
    let report = place::scratch().join("autobahn");
    let _ = fs::remove_dir_all(&report);
    let mut echo = EchoServer::start()?;
    let url = echo.url()?;
    let compression: &[&str] = if all_compression { &ALL_COMPRESSION } else { &COMPRESSION };
    let cases = CHAPTERS.iter().chain(compression).flat_map(|case| ["--include", case]);
    let mut kosoku = Command::new(place::python("kosoku"));
    kosoku.args(["--parallelism", "2", "--outdir"]).arg(&report).args(cases).arg(url);
    let ran = log.run(&mut kosoku);
    // kosoku exits with 1 for a failed case: what matters stands in its report, if it wrote one.
    let verdicts = File::open(report.join("index.json")).map_err(|error| match ran {
        Ok(()) => format!("no report: {error}"),
        Err(why) => why,
    })?;
    let index = serde_json::from_reader(verdicts).map_err(|error| format!("report: {error}"))?;
    judge(&index, if all_compression { CASES_LONG } else { CASES })
}

/// `index` is Autobahn's `{agent: {case: {behavior, behaviorClose, …}}}`.
fn judge(index: &Value, expected: usize) -> Result<String, String> {
    let agents = index.as_object().into_iter().flat_map(serde_json::Map::values);
    let cases: Vec<_> = agents.filter_map(Value::as_object).flatten().collect();
    let bad: Vec<_> = cases.iter().filter_map(|(case, verdict)| nonconforming(case, verdict)).collect();
    if !bad.is_empty() {
        return Err(format!("{} of {} cases: {}", bad.len(), cases.len(), bad.join(", ")));
    }
    if cases.len() < expected {
        return Err(format!("only {} cases were run, of {expected}", cases.len()));
    }
    Ok(tally(&cases))
}

/// `UNIMPLEMENTED` counts as bad: the echo server offers everything that the selected cases try.
fn nonconforming(case: &str, verdict: &Value) -> Option<String> {
    let behaviour = verdict["behavior"].as_str().unwrap_or("missing");
    let close = verdict["behaviorClose"].as_str().unwrap_or("missing");
    let fine =
        matches!(behaviour, "OK" | "NON-STRICT" | "INFORMATIONAL") && matches!(close, "OK" | "INFORMATIONAL");
    (!fine).then(|| format!("{case} {behaviour} (close {close})"))
}

fn tally(cases: &[(&String, &Value)]) -> String {
    let mut counts = BTreeMap::new();
    for (_, verdict) in cases {
        *counts.entry(verdict["behavior"].as_str().unwrap_or_default()).or_insert(0) += 1;
    }
    counts.iter().map(|(behaviour, count)| format!("{count} {behaviour}")).collect::<Vec<_>>().join(", ")
}

/// `ws_echo` on a port of its own choosing, stopped when dropped.
struct EchoServer(Child);

impl EchoServer {
    fn start() -> Result<Self, String> {
        let program = place::echo_server();
        let mut command = Command::new(&program);
        command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().map(Self).map_err(|error| format!("cannot start {}: {error}", program.display()))
    }

    /// Reads `listening on ws://ADDR`, its first line.
    fn url(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let out = self.0.stdout.take().ok_or("ws_echo has no standard output")?;
        BufReader::new(out).read_line(&mut line).map_err(|error| format!("ws_echo: {error}"))?;
        let address = line.split_whitespace().find(|word| word.starts_with("ws://"));
        address.map(str::to_owned).ok_or_else(|| format!("ws_echo did not say where it listens: `{line}`"))
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use serde_json::json;

    #[test]
    fn a_failed_case_is_named() {
        let index = json!({"agent": {
            "1.1.1": {"behavior": "OK", "behaviorClose": "OK"},
            "7.1.5": {"behavior": "FAILED", "behaviorClose": "WRONG CODE"},
        }});
        assert_eq!(judge(&index, 2).unwrap_err(), "1 of 2 cases: 7.1.5 FAILED (close WRONG CODE)");
    }

    #[test]
    fn a_run_of_too_few_cases_is_no_success() {
        let index = json!({"agent": {"1.1.1": {"behavior": "OK", "behaviorClose": "OK"}}});
        assert_eq!(judge(&index, 1).unwrap(), "1 OK");
        assert_eq!(judge(&index, 2).unwrap_err(), "only 1 cases were run, of 2");
    }
}
