//! The orderly end: every client is told when to come back, then closed in waves, each once its publishes are acked.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use roomcast_protocol::Close;

use super::{Hub, RESTART, random};
use crate::{Connection, Departure, wheel::SLOT_MS};

/// Waves in which the connections of an orderly end are closed, at most.
const WAVES: u32 = 10;
/// Connections that one wave closes, at least.
const WAVE_CONNECTIONS_MIN: usize = 100;

impl Hub {
    /// Comes to an orderly end within `time`: every client is told to come back at a moment of its own within
    /// `spread`, then closed in waves.
    pub async fn drain(&self, time: Duration, spread: Duration) {
        self.0.draining.store(true, Ordering::Release);
        let now = self.now();
        let connections = self.0.sessions.all();
        for connection in &connections {
            let reconnect_in = Duration::from_millis(random() % (spread.as_millis() as u64 + 1));
            connection.say(|session, queue| session.drain(now, reconnect_in, queue));
        }
        self.close_in_waves(connections, time).await;
        let end_ms = now.ms + time.as_millis() as u64;
        while self.counters().connections.get() > 0 && self.now().ms < end_ms {
            tokio::time::sleep(Duration::from_millis(SLOT_MS / 5)).await;
        }
    }

    /// Closes connections wave by wave, each once its publishes are acked or the log has taken too long.
    async fn close_in_waves(&self, mut connections: Vec<Arc<Connection>>, time: Duration) {
        let restart = (Close::Restart, RESTART, Departure::Lost);
        let size = connections.len().div_ceil(WAVES as usize).max(WAVE_CONNECTIONS_MIN);
        let mut unacked = Vec::new();
        // Given up wave by wave: a connection that is held here would never be counted out.
        while !connections.is_empty() {
            let wave = connections.drain(..size.min(connections.len()));
            unacked.extend(wave.filter(|connection| !connection.close_if_acked(restart)));
            if !connections.is_empty() {
                tokio::time::sleep(time / 2 / WAVES).await;
            }
        }
        let patience = self.limits().append_timeout.min(time / 4);
        let decided_ms = self.now().ms + patience.as_millis() as u64;
        while !unacked.is_empty() && self.now().ms < decided_ms {
            tokio::time::sleep(Duration::from_millis(SLOT_MS / 5)).await;
            unacked.retain(|connection| !connection.close_if_acked(restart));
        }
        let (close, text, departure) = restart;
        for connection in unacked {
            connection.close(close, text, departure);
        }
    }
}
