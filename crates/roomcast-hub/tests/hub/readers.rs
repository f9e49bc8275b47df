//! What readers of a room get: everything once and in order, or word that they must reload.

use std::{sync::Arc, time::Duration};

use crate::support::{Client, identity, rule, text};
use roomcast_hub::{Authorizer, Departure, Hub, Line, Publication, Publisher, RoomRule, Subscription};
use roomcast_protocol::{
    Code, Data, Grants, Join, Limits, Pattern, Positions, Publish, Rights, RoomName, SessionId, Timestamp,
    Wire,
};
use roomcast_session::Identity;
use serde_json::json;

fn hub(rule: RoomRule) -> Hub {
    // A machine under load must not look like a reader that stalls.
    let write_stall_timeout = Duration::from_secs(600);
    let limits = Limits { sends_per_second: 0, write_stall_timeout, ..Limits::default() };
    Hub::builder().rules(vec![rule]).limits(limits).build()
}

/// Two readers of one room.
async fn slow_and_quick(hub: &Hub) -> (Client, Client) {
    let mut slow = Client::connect(hub, "slow").await;
    slow.join("r", json!({})).await;
    let mut quick = Client::connect(hub, "quick").await;
    quick.join("r", json!({})).await;
    (slow, quick)
}

/// Says something large that only the speaker reads.
async fn say_large(quick: &mut Client) -> u64 {
    quick.say(&[text("r", &"x".repeat(1_000))]);
    quick.seqs(1).await[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_one_order() {
    let hub = hub(rule());
    let mut readers = Vec::new();
    for i in 0..4 {
        let mut reader = Client::connect(&hub, &format!("reader{i}")).await;
        reader.join("r", json!({})).await;
        readers.push(reader);
    }
    let mut publishers = Vec::new();
    for i in 0..3 {
        let mut publisher = Client::connect(&hub, &format!("publisher{i}")).await;
        publisher.join("r", json!({"presence": false})).await;
        publishers.push(publisher);
    }
    let publish = |publisher: Client| {
        tokio::task::spawn_blocking(move || {
            (0..100).for_each(|_| publisher.say(&[text("r", "a"), text("r", "b")]));
            publisher
        })
    };
    let publishing: Vec<_> = publishers.into_iter().map(publish).collect();
    for reader in &mut readers {
        assert_eq!(reader.seqs(600).await, (1..=600).collect::<Vec<_>>());
    }
    for publisher in publishing {
        assert_eq!(publisher.await.unwrap().seqs(600).await, (1..=600).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_reading_costs_nobody_and_catches_up() {
    let hub = hub(rule());
    let (mut slow, mut quick) = slow_and_quick(&hub).await;
    for i in 1..=2_000 {
        assert_eq!(say_large(&mut quick).await, i);
    }
    assert!(hub.counters().blocked_total.get() > 0, "the slow reader's socket was full");
    assert_eq!(slow.seqs(2_000).await, (1..=2_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_the_log_outran_is_told_to_reload() {
    let mut few = rule();
    few.history.messages_max = 10;
    let hub = hub(few);
    let (mut slow, mut quick) = slow_and_quick(&hub).await;
    for i in 1..=2_000 {
        assert_eq!(say_large(&mut quick).await, i);
    }
    let (mut expected, mut resets) = (1, 0);
    while expected <= 2_000 {
        let message = slow.next_of_log().await;
        if let Some(seq) = message["seq"].as_u64() {
            assert_eq!(seq, expected, "no hole without a word");
            expected += 1;
            continue;
        }
        resets += 1;
        assert_eq!(message["data"]["reason"], "too_old");
        expected = message["data"]["seq"].as_u64().unwrap() + 1;
    }
    assert!(resets > 0, "the log moved past the reader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lags_misses_what_is_ephemeral_and_gets_the_roster_anew() {
    let hub = hub(rule());
    let (mut slow, mut quick) = slow_and_quick(&hub).await;
    while hub.counters().blocked_total.get() == 0 {
        say_large(&mut quick).await;
    }
    let mut third = Client::connect(&hub, "third").await;
    let v = third.join("r", json!({})).await["v"].as_u64().unwrap();
    quick.say(&[json!({"type": "cursor", "room": "r", "volatile": true, "data": {"x": 1}})]);
    quick.next_where(|message| message["type"] == "cursor").await;
    quick.say(&[text("r", "last")]);
    let is_last = |message: &serde_json::Value| message["data"]["content"] == "last";
    let mut seen = Vec::new();
    loop {
        let message = slow.next().await.unwrap();
        seen.push((message["type"].clone(), message["data"]["event"].clone(), message["data"]["v"].as_u64()));
        if is_last(&message) {
            break;
        }
    }
    assert!(seen.iter().all(|(kind, ..)| kind != "cursor"), "an ephemeral message waits for nobody");
    let synced = |(_, event, at): &(_, serde_json::Value, Option<u64>)| event == "sync" && *at == Some(v);
    assert!(seen.iter().any(synced), "the join that was missed is made good for: {seen:?}");
}

#[tokio::test]
async fn a_position_is_honoured_or_refused_with_its_reason() {
    let mut few = rule();
    few.history.messages_max = 5;
    let hub = hub(few);
    let mut ada = Client::connect(&hub, "ada").await;
    let epoch = ada.join("r", json!({})).await["epoch"].as_str().unwrap().to_owned();
    ada.say(&vec![text("r", "m"); 10]);
    ada.seqs(10).await;
    let at = async |data: serde_json::Value| {
        let mut reader = Client::connect(&hub, "reader").await;
        let ack = reader.join("r", data).await;
        ada.say(&[text("r", "live")]);
        let first = reader.next_of_log().await;
        (ack["recovered"].clone(), ack["reset"].clone(), first["seq"].as_u64(), ack["from"].as_u64())
    };
    let since = |epoch: &str, seq: u64| json!({"since": {"epoch": epoch, "seq": seq}});
    assert_eq!(at(since(&epoch, 8)).await, (true.into(), json!(null), Some(9), Some(8)));
    assert_eq!(at(since(&epoch, 6)).await, (true.into(), json!(null), Some(7), Some(6)));
    assert_eq!(
        at(json!({"since": format!("{epoch}.7")})).await,
        (true.into(), json!(null), Some(8), Some(7))
    );
    assert_eq!(at(json!({"last": 2})).await, (false.into(), json!(null), Some(12), Some(11)));
    assert_eq!(at(json!({})).await, (false.into(), json!(null), Some(15), Some(14)));
    assert_eq!(at(since(&epoch, 3)).await, (false.into(), "too_old".into(), None, Some(15)));
    assert_eq!(at(since(&epoch, 99)).await, (false.into(), "future".into(), None, Some(16)));
    assert_eq!(at(since("other", 15)).await, (false.into(), "epoch".into(), None, Some(17)));
}

#[tokio::test]
async fn what_comes_between_a_join_and_its_ack_comes_after_it() {
    let hub = hub(rule());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.say(&[
        json!({"type": "join", "room": "r", "id": "1"}),
        text("r", "first"),
        json!({"type": "leave", "room": "r", "id": "2"}),
        text("r", "refused"),
        json!({"type": "join", "room": "r", "id": "3", "data": {"last": 10}}),
    ]);
    let mut said = Vec::new();
    while said.last().is_none_or(|last| last != "text") {
        let message = ada.next().await.unwrap();
        let data = &message["data"];
        let what = [&data["status"], &data["code"], &data["event"], &message["type"]];
        said.push(what.into_iter().find(|value| value.is_string()).unwrap().as_str().unwrap().to_owned());
    }
    assert_eq!(hub.counters().refused_total.get(), 1);
    assert_eq!(said, ["welcome", "joined", "sync", "left", "not_joined", "joined", "sync", "text"]);
}

#[tokio::test]
async fn a_join_again_changes_nothing_and_loses_nothing() {
    let hub = hub(rule());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    ada.say(&[text("r", "a"), json!({"type": "join", "room": "r", "id": "again"}), text("r", "b")]);
    let ack = ada.next_where(|message| message["id"] == "again").await;
    assert_eq!(ack["data"]["from"], 0, "it goes on from where it was");
    assert_eq!(ada.seqs(2).await, [1, 2]);
}

#[tokio::test]
async fn the_newest_connection_of_a_session_wins() {
    let hub = hub(rule());
    let mut watcher = Client::connect(&hub, "watcher").await;
    watcher.join("r", json!({})).await;
    let session = || identity("ada", "one");
    let mut first = Client::with(&hub, session(), 1, None).await;
    first.join("r", json!({})).await;
    let room = RoomName::new("r").unwrap();
    let join = Join { member: true, ..Join::default() };
    let mut second = Client::with(&hub, session(), 2, Some((room, join))).await;
    assert_eq!(first.end().await.0, 4009);
    assert_eq!(second.next().await.unwrap()["data"]["event"], "welcome");
    assert_eq!(second.next().await.unwrap()["data"]["status"], "joined");
    let mut late = Client::with(&hub, session(), 1, None).await;
    assert_eq!(late.end().await.0, 4009, "a late try displaces nobody");
    second.say(&[json!({"type": "leave", "room": "r"})]);
    let events = ["join", "leave"];
    for event in events {
        let message = watcher.next_where(|message| message["data"]["user"] == "ada").await;
        assert_eq!(message["data"]["event"], event, "the take-over itself is told to nobody");
    }
}

#[tokio::test]
async fn a_loss_is_told_after_the_grace_and_a_return_within_it_never() {
    let mut brief = rule();
    brief.presence.grace = Duration::from_millis(300);
    let hub = hub(brief);
    let mut watcher = Client::connect(&hub, "watcher").await;
    watcher.join("r", json!({})).await;
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    ada.vanish();
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    ada.vanish();
    let of_ada = |message: &serde_json::Value| message["data"]["user"] == "ada";
    assert_eq!(watcher.next_where(of_ada).await["data"]["event"], "join");
    assert_eq!(watcher.next_where(of_ada).await["data"]["event"], "leave");
}

#[tokio::test]
async fn an_orderly_end_tells_when_to_come_back() {
    let hub = hub(rule());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    let draining = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drain(Duration::from_secs(3600), Duration::from_millis(500)).await }
    });
    let message = ada.next_where(|message| message["data"]["event"] == "draining").await;
    assert!(message["data"]["reconnect_in"].as_f64().is_some_and(|seconds| seconds <= 0.5));
    assert_eq!(ada.end().await.0, 1012);
    ada.vanish();
    draining.await.unwrap();
}

#[tokio::test]
async fn what_is_not_for_a_reader_never_hides_what_is() {
    let hub = hub(rule());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    // More than one write's worth that all but the sender get, then something that it gets too.
    let draft = "x".repeat(20_000);
    let typing = |on: bool| json!({"type": "typing", "room": "r", "data": {"typing": on, "draft": draft}});
    let before = hub.counters().deliveries_total.get();
    ada.say(&[typing(true), typing(false), typing(true), text("r", "said")]);
    let delivered = hub.counters().deliveries_total.get() - before;
    assert_eq!(delivered, 1, "it is written by whoever moved the tip, not by the next tick");
    assert_eq!(ada.seqs(1).await, [1]);
}

#[tokio::test]
async fn nothing_follows_a_close() {
    let hub = hub(rule());
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    let mut turn = hub.turn(&ada.connection);
    turn.message(&text("r", "in the same read as the close").to_string());
    turn.goodbye(Departure::Clean);
    turn.finish();
    assert_eq!(ada.end().await.0, 1000);
}

/// Every token is ada's, and gives what is named in it.
struct Named;

impl Authorizer for Named {
    fn authenticate(&self, token: &str, _: &SessionId, _: Timestamp) -> Result<Identity, (Code, String)> {
        let rights = token.split(' ').filter_map(Rights::named).fold(Rights::NONE, |sum, right| sum | right);
        let everywhere = Pattern::new("*").expect("a star is a pattern");
        let grants = Arc::new(Grants::Claims(vec![(everywhere, rights)]));
        Ok(Identity { grants, ..identity("ada", "ada") })
    }
}

#[tokio::test]
async fn who_loses_the_right_to_the_roster_is_told_nothing_more_of_it() {
    let hub = Hub::builder().authorizer(Arc::new(Named)).build();
    let mut ada = Client::connect(&hub, "ada").await;
    ada.join("r", json!({})).await;
    ada.say(&[json!({"type": "auth", "id": "auth", "data": {"token": "join send"}})]);
    ada.next_where(|message| message["id"] == "auth").await;
    let mut bob = Client::connect(&hub, "bob").await;
    bob.join("r", json!({})).await;
    bob.say(&[text("r", "here")]);
    assert_eq!(ada.next().await.unwrap()["type"], "text", "bob's join is not told");
    ada.say(&[json!({"type": "auth", "id": "again", "data": {"token": "*"}})]);
    ada.next_where(|message| message["id"] == "again").await;
    let sync = ada.next().await.unwrap();
    assert_eq!((&sync["data"]["event"], &sync["data"]["count"]), (&json!("sync"), &json!(2)));
    bob.say(&[json!({"type": "leave", "room": "r"})]);
    assert_eq!(ada.next().await.unwrap()["data"]["event"], "leave");
}

#[tokio::test]
async fn nothing_is_left_of_a_poll_that_had_more_to_tell_than_one_answer_holds() {
    let hub = hub(rule());
    let mut ada = Client::connect(&hub, "ada").await;
    let epoch = ada.join("r", json!({})).await["epoch"].as_str().unwrap().to_owned();
    for _ in 0..200 {
        say_large(&mut ada).await;
    }
    let join = Join { since: Some(Positions::parse(&format!("{epoch}.0"), 100).unwrap()), ..Join::default() };
    let rooms = vec![(RoomName::new("r").unwrap(), join, Rights::JOIN)];
    let (identity, line) = (Arc::new(identity("eve", "eve")), Line::Pipe(None));
    let mut poll = hub.subscribe(Subscription { identity, line, wire: Wire::List, rooms }).unwrap();
    let (messages, _) = poll.take().unwrap().unwrap();
    assert!(messages.iter().map(bytes::Bytes::len).sum::<usize>() < 200_000, "the rest is for the next");
    drop(poll);
    assert_eq!(hub.counters().connections.get(), 1, "ada's alone");
}

#[tokio::test]
async fn a_user_and_a_back_end_of_the_same_name_are_two_publishers() {
    let hub = hub(rule());
    let room = hub.room("r").unwrap();
    let publish = async |publisher, kind: &'static str| {
        let publish = Publish::new(kind.into(), Data::default(), false).unwrap();
        room.publish(&Publication { id: Some("order-1"), publish: &publish, publisher }).await.unwrap()
    };
    publish(Publisher::User("worker"), "text").await;
    assert!(!publish(Publisher::Backend("worker"), "paid").await.duplicate);
    assert!(publish(Publisher::Backend("worker"), "paid").await.duplicate);
}
