//! An engine that answers later, as one with a disk or a network does: acks wait for it, order doesn't suffer.

use std::{sync::Arc, time::Duration};

use crate::{bent::Bent, support::Client};
use roomcast_hub::{
    Hub, Publication, Publisher,
    engine::{AppendError, Ticket},
};
use roomcast_protocol::{Data, Limits, Position, Publish, server::Delivered};
use serde_json::json;
use tokio::sync::Semaphore;

/// Memory, whose answers wait for a permit each.
fn late(permits: &Arc<Semaphore>, durable: bool) -> Bent {
    let permits = permits.clone();
    Bent::new().appending(move |append| {
        let (permits, appended) = (permits.clone(), append());
        Ticket::Later(Box::pin(async move {
            permits.acquire().await.expect("the test is not over").forget();
            match appended.wait().await {
                Ok(Delivered { position: Some((epoch, seq)), .. }) if !durable => {
                    Err(AppendError::NotDurable(Position { epoch, seq }))
                }
                outcome => outcome,
            }
        }))
    })
}

fn hub(limits: Limits) -> (Hub, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    (Hub::builder().engine(late(&permits, true)).limits(limits).build(), permits)
}

#[tokio::test]
async fn every_publish_is_acked_at_its_place_once_the_engine_has_answered() {
    let (hub, permits) = hub(Limits::default());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    let messages: Vec<_> =
        (1..=64).map(|i| json!({"type": "text", "room": "r", "id": i.to_string()})).collect();
    ada.say(&messages);
    ada.say(&[json!({"type": "ping", "id": "before"})]);
    let first = ada.next_where(|message| message["type"] == "ack").await;
    assert_eq!(first["id"], "before", "no ack before the engine has answered");
    permits.add_permits(64);
    for _ in 1..=64 {
        let ack = ada.next_where(|message| message["type"] == "ack").await;
        assert_eq!(ack["id"], ack["data"]["seq"].to_string(), "the order of calls is the order of the log");
    }
}

#[tokio::test]
async fn who_has_too_many_unacked_is_not_read() {
    let (hub, permits) = hub(Limits { unacked_sends_max: 3, ..Limits::default() });
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    let publish = json!({"type": "text", "room": "r", "id": "1"}).to_string();
    let mut turn = hub.turn(&ada.connection);
    for expected in [false, false, true] {
        turn.message(&publish);
        assert_eq!(turn.is_congested(), expected);
    }
    turn.finish();
    permits.add_permits(1);
    ada.next_where(|message| message["type"] == "ack").await;
    std::future::poll_fn(|cx| ada.connection.poll_uncongested(cx)).await;
}

#[tokio::test]
async fn readers_get_what_a_back_end_published_and_did_not_wait_for() {
    let (hub, permits) = hub(Limits::default());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    let room = hub.room("r").unwrap();
    let publish = Publish::new("text".into(), Data::default(), false).unwrap();
    let publication = Publication { id: None, publish: &publish, publisher: Publisher::Backend("worker") };
    let waits = tokio::time::timeout(Duration::ZERO, room.publish(&publication)).await;
    assert!(waits.is_err(), "the back end hangs up before the engine has answered");
    permits.add_permits(1);
    assert_eq!(ada.seqs(1).await, [1]);
}

#[tokio::test]
async fn what_is_not_durable_is_told_with_its_position() {
    let hub = Hub::builder().engine(late(&Arc::new(Semaphore::new(1)), false)).build();
    let mut ada = Client::connect(&hub, "ada").await;
    let joined = ada.join("r", json!({})).await;
    ada.say(&[json!({"type": "text", "room": "r", "id": "m"})]);
    let error = ada.next_where(|message| message["type"] == "error").await;
    assert_eq!((&error["id"], &error["data"]["code"]), (&json!("m"), &json!("not_durable")));
    assert_eq!((&error["data"]["seq"], &error["data"]["retryable"]), (&json!(1), &json!(true)));
    assert_eq!(error["data"]["epoch"], joined["epoch"], "{joined} {error}");
}

#[tokio::test]
async fn a_publish_that_the_engine_does_not_answer_is_unavailable_and_there_once_when_it_does() {
    let limits = Limits {
        append_timeout: Duration::from_millis(50),
        retry_after_min: Duration::from_millis(1),
        sends_per_second: 0,
        ..Limits::default()
    };
    let permits = Arc::new(Semaphore::new(0));
    let waiting = permits.clone();
    let engine = Bent::new().appending(move |append| {
        let permits = waiting.clone();
        Ticket::Later(Box::pin(async move {
            permits.acquire().await.expect("the test is not over").forget();
            append().wait().await
        }))
    });
    let hub = Hub::builder().engine(engine).limits(limits).build();
    let mut reader = Client::connect(&hub, "reader").await;
    reader.join("r", json!({})).await;
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({"presence": false})).await;
    let publish = json!({"type": "text", "room": "r", "id": "m"});
    ada.say(std::slice::from_ref(&publish));
    let error = ada.next_where(|message| message["id"] == "m").await;
    assert_eq!((&error["type"], &error["data"]["code"]), (&json!("error"), &json!("unavailable")));
    assert_eq!(error["data"]["retryable"], true);
    permits.add_permits(2);
    assert_eq!(reader.seqs(1).await, [1], "what came late is delivered without anybody's help");
    let ack = loop {
        ada.say(std::slice::from_ref(&publish));
        let answer = ada.next_where(|message| message["id"] == "m" && message["type"] != "text").await;
        if answer["type"] == "ack" {
            break answer;
        }
        assert_eq!(
            answer["data"]["code"], "unavailable",
            "until the time that was told has passed: {answer}"
        );
    };
    assert_eq!((&ack["data"]["duplicate"], &ack["data"]["seq"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn after_a_late_refusal_the_room_takes_nothing_until_the_time_that_was_told() {
    let limits = Limits { append_timeout: Duration::from_secs(1), ..Limits::default() };
    let (hub, permits) = hub(limits);
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    ada.say(&[json!({"type": "text", "room": "r", "id": "first"})]);
    let error = ada.next_where(|message| message["type"] == "error").await;
    assert_eq!((&error["data"]["code"], &error["data"]["retry_after"]), (&json!("unavailable"), &json!(1)));
    permits.add_permits(2);
    ada.say(&[json!({"type": "text", "room": "r", "id": "second"})]);
    let answer = ada.next_where(|message| message["id"] == "second" && message["type"] != "text").await;
    assert_eq!(answer["data"]["code"], "unavailable", "it would pass the first, which is sent again");
}

#[tokio::test]
async fn an_orderly_end_acks_what_is_with_the_engine_before_the_close() {
    let (hub, permits) = hub(Limits { append_timeout: Duration::from_secs(60), ..Limits::default() });
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    ada.say(&[json!({"type": "text", "room": "r", "id": "m"})]);
    let draining = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drain(Duration::from_secs(3600), Duration::ZERO).await }
    });
    ada.next_where(|message| message["data"]["event"] == "draining").await;
    permits.add_permits(1);
    ada.next_where(|message| message["id"] == "m" && message["type"] == "ack").await;
    assert_eq!(ada.end().await.0, 1012);
    ada.vanish();
    draining.await.unwrap();
}
