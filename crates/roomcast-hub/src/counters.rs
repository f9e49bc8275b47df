//! What is counted, where it happens. Plain atomics; whoever shows metrics reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up and down, or only up.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes away.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything the hub counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections open now.
    pub connections: Gauge,
    /// Connections since the start.
    pub connections_total: Gauge,
    /// Rooms in memory now.
    pub rooms: Gauge,
    /// Messages from clients and back ends that were taken.
    pub messages_total: Gauge,
    /// Requests on a socket that were answered with an error.
    pub refused_total: Gauge,
    /// Frames handed to sockets.
    pub deliveries_total: Gauge,
    /// Writes that a socket would not take at once.
    pub blocked_total: Gauge,
    /// Readers that were told to reload.
    pub resets_total: Gauge,
    /// Connections closed for taking no byte in time.
    pub too_slow_total: Gauge,
    /// Sessions taken over by a newer connection.
    pub taken_over_total: Gauge,
}
