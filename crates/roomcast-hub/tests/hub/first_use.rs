//! The first use of a room, which an engine may have to look up: whoever wants that room waits, and nobody else.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use crate::bent::Bent;
use roomcast_hub::{Hub, engine::EngineError};
use roomcast_protocol::RoomName;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// Enough that some of them share whatever there is to share.
const OTHERS: usize = 1_000;

/// An engine that can't look a room of this name up before it is told how that ends.
fn slow() -> (Bent, mpsc::Receiver<()>, mpsc::Sender<Result<(), EngineError>>) {
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let ends = Mutex::new(ends);
    let engine = Bent::new().watching(move |room: &RoomName| {
        if **room != *"slow" {
            return Ok(());
        }
        begun.send(()).unwrap();
        ends.lock().unwrap().recv().unwrap()
    });
    (engine, begins, end)
}

#[tokio::test]
async fn a_room_that_is_looked_up_makes_no_other_wait() {
    let (engine, begins, end) = slow();
    let hub = Hub::builder().engine(engine).build();
    let looking = {
        let hub = hub.clone();
        thread::spawn(move || hub.room("slow").map(drop))
    };
    begins.recv_timeout(PATIENCE).unwrap();
    let (done, others) = mpsc::channel();
    {
        let hub = hub.clone();
        thread::spawn(move || {
            (0..OTHERS).for_each(|i| drop(hub.room(&format!("other{i}")).unwrap()));
            done.send(()).unwrap();
        });
    }
    let went_on = others.recv_timeout(PATIENCE);
    end.send(Ok(())).unwrap();
    looking.join().unwrap().unwrap();
    went_on.expect("the others are not made to wait");
}

#[tokio::test]
async fn a_room_is_made_by_one_at_a_time_and_after_a_failure_by_the_next() {
    let (engine, begins, end) = slow();
    let hub = Hub::builder().engine(engine).build();
    let looking: Vec<_> = (0..8)
        .map(|_| {
            let hub = hub.clone();
            thread::spawn(move || hub.room("slow").ok())
        })
        .collect();
    begins.recv_timeout(PATIENCE).unwrap();
    end.send(Err(EngineError::Unavailable("not yet".into()))).unwrap();
    begins.recv_timeout(PATIENCE).unwrap();
    end.send(Ok(())).unwrap();
    let rooms: Vec<_> = looking.into_iter().filter_map(|looking| looking.join().unwrap()).collect();
    assert_eq!(rooms.len(), 7, "one was told of the failure");
    assert!(rooms.iter().all(|room| Arc::ptr_eq(room, &rooms[0])), "all have the same");
    assert!(begins.try_recv().is_err(), "and nobody looks again");
}
