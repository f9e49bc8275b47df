//! What is counted while a load runs. It adds up; it never decides.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::report::Latency;

/// Longest latency told apart, in µs.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Something that should not happen in a clean run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// How often.
    pub count: u64,
    /// What the server said the first time.
    pub example: String,
}

/// The counts of one worker, or of several added up.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) published: u64,
    pub(crate) acked: u64,
    /// Neither acked nor refused when the time was up.
    pub(crate) unanswered: u64,
    /// Copies that should have come: messages known to be in the log × their readers.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) out_of_order: u64,
    /// Copies that a reader was told it won't get: by a reset or by a close.
    pub(crate) cut_off: u64,
    /// By error code, close code or event.
    pub(crate) faults: BTreeMap<String, Fault>,
    ack: Histogram<u64>,
    delivery: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            published: 0,
            acked: 0,
            unanswered: 0,
            expected: 0,
            delivered: 0,
            lost: 0,
            doubled: 0,
            out_of_order: 0,
            cut_off: 0,
            faults: BTreeMap::new(),
            ack: histogram(),
            delivery: histogram(),
        }
    }

    /// An ack came `micros` after its message was due.
    pub(crate) fn ack_took(&mut self, micros: u64) {
        self.ack.saturating_record(micros);
    }

    /// A copy came `micros` after its message was due.
    #[inline]
    pub(crate) fn delivery_took(&mut self, micros: u64) {
        self.delivery.saturating_record(micros);
    }

    pub(crate) fn ack_latency(&self) -> Option<Latency> {
        latency(&self.ack)
    }

    pub(crate) fn delivery_latency(&self) -> Option<Latency> {
        latency(&self.delivery)
    }

    pub(crate) fn fault(&mut self, what: String, example: String) {
        self.faults.entry(what).or_insert(Fault { count: 0, example }).count += 1;
    }

    /// Adds all that another worker counted at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.acked += other.acked;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.add_faults(other);
        // Both were made by `histogram`, so neither addition can be out of bounds.
        let _ = self.ack.add(&other.ack);
        let _ = self.delivery.add(&other.delivery);
    }

    /// Adds what went wrong at another time, for instance while warming up.
    pub(crate) fn add_faults(&mut self, other: &Self) {
        self.unanswered += other.unanswered;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.cut_off += other.cut_off;
        for (what, fault) in &other.faults {
            let first = Fault { count: 0, example: fault.example.clone() };
            self.faults.entry(what.clone()).or_insert(first).count += fault.count;
        }
    }
}

fn histogram() -> Histogram<u64> {
    // Three digits from 1 µs to 10 minutes are valid bounds.
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("constant bounds are valid")
}

fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
    (!histogram.is_empty()).then(|| Latency {
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    })
}
