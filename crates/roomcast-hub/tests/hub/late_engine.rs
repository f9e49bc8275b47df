//! An engine that answers later, as one with a disk or a network does: acks wait for it, order doesn't suffer.

use std::{sync::Arc, time::Duration};

use crate::support::Client;
use roomcast_hub::{
    Feed, Hub, Key, Publication, Publisher, RoomRule,
    engine::{AppendError, Batch, Bounds, Engine, EngineError, Log, Memory, Page, Range, ReadError, Ticket},
};
use roomcast_protocol::{Data, Draft, Limits, Position, Publish, RoomName, server::Delivered};
use roomcast_session::Now;
use serde_json::json;
use tokio::sync::Semaphore;

/// Memory, whose answers wait for a permit each.
struct Late {
    memory: Memory,
    permits: Arc<Semaphore>,
    durable: bool,
}

struct LateLog {
    log: Arc<dyn Log>,
    permits: Arc<Semaphore>,
    durable: bool,
}

impl Engine for Late {
    fn watch(
        &self,
        now: Now,
        room: &RoomName,
        rule: &Arc<RoomRule>,
        make_feed: &mut dyn FnMut(u64) -> Arc<Feed>,
    ) -> Result<Arc<dyn Log>, EngineError> {
        let log = self.memory.watch(now, room, rule, make_feed)?;
        Ok(Arc::new(LateLog { log, permits: self.permits.clone(), durable: self.durable }))
    }

    fn unwatch(&self, now: Now, room: &RoomName) {
        self.memory.unwatch(now, room);
    }

    fn tick(&self, now: Now) {
        self.memory.tick(now);
    }

    fn memory_bytes(&self) -> usize {
        self.memory.memory_bytes()
    }

    fn is_full(&self) -> bool {
        self.memory.is_full()
    }
}

impl Log for LateLog {
    fn append(&self, now: Now, draft: Draft, key: Option<Key>) -> Ticket<Result<Delivered, AppendError>> {
        let appended = self.log.append(now, draft, key);
        let (permits, durable) = (self.permits.clone(), self.durable);
        Ticket::Later(Box::pin(async move {
            permits.acquire().await.expect("the test is not over").forget();
            match appended.wait().await {
                Ok(Delivered { position: Some((epoch, seq)), .. }) if !durable => {
                    Err(AppendError::NotDurable(Position { epoch, seq }))
                }
                outcome => outcome,
            }
        }))
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn read(&self, range: Range, page: Page) -> Result<Batch, ReadError> {
        self.log.read(range, page)
    }
}

fn hub(limits: Limits) -> (Hub, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let engine = Late { memory: Memory::default(), permits: permits.clone(), durable: true };
    (Hub::builder().engine(engine).limits(limits).build(), permits)
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
    let engine = Late { memory: Memory::default(), permits: Arc::new(Semaphore::new(1)), durable: false };
    let hub = Hub::builder().engine(engine).build();
    let mut ada = Client::connect(&hub, "ada").await;
    let joined = ada.join("r", json!({})).await;
    ada.say(&[json!({"type": "text", "room": "r", "id": "m"})]);
    let error = ada.next_where(|message| message["type"] == "error").await;
    assert_eq!((&error["id"], &error["data"]["code"]), (&json!("m"), &json!("not_durable")));
    assert_eq!((&error["data"]["seq"], &error["data"]["retryable"]), (&json!(1), &json!(true)));
    assert_eq!(error["data"]["epoch"], joined["epoch"], "{joined} {error}");
}
