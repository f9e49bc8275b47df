//! The loads themselves: how much is in flight, where it goes, what it costs, and the floor.

use std::thread;

use crate::support::{Flaw, MARKED, bench, bench_at};
use roomcast_bench::{FloorServer, Outcome, Report};

fn floor(arguments: &str) -> Outcome {
    let floor = FloorServer::bind(256).unwrap();
    let address = floor.address().unwrap();
    thread::spawn(|| floor.run());
    bench_at(address, arguments).unwrap()
}

#[test]
fn every_room_gets_its_messages_and_no_other() {
    for arguments in ["--threads 1", "--threads 3"] {
        let load = "-n 23 -m 5 --rate 200 -d 0.1 --warmup 0.05";
        let outcome = bench(Flaw::None, &format!("{load} {arguments}")).unwrap();
        let load = outcome.load.as_ref().unwrap();
        assert!(outcome.is_clean(), "{outcome}");
        // Rooms of 5, 5, 5, 4 and 4 members, and 4 messages to each.
        assert_eq!((load.published, load.delivered), (20, 4 * 23));
    }
}

#[test]
fn a_closed_loop_ends_with_everything_delivered() {
    for until in ["ack", "delivered"] {
        let load = format!("-n 4 --inflight 3 --until {until} -d 0.2 --warmup 0.05 --size 20000");
        let outcome = bench(Flaw::None, &load).unwrap();
        let load = outcome.load.as_ref().unwrap();
        assert!(outcome.is_clean(), "{outcome}");
        assert!(load.published > 3, "{outcome}");
        assert_eq!(load.delivered, load.published * 4);
    }
}

#[test]
fn a_closed_loop_waits_for_what_it_waits_for() {
    // The marked message is never acked and keeps its place, the only one.
    let stuck = bench(Flaw::Unanswered, "-n 2 --inflight 1 -d 1 --warmup 0 --settle 0").unwrap();
    assert_eq!(stuck.load.unwrap().published, MARKED);
    // It is lost to one reader, which matters only to a loop that awaits deliveries.
    let lost = |until| {
        let load = format!("-n 2 --inflight 1 --until {until} -d 1 --warmup 0 --settle 0");
        bench(Flaw::Drop, &load).unwrap().load.unwrap().published
    };
    assert_eq!(lost("delivered"), MARKED);
    assert!(lost("ack") > MARKED);
}

#[test]
fn the_floor_delivers_everything_in_order() {
    let outcome = floor("-n 30 -m 3 --inflight 8 -d 0.2 --warmup 0.05");
    let load = outcome.load.as_ref().unwrap();
    assert!(outcome.is_clean(), "{outcome}");
    assert_eq!(load.delivered, load.published * 10);
    assert!(load.published > 8);
}

#[test]
fn a_room_beside_is_counted_apart() {
    let load = "-n 4 -m 2 --rate 100 --crowd 10 --crowd-rate 50 -d 0.2 --warmup 0.05";
    let outcome = bench(Flaw::None, load).unwrap();
    assert!(outcome.is_clean(), "{outcome}");
    assert_eq!(outcome.load.unwrap().delivered, 20 * 2);
    assert_eq!(outcome.beside.unwrap().delivered, 10 * 10);
    assert_eq!(outcome.connect.connections, 14);
}

#[test]
fn a_stalled_reader_is_not_waited_for() {
    let load = "-n 4 --rate 100 -d 0.2 --warmup 0.05 --stalled 1";
    let outcome = bench(Flaw::None, load).unwrap();
    let stalled = outcome.stalled.as_ref().unwrap();
    assert!(outcome.is_clean(), "{outcome}");
    assert_eq!(outcome.load.as_ref().unwrap().delivered, 20 * 4);
    assert_eq!(stalled.load.delivered, 20 * 3);
    assert!(stalled.p99_ratio.is_some());
}

#[test]
fn connections_alone_are_a_measurement_too() {
    let outcome = bench(Flaw::None, "--scenario idle -n 20 -m 4 --idle 0.1").unwrap();
    assert!(outcome.load.is_none());
    assert_eq!(outcome.connect.connections, 20);
    assert!(outcome.idle.unwrap().seconds >= 0.1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_local_servers_cost_is_known() {
    let outcome = bench(Flaw::None, "-n 10 --inflight 4 -d 0.3 --warmup 0").unwrap();
    assert_eq!(outcome.pids, [std::process::id()]);
    assert!(outcome.connect.server_cpu_us.unwrap() > 0.0);
    assert!(outcome.load.unwrap().cost.unwrap().server_cpu_us_per_delivery > 0.0);
}

#[test]
fn a_report_speaks_to_people_and_programs() {
    let outcome = bench(Flaw::Drop, "-n 2 --rate 100 -d 0.1 --warmup 0 --settle 0").unwrap();
    let report = Report::Run(Box::new(outcome));
    let text = report.to_string();
    assert!(text.contains("delivered      19 of 20"), "{text}");
    assert!(text.contains("lost           1"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["load"]["lost"], 1);
    assert_eq!(json["pace"]["rate"], 100.0);
}
