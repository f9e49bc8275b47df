//! `roomcast bench`: hands over to the bench and prints its report.

use serde_json::json;

use crate::{console, failure::Failure};

/// Measures and prints; fails if a message was lost, doubled or out of order.
pub(crate) fn run(args: &roomcast_bench::Args) -> Result<(), Failure> {
    let report = roomcast_bench::run(args).map_err(|error| Failure::said(error.to_string()))?;
    if args.json() {
        console::json(&json!(report))?;
    } else {
        console::line(&report)?;
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::Silent) }
}
