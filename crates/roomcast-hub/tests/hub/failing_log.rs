//! A log that can't be read: whoever needs it is told and comes back, and nothing is left out. One that is damaged
//! will not be better then: its reader is told to reload.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

use std::{future::poll_fn, sync::Arc, time::Duration};

use crate::{
    bent::{Bent, Failure},
    support::{Client, identity, rule, text},
};
use roomcast_hub::{Hub, Line, Stream, Subscription, engine::EngineError};
use roomcast_protocol::{Code, Epoch, Join, Limits, Position, Positions, Rights, RoomName, Wire};
use serde_json::{Value, json};

const EVENTS: Wire = Wire::Events { chunked: false };
/// Messages, of which the feed keeps none for those who come later.
const MESSAGES: u64 = 5;

fn hub() -> (Hub, Failure) {
    let engine = Bent::new();
    let failure = engine.failure();
    // A machine under load must not look like a reader that stalls.
    let write_stall_timeout = Duration::from_secs(600);
    let limits = Limits { sends_per_second: 0, write_stall_timeout, ..Limits::default() };
    (Hub::builder().engine(engine).rules(vec![rule()]).limits(limits).build(), failure)
}

fn unavailable() -> EngineError {
    EngineError::Unavailable("the disk hums".into())
}

fn damaged() -> EngineError {
    EngineError::Corrupt("a bit is flipped".into())
}

/// A room with some messages. Answers its epoch.
async fn talk(hub: &Hub) -> String {
    let mut ada = Client::connect(hub, "ada").await;
    let epoch = ada.join("r", json!({})).await["epoch"].as_str().unwrap().to_owned();
    ada.say(&vec![text("r", "m"); MESSAGES as usize]);
    ada.seqs(MESSAGES as usize).await;
    epoch
}

/// Reads messages until the connection is told something else, then to its end. Answers the last seq and what was
/// told.
async fn read_to_the_end(reader: &mut Client, mut seq: u64) -> (u64, Value) {
    let told = loop {
        let message = reader.next().await.expect("word before the end");
        match message["seq"].as_u64() {
            Some(next) => {
                assert_eq!(next, seq + 1, "each once and in order");
                seq = next;
            }
            None if message["type"] == "error" || message["data"]["event"] == "reset" => break message,
            None => {}
        }
    };
    (seq, told)
}

fn subscribe(hub: &Hub, wire: Wire, (epoch, seq): (&str, u64)) -> Stream {
    let since = Positions::One(Position { epoch: Epoch::new(epoch).unwrap(), seq });
    let join = Join { since: Some(since), ..Join::default() };
    let rooms = vec![(RoomName::new("r").unwrap(), join, Rights::PRESENCE)];
    let identity = Arc::new(identity("eve", "eve"));
    hub.subscribe(Subscription { identity, line: Line::Pipe(None), wire, rooms }).unwrap()
}

