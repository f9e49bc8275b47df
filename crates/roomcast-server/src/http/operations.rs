//! What operations and tools ask: is it alive, may it be sent clients, what does it count, what can it do.

use std::fmt;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use roomcast_hub::{Counters, Gauge, Hub};
use roomcast_protocol::Code;

use super::{Api, json, problem::Problem};
use crate::tls::{Known, Pin};

/// The API as `OpenAPI` 3.1 says it.
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/healthz", get(|| async { json(ok) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/wt/certificate", get(certificate))
        .route("/openapi.json", get(|| async { json(|out| out.extend_from_slice(DESCRIPTION.as_bytes())) }))
}

fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"status":"ok"}"#);
}

/// Not ready is a server that is coming to its end: it answers, but shouldn't be sent anybody.
async fn ready(State(api): State<Api>) -> Response {
    if api.app.hub.is_draining() {
        let body = r#"{"status":"draining"}"#;
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "application/json")], body)
            .into_response();
    }
    json(ok)
}

/// What a browser must know before it can connect by WebTransport to a certificate that nobody vouches for.
async fn certificate(State(api): State<Api>) -> Response {
    let Some(Known { hash, not_after }) = api.app.pin.as_ref().map(Pin::known) else {
        let message = "the certificate of this server needs no hash; or it speaks no WebTransport";
        return Problem::new(Code::NotFound, message).into_response();
    };
    json(|out| {
        let known = format!(r#"{{"algorithm":"sha-256","hash":"{hash}","not_after":{not_after}}}"#);
        out.extend_from_slice(known.as_bytes());
    })
}

async fn metrics(State(api): State<Api>) -> Response {
    let mut registry = Registry::with_prefix("roomcast");
    registry.register_collector(Box::new(Counted(api.app.hub.clone())));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// What the hub counts, read when it is asked for.
#[derive(Debug)]
struct Counted(Hub);

type Count = (&'static str, &'static str, fn(&Counters) -> &Gauge);

/// Numbers that go up and down.
const GAUGES: [Count; 2] = [
    ("connections", "Connections open now", |counters| &counters.connections),
    ("rooms", "Rooms in memory now", |counters| &counters.rooms),
];

/// Numbers that only go up.
const COUNTERS: [Count; 8] = [
    ("connections_opened", "Connections since the start", |counters| &counters.connections_total),
    ("messages", "Messages taken from clients and back ends", |counters| &counters.messages_total),
    ("refused", "Requests on a socket answered with an error", |counters| &counters.refused_total),
    ("deliveries", "Frames handed to sockets", |counters| &counters.deliveries_total),
    ("blocked_writes", "Writes that a socket would not take at once", |counters| &counters.blocked_total),
    ("resets", "Readers that were told to reload", |counters| &counters.resets_total),
    ("too_slow", "Connections closed for taking no byte in time", |counters| &counters.too_slow_total),
    ("taken_over", "Sessions taken over by a newer connection", |counters| &counters.taken_over_total),
];

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.0.counters();
        for (name, help, read) in GAUGES {
            write(&mut encoder, name, help, &gauge(read(counters).get()))?;
        }
        for (name, help, read) in COUNTERS {
            write(&mut encoder, name, help, &ConstCounter::new(read(counters).get()))?;
        }
        let memory_bytes = gauge(self.0.memory_bytes() as u64);
        write(&mut encoder, "memory_bytes", "Bytes of rooms' logs in memory", &memory_bytes)?;
        let failures = ConstCounter::new(self.0.log_failures());
        write(&mut encoder, "log_failures", "Writes to the log that failed", &failures)?;
        let degraded = gauge(u64::from(self.0.is_degraded()));
        write(&mut encoder, "degraded", "1 while the log takes nothing", &degraded)
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
