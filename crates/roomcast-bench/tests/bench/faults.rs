//! The counters are proven: each fault that a server can commit is seen, exactly, and is called by its name.

use crate::support::{Flaw, MARKED, bench, bench_at, run, serve};
use roomcast_bench::{Error, Load, Outcome};

/// 20 messages to 3 readers, of which the server treats the first unfairly.
const LOAD: &str = "--connections 3 --rate 200 --duration 0.1 --warmup 0 --settle 2";
const PUBLISHED: u64 = 20;
const READERS: u64 = 3;

/// Lost, doubled, out of order, cut off.
#[track_caller]
fn check(flaw: Flaw, faults: [u64; 4]) -> Load {
    let outcome = bench(flaw, LOAD).unwrap();
    let is_clean = outcome.is_clean();
    let load = outcome.load.unwrap();
    let expected = PUBLISHED * READERS - refused(&load) * READERS;
    assert_eq!((load.published, load.expected), (PUBLISHED, expected), "{flaw:?}");
    assert_eq!([load.lost, load.doubled, load.out_of_order, load.cut_off], faults, "{flaw:?}");
    assert_eq!(load.delivered + load.lost + load.cut_off, load.expected, "{flaw:?}");
    assert_eq!(is_clean, faults == [0; 4] && load.acked == PUBLISHED, "{flaw:?}");
    load
}

fn refused(load: &Load) -> u64 {
    load.faults.get("rate_limited").map_or(0, |fault| fault.count)
}

#[test]
fn a_good_server_is_clean() {
    for flaw in [Flaw::None, Flaw::Holes, Flaw::Dribble, Flaw::PingFirst] {
        let load = check(flaw, [0, 0, 0, 0]);
        assert_eq!(load.acked, PUBLISHED, "{flaw:?}");
        assert!(load.faults.is_empty(), "{flaw:?}");
        assert!(load.ack.is_some() && load.delivery.is_some(), "{flaw:?}");
    }
}

#[test]
fn a_dropped_message_is_lost() {
    check(Flaw::Drop, [1, 0, 0, 0]);
}

#[test]
fn messages_dropped_at_the_end_are_lost_too() {
    check(Flaw::DropTail, [PUBLISHED - MARKED + 1, 0, 0, 0]);
}

#[test]
fn a_doubled_message_is_doubled() {
    check(Flaw::Double, [0, 1, 0, 0]);
}

#[test]
fn a_late_message_is_out_of_order_and_not_lost() {
    check(Flaw::Swap, [0, 0, 1, 0]);
}

#[test]
fn a_reader_that_was_told_has_lost_nothing() {
    let reset = check(Flaw::Reset, [0, 0, 0, 3]);
    assert_eq!(reset.faults["reset too_old"].count, 1);
    let closed = check(Flaw::Close, [0, 0, 0, PUBLISHED - MARKED + 1]);
    assert_eq!(closed.faults["closed 4008"].count, 1);
    assert_eq!(closed.faults["closed 4008"].example, "too slow");
    let garbled = check(Flaw::Garble, [0, 0, 0, PUBLISHED - MARKED + 1]);
    assert_eq!(garbled.faults["broke RFC 6455"].count, 1);
}

#[test]
fn refused_and_unanswered_messages_are_counted_apart() {
    let refused = check(Flaw::RefusePublish, [0, 0, 0, 0]);
    assert_eq!((refused.acked, refused.unanswered), (PUBLISHED - 1, 0));
    assert_eq!(refused.faults["rate_limited"].count, 1);
    assert_eq!(refused.faults["rate_limited"].example, "slow down");

    let unanswered = check(Flaw::Unanswered, [0, 0, 0, 0]);
    assert_eq!((unanswered.acked, unanswered.unanswered), (PUBLISHED - 1, 1));
}

#[test]
fn what_goes_wrong_while_warming_up_is_not_forgotten() {
    let warm = "--connections 3 --rate 200 --duration 0.1 --warmup 0.1 --settle 2";
    let load = bench(Flaw::Drop, warm).unwrap().load.unwrap();
    assert_eq!((load.published, load.delivered), (PUBLISHED, PUBLISHED * READERS));
    assert_eq!(load.lost, 1);
}

#[test]
fn a_run_that_cannot_start_says_why() {
    let check = |result: Result<Outcome, Error>, seen: &str| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(seen), "{text}");
    };
    check(bench(Flaw::RefuseJoin, LOAD), "forbidden: you may not join");
    check(bench(Flaw::RefuseAll, LOAD), "closed 1008");
    check(bench(Flaw::RefuseAll, LOAD), "unauthorized: no token");
    check(bench(Flaw::NotFound, LOAD), "404 Not Found");
    check(bench_at("127.0.0.1:1".parse().unwrap(), LOAD), "can't connect to 127.0.0.1:1");
    check(bench(Flaw::None, "--connections 4000000000"), "ulimit -n");
}

#[test]
fn the_server_may_be_started_for_the_run() {
    let address = serve(Flaw::None);
    let command = format!("--server-cmd 'sh -c \"echo listening on http://{address}; exec cat\"'");
    let outcome = run(&format!("{command} {LOAD}")).unwrap();
    assert!(outcome.is_clean());
    assert_eq!(outcome.pids.len(), 1);
    assert_ne!(outcome.pids, [std::process::id()]);
}