/// What a stream says until it ends, or until a word.
async fn said(stream: &mut Stream, until: &str) -> String {
    let mut said = String::new();
    while !said.contains(until)
        && let Some(chunk) = poll_fn(|cx| stream.poll_next(cx)).await
    {
        said.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_reader_whose_log_fails_is_sent_away_and_loses_nothing() {
    let (hub, failure) = hub();
    let mut slow = Client::connect(&hub, "slow").await;
    let epoch = slow.join("r", json!({})).await["epoch"].clone();
    let mut quick = Client::connect(&hub, "quick").await;
    quick.join("r", json!({})).await;
    for _ in 1..=2_000 {
        quick.say(&[text("r", &"x".repeat(1_000))]);
        quick.seqs(1).await;
    }
    failure.set(unavailable());
    let (seq, told) = read_to_the_end(&mut slow, 0).await;
    assert_eq!((&told["data"]["code"], &told["data"]["retryable"]), (&json!("unavailable"), &json!(true)));
    assert_eq!(slow.end().await.0, 1013);
    assert!(seq < 2_000, "the socket held no more than its part");
    quick.say(&[text("r", "live")]);
    assert_eq!(quick.seqs(1).await, [2_001], "who is at the tip notices nothing");
    failure.end();
    let mut back = Client::connect(&hub, "back").await;
    let ack = back.join("r", json!({"since": {"epoch": epoch, "seq": seq}})).await;
    assert_eq!(ack["recovered"], true);
    assert_eq!(back.seqs((2_001 - seq) as usize).await, (seq + 1..=2_001).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_join_that_needs_a_log_which_fails_is_acked_and_then_sent_away() {
    let (hub, failure) = hub();
    let epoch = talk(&hub).await;
    failure.set(unavailable());
    let mut reader = Client::connect(&hub, "reader").await;
    reader.join("r", json!({"since": {"epoch": epoch, "seq": 1}})).await;
    let (seq, told) = read_to_the_end(&mut reader, 1).await;
    assert_eq!((seq, &told["data"]["code"]), (1, &json!("unavailable")));
    assert_eq!(reader.end().await.0, 1013);
}

#[tokio::test]
async fn a_stream_whose_log_fails_says_so_and_ends() {
    let (hub, failure) = hub();
    let epoch = talk(&hub).await;
    failure.set(unavailable());
    let said = said(&mut subscribe(&hub, EVENTS, (&epoch, 1)), "no such word").await;
    assert!(said.contains(r#""code":"unavailable""#), "{said}");
    assert!(!said.contains("reset"), "{said}");
    assert!(!said.contains(&format!("id: {epoch}.{MESSAGES}")), "it moves no position: {said}");
}

#[tokio::test]
async fn a_poll_whose_log_fails_is_refused() {
    let (hub, failure) = hub();
    let epoch = talk(&hub).await;
    failure.set(unavailable());
    let error = subscribe(&hub, Wire::List, (&epoch, 1)).take().unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    failure.end();
    let (messages, position) = subscribe(&hub, Wire::List, (&epoch, 1)).take().unwrap().unwrap();
    assert!(!messages.is_empty());
    assert_eq!(position.to_string(), format!("{epoch}.{MESSAGES}"));
}

#[tokio::test]
async fn a_damaged_log_is_a_reset_and_to_a_poll_an_error() {
    let (hub, failure) = hub();
    let epoch = talk(&hub).await;
    failure.set(damaged());
    let mut reader = Client::connect(&hub, "reader").await;
    reader.join("r", json!({"since": {"epoch": epoch, "seq": 1}})).await;
    let (_, told) = read_to_the_end(&mut reader, 1).await;
    assert_eq!((&told["data"]["reason"], &told["data"]["seq"]), (&json!("too_old"), &json!(MESSAGES)));
    let mut stream = subscribe(&hub, EVENTS, (&epoch, 1));
    let said = said(&mut stream, "too_old").await;
    assert!(said.contains(&format!("id: {epoch}.{MESSAGES}")), "{said}");
    let error = subscribe(&hub, Wire::List, (&epoch, 1)).take().unwrap_err();
    assert_eq!(error.code, Code::Internal);
}

#[tokio::test]
async fn everybody_is_told_when_the_log_takes_nothing_and_when_it_does_again() {
    let engine = Bent::new();
    let trouble = engine.trouble();
    let hub = Hub::builder().engine(engine).build();
    let mut ada = Client::connect(&hub, "ada").await;
    let epoch = ada.join("r", json!({})).await["epoch"].as_str().unwrap().to_owned();
    *trouble.lock().unwrap() = Some(Duration::from_secs(5));
    let is = |event: &'static str| move |message: &Value| message["data"]["event"] == event;
    ada.next_where(is("degraded")).await;
    let mut eve = Client::connect(&hub, "eve").await;
    assert_eq!(eve.next().await.unwrap()["data"]["event"], "welcome");
    assert_eq!(eve.next().await.unwrap()["data"]["event"], "degraded", "who comes later is told as well");
    let mut stream = subscribe(&hub, EVENTS, (&epoch, 0));
    said(&mut stream, "degraded").await;
    *trouble.lock().unwrap() = Some(Duration::from_millis(10));
    ada.next_where(is("restored")).await;
    eve.next_where(is("restored")).await;
    said(&mut stream, "restored").await;
}

#[tokio::test]
async fn a_connection_to_a_room_that_cannot_be_looked_up_is_closed_and_comes_back() {
    let error = |room: &RoomName| match &**room {
        "away" => Err(unavailable()),
        "damaged" => Err(damaged()),
        _ => Ok(()),
    };
    let hub = Hub::builder().engine(Bent::new().watching(error)).build();
    for (room, close) in [("away", 1013), ("damaged", 1011)] {
        let bound = Some((RoomName::new(room).unwrap(), Join::default()));
        let mut ada = Client::with(&hub, identity("ada", room), 0, bound).await;
        assert_eq!(ada.next().await.unwrap()["data"]["event"], "welcome");
        assert_eq!(ada.end().await.0, close);
    }
}
