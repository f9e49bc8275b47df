//! The single numbers that measurements are compared by.

use serde::Serialize;

use crate::report::{Latency, Load, LoadCost, Outcome};
use crate::text::whole;

/// One number of an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Server CPU for each delivery, in µs.
    CpuPerDelivery,
    /// The part of it in user space.
    UserPerDelivery,
    /// Server CPU for each ack, in µs, where every publisher is alone in its room.
    CpuPerAck,
    /// Deliveries in a second.
    DeliveriesPerSecond,
    /// Half of the acks came within this, in µs.
    AckP50,
    /// 99 % of the acks came within this, in µs.
    AckP99,
    /// Half of the deliveries came within this, in µs.
    DeliveryP50,
    /// 99 % of the deliveries came within this, in µs.
    DeliveryP99,
    /// 99.9 % of the deliveries came within this, in µs.
    DeliveryP999,
    /// Connections in a second: handshake, join, ack.
    ConnectsPerSecond,
    /// Server CPU for each of them, in µs.
    CpuPerConnect,
    /// Server memory for each joined connection, in bytes.
    ResidentPerConnection,
    /// Server CPU in an idle second, in ms.
    IdleCpuPerSecond,
    /// The others' p99 with a stalled reader, over that without.
    StalledP99Ratio,
    /// What server memory grew by with a stalled reader, in bytes.
    StalledGrowth,
}

impl Figure {
    pub(crate) const ALL: [Self; 15] = [
        Self::CpuPerDelivery,
        Self::UserPerDelivery,
        Self::CpuPerAck,
        Self::DeliveriesPerSecond,
        Self::AckP50,
        Self::AckP99,
        Self::DeliveryP50,
        Self::DeliveryP99,
        Self::DeliveryP999,
        Self::ConnectsPerSecond,
        Self::CpuPerConnect,
        Self::ResidentPerConnection,
        Self::IdleCpuPerSecond,
        Self::StalledP99Ratio,
        Self::StalledGrowth,
    ];

    /// What it is, with its unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuPerDelivery => "CPU µs per delivery",
            Self::UserPerDelivery => "user CPU µs per delivery",
            Self::CpuPerAck => "CPU µs per ack",
            Self::DeliveriesPerSecond => "deliveries per second",
            Self::AckP50 => "ack p50, µs",
            Self::AckP99 => "ack p99, µs",
            Self::DeliveryP50 => "delivery p50, µs",
            Self::DeliveryP99 => "delivery p99, µs",
            Self::DeliveryP999 => "delivery p99.9, µs",
            Self::ConnectsPerSecond => "connects per second",
            Self::CpuPerConnect => "CPU µs per connect",
            Self::ResidentPerConnection => "resident bytes per connection",
            Self::IdleCpuPerSecond => "CPU ms per idle second",
            Self::StalledP99Ratio => "p99 beside a stalled reader",
            Self::StalledGrowth => "growth with a stalled reader, bytes",
        }
    }

    /// Its value in `outcome`, if that was measured.
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        let cost = |of: fn(&LoadCost) -> f64| outcome.load.as_ref()?.cost.as_ref().map(of);
        let load = |of: fn(&Load) -> Option<Latency>| outcome.load.as_ref().and_then(of);
        let micros = |value: u64| value as f64;
        let (ack, delivery) = (load(|load| load.ack), load(|load| load.delivery));
        match self {
            Self::CpuPerDelivery => cost(|cost| cost.server_cpu_us_per_delivery),
            Self::UserPerDelivery => cost(|cost| cost.server_user_us_per_delivery),
            Self::CpuPerAck => outcome.load.as_ref()?.cost.as_ref()?.server_cpu_us_per_ack,
            Self::DeliveriesPerSecond => {
                outcome.load.as_ref().map(|load| load.delivered as f64 / load.seconds)
            }
            Self::AckP50 => ack.map(|latency| micros(latency.p50_us)),
            Self::AckP99 => ack.map(|latency| micros(latency.p99_us)),
            Self::DeliveryP50 => delivery.map(|latency| micros(latency.p50_us)),
            Self::DeliveryP99 => delivery.map(|latency| micros(latency.p99_us)),
            Self::DeliveryP999 => delivery.map(|latency| micros(latency.p999_us)),
            Self::ConnectsPerSecond => Some(outcome.connect.per_second),
            Self::CpuPerConnect => outcome.connect.server_cpu_us,
            Self::ResidentPerConnection => outcome.connect.server_resident_bytes,
            Self::IdleCpuPerSecond => {
                outcome.idle.as_ref().and_then(|idle| Some(idle.server_cpu_ms? / idle.seconds))
            }
            Self::StalledP99Ratio => outcome.stalled.as_ref()?.p99_ratio,
            Self::StalledGrowth => outcome.stalled.as_ref()?.server_growth_bytes,
        }
    }
}

/// Two or three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => whole(value),
    }
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn values_are_short() {
        assert_eq!([1.234, 12.34, 1234.6, -1234.6].map(short), ["1.23", "12.3", "1,235", "-1,235"]);
    }
}
