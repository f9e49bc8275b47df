//! `roomcast verify`: judges recorded histories. Reads files and prints; the rules are `roomcast-history`'s.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use roomcast_history::{Counts, Event, Finding, History};
use serde_json::{Value, json};

use crate::{console, failure::Failure};

const EXAMPLES: &str = "\
Examples:
  roomcast verify history.jsonl
  roomcast verify --json runs/*.jsonl | jq '.[].findings[]'
  recorder | roomcast verify -                      from standard input

A history is what clients did and saw, one JSON object a line:
  {\"ev\":\"pub\",\"client\":\"ada\",\"room\":\"lobby\",\"id\":\"m1\"}
  {\"ev\":\"ack\",\"client\":\"ada\",\"room\":\"lobby\",\"id\":\"m1\",\"epoch\":\"k3\",\"seq\":1}
docs/history.md has all of it, and the rules. The exit status is 1 if a promise was broken or a file can't be judged.";

/// Judge recorded histories: every message once and in order, or told
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Histories as JSON lines, each judged by itself; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Tells every finding; fails if there is one.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let judged = self.files.iter().map(|file| Ok((file.as_str(), judge(file)?)));
        let judged = judged.collect::<Result<Vec<_>, Failure>>()?;
        if self.json {
            console::json(&judged.iter().map(|(file, history)| as_json(file, history)).collect())?;
        } else {
            judged.iter().try_for_each(|(file, history)| tell(file, history))?;
        }
        let kept = judged.iter().all(|(_, history)| history.findings().is_empty());
        if kept { Ok(()) } else { Err(Failure::Silent) }
    }
}

fn judge(file: &str) -> Result<History, Failure> {
    let unread = |error: io::Error| Failure::said(format!("can't read {file}: {error}"));
    let lines: Box<dyn BufRead> = match file {
        "-" => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(file).map_err(unread)?)),
    };
    let mut history = History::default();
    for (index, line) in lines.lines().enumerate() {
        let (number, line) = (index + 1, line.map_err(unread)?);
        let event = Event::from_line(&line).map_err(|error| no_event(file, number, &line, &error))?;
        history.observe(number, &event);
    }
    if history.counts().events == 0 {
        let help = "was anything recorded? docs/history.md says what stands in a history";
        return Err(Failure::with_help(format!("{file} holds no event, so there is nothing to judge"), help));
    }
    Ok(history)
}

/// Why a line is no event, and what to do about it.
fn no_event(file: &str, number: usize, line: &str, error: &serde_json::Error) -> Failure {
    let why = error.to_string().replace(" at line 1 column", " at column");
    let seen: String = line.chars().take(200).collect();
    let help = if error.is_eof() {
        "the line is cut short: was the recorder ended while it wrote? Without that line the rest can be judged"
    } else {
        "docs/history.md lists the events and their fields"
    };
    Failure::with_help(format!("{file}:{number}: no event: {why}\n  {seen}"), help)
}

fn as_json(file: &str, history: &History) -> Value {
    let findings = history.findings();
    json!({ "file": file, "ok": findings.is_empty(), "counts": history.counts(), "findings": findings })
}

fn tell(file: &str, history: &History) -> Result<(), Failure> {
    history.findings().iter().try_for_each(|finding| console::line(sentence(file, finding)))?;
    console::line(summary(file, history.findings().len(), &history.counts()))
}

fn sentence(file: &str, finding: &Finding) -> String {
    let Finding { rule, line, against, room, message } = finding;
    let against = against.map(|line| format!(" (see line {line})")).unwrap_or_default();
    format!("{file}:{line}: {}: in {room}, {message}{against}", rule.name())
}

fn summary(file: &str, broken: usize, counts: &Counts) -> String {
    let Counts { events, acks, received, resumed, resets, ended } = counts;
    let verdict = match broken {
        0 => "every promise kept".into(),
        1 => "1 promise broken".into(),
        many => format!("{many} promises broken"),
    };
    let unended = match ended {
        0 => "\nno reader ended: whether an acked message was lost could not be judged",
        _ => "",
    };
    format!(
        "{file}: {verdict}; {events} events: {acks} acks, {received} received, {resumed} resumed, {resets} resets, \
         {ended} readers at the end{unended}"
    )
}
