//! One reader of one room: where it stands, and what it has been given since it was last told to start anew.
//! Judges its own way alone; what a message is, is for the log.

use std::collections::{BTreeMap, HashSet};

use crate::{End, Join, Position, Recv, Reset, Rule, history::Found, log::Log};

/// How many lost messages a finding lists.
const LISTED_MAX: usize = 10;

/// What is known of a reader.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    at: Option<Standing>,
    /// The line of a join whose position was not honoured: a reset is due.
    reset_due: Option<usize>,
}

/// Where a reader stands.
#[derive(Debug)]
struct Standing {
    position: Position,
    /// The line that brought it there.
    line: usize,
    /// The seq that it started from, and what it got since.
    start: u64,
    given: HashSet<u64>,
}

impl Standing {
    fn starts_at(position: Position, line: usize) -> Self {
        Self { start: position.seq, position, line, given: HashSet::new() }
    }
}

impl Reader {
    pub(crate) fn join(&mut self, join: &Join, found: &mut Found<'_>) {
        self.reset_due = None;
        if join.from > join.head.seq {
            let message = format!("{} goes on from {}, above the head {}", join.client, join.from, join.head);
            found.broken(Rule::Resume, None, message);
        }
        match &join.since {
            Some(since) => self.resume(since, join, found),
            None => self.start(Position { seq: join.from, ..join.head.clone() }, found.line),
        }
    }

    fn resume(&mut self, since: &Position, join: &Join, found: &mut Found<'_>) {
        let client = &join.client;
        match &self.at {
            None => self.start(since.clone(), found.line),
            Some(at) if at.position != *since => {
                let message = format!("{client} asked for {since}, but stood at {}", at.position);
                found.broken(Rule::Record, Some(at.line), message);
            }
            Some(_) => {}
        }
        if !join.recovered {
            self.reset_due = Some(found.line);
        } else if (&join.head.epoch, join.from) != (&since.epoch, since.seq) {
            let from = Position { seq: join.from, ..join.head.clone() };
            let message = format!("{client} was told that {since} is honoured, but goes on from {from}");
            found.broken(Rule::Resume, None, message);
        }
    }

    pub(crate) fn reset(&mut self, reset: &Reset, line: usize) {
        self.reset_due = None;
        self.start(reset.head.clone(), line);
    }

    fn start(&mut self, position: Position, line: usize) {
        self.at = Some(Standing::starts_at(position, line));
    }

    pub(crate) fn recv(&mut self, recv: &Recv, found: &mut Found<'_>) {
        self.judge_reset(|| format!("{} got {}", recv.client, recv.at), found);
        let Some(at) = &mut self.at else {
            let message = format!("{} got {} before any join", recv.client, recv.at);
            found.broken(Rule::Record, None, message);
            return self.start(recv.at.clone(), found.line);
        };
        if let Some((rule, what)) = at.broken_by(recv) {
            let message = format!("{} got {} {what}", recv.client, recv.at);
            found.broken(rule, Some(at.line), message);
        }
        at.go_on_to(&recv.at, found.line);
    }

    /// After a position that was not honoured nothing else may come than a reset.
    fn judge_reset(&mut self, came: impl FnOnce() -> String, found: &mut Found<'_>) {
        if let Some(join) = self.reset_due.take() {
            found.broken(Rule::Resume, Some(join), came() + " before the reset that was due");
        }
    }

    pub(crate) fn end(&mut self, end: &End, logs: &BTreeMap<String, Log>, found: &mut Found<'_>) {
        let client = &end.client;
        self.judge_reset(|| format!("{client} ended"), found);
        let Some(at) = &self.at else {
            return found.broken(Rule::Record, None, format!("{client} ended before any join"));
        };
        if at.position != end.head {
            let message = format!("{client} ended at {}, but the head is {}", at.position, end.head);
            found.broken(Rule::Head, Some(at.line), message);
        }
        let lost = logs.get(&at.position.epoch).map(|log| at.lost_of(log)).unwrap_or_default();
        if !lost.is_empty() {
            let message = format!("{client} never got {}, which had been acked", listed(&lost));
            found.broken(Rule::Acked, Some(at.line), message);
        }
    }
}

impl Standing {
    /// What a message breaks for a reader that stands here.
    fn broken_by(&self, recv: &Recv) -> Option<(Rule, String)> {
        let (here, seq) = (&self.position, recv.at.seq);
        if recv.at.epoch != here.epoch {
            return Some((Rule::Epoch, format!("while it stood at {here}, and was told of no reset")));
        }
        if self.given.contains(&seq) {
            return Some((Rule::Twice, "a second time".into()));
        }
        if seq <= here.seq {
            return Some((Rule::Order, format!("while it stood at {here}, behind it already")));
        }
        if recv.before() != here.seq {
            let missed = format!(
                "while it stood at {here}: that follows {}, and it was told of no reset",
                recv.before()
            );
            return Some((Rule::Gap, missed));
        }
        None
    }

    /// Moves on, also after a finding, so that one mistake is one finding.
    fn go_on_to(&mut self, position: &Position, line: usize) {
        if position.epoch == self.position.epoch {
            self.given.insert(position.seq);
            self.position.seq = self.position.seq.max(position.seq);
            self.line = line;
        } else {
            *self = Self::starts_at(position.clone(), line);
            self.given.insert(position.seq);
        }
    }

    fn lost_of<'a>(&self, log: &'a Log) -> Vec<(u64, &'a str)> {
        log.acked_above(self.start).filter(|(seq, _)| !self.given.contains(seq)).collect()
    }
}

fn listed(lost: &[(u64, &str)]) -> String {
    let shown: Vec<_> = lost.iter().take(LISTED_MAX).map(|(seq, id)| format!("{id} at {seq}")).collect();
    let more = lost.len().saturating_sub(LISTED_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &rest
}
