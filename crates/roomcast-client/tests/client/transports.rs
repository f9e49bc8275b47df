//! Which transport is taken, and that nothing is missed from one to the next.

use roomcast_client::{Client, Event, Join, Raw, Room, Status, Transport};
use serde_json::json;

use crate::support::{Mode, Proxy, Server, joined, numbers, say, soon, until, until_waiting};

/// The transport of a client that has got through.
async fn transport(client: &Client) -> Transport {
    match until(client, |status| matches!(status, Status::Connected { .. })).await {
        Status::Connected { transport, .. } => transport,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_that_gets_through_is_taken() {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    for (blocked, expected) in [
        (&[][..], Transport::WebSocket),
        (&["/ws"], Transport::Events),
        (&["/ws", "/events"], Transport::Poll),
    ] {
        proxy.block(blocked);
        let client = proxy.client().connect().unwrap();
        assert_eq!(transport(&client).await, expected);
        let mut room = client.join::<Raw>("general").await.unwrap();
        soon(room.send(&say("text", json!({"n": 7})))).await.unwrap();
        assert_eq!(numbers(&mut room, 1).await, [7]);
    }
}

#[tokio::test]
async fn what_worked_is_remembered() {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    proxy.block(&["/ws"]);
    let client = proxy.client().connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    for n in 0..5 {
        proxy.cut();
        soon(room.send(&say("text", json!({"n": n})))).await.unwrap();
        assert_eq!(numbers(&mut room, 1).await, [n]);
    }
    assert_eq!((transport(&client).await, proxy.asked("/ws")), (Transport::Events, 1));
}

#[tokio::test]
async fn where_nothing_gets_through_the_favourite_says_why() {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    proxy.block(&["/"]);
    let client = proxy.client().connect().unwrap();
    let waiting = |status: &Status| matches!(status, Status::Waiting { .. });
    let Status::Waiting { cause, .. } = until(&client, waiting).await else { panic!() };
    assert!(cause.to_string().contains("no WebSocket at "), "{cause}");
    assert!(proxy.asked("/events") > 0 && proxy.asked("/poll") > 0);
    proxy.block(&[]);
    assert_eq!(transport(&client).await, Transport::WebSocket);
}

#[tokio::test]
async fn a_position_moves_along_from_each_transport_to_the_next() {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let said = server.client().connect().unwrap().join::<Raw>("general").await.unwrap();
    let client = proxy.client().connect().unwrap();
    let mut heard = client.join::<Raw>("general").await.unwrap();
    joined(&mut heard).await;
    let mut n = 0;
    for (blocked, expected) in [
        (&["/ws"][..], Transport::Events),
        (&["/ws", "/events"], Transport::Poll),
        (&["/events", "/poll"], Transport::WebSocket),
    ] {
        proxy.set(Mode::Cut);
        proxy.block(blocked);
        until_waiting(&client).await;
        for _ in 0..10 {
            soon(said.send(&say("text", json!({"n": n})))).await.unwrap();
            n += 1;
        }
        proxy.set(Mode::Open);
        assert_eq!(numbers(&mut heard, 10).await, (n - 10..n).collect::<Vec<_>>());
        assert_eq!(transport(&client).await, expected);
    }
}

#[tokio::test]
async fn a_position_of_one_transport_is_good_on_every_other() {
    let server = Server::open();
    let said = server.client().connect().unwrap().join::<Raw>("general").await.unwrap();
    let mut position = None;
    for (n, by) in [Transport::WebSocket, Transport::Events, Transport::Poll, Transport::WebSocket]
        .into_iter()
        .enumerate()
    {
        soon(said.send(&say("text", json!({"n": n})))).await.unwrap();
        let client = server.client().transports([by]).connect().unwrap();
        let join = Join::new("general").last(1);
        let join = position.map_or(join, |position| Join::new("general").since(position));
        let mut room = client.join::<Raw>(join).await.unwrap();
        assert_eq!(joined(&mut room).await, n > 0);
        assert_eq!(numbers(&mut room, 1).await, [n as u64]);
        position = room.position().cloned();
    }
}

on_each_transport! {
    rooms_begin_each_where_they_are_asked_to,
    rooms_come_and_go_without_a_hole,
    what_many_rooms_say_comes_in_order,
}

/// The numbers of what was said in it, which a client joins that way.
async fn heard_in(client: &Client, join: Join, count: usize) -> (Room<Raw>, Vec<u64>) {
    let mut room = client.join::<Raw>(join).await.unwrap();
    joined(&mut room).await;
    let heard = numbers(&mut room, count).await;
    (room, heard)
}

async fn rooms_begin_each_where_they_are_asked_to(by: Transport) {
    let server = Server::open();
    let writer = server.client().connect().unwrap();
    for room in ["a", "b", "c"] {
        let room = writer.join::<Raw>(room).await.unwrap();
        for n in 0..5 {
            soon(room.send(&say("text", json!({"n": n})))).await.unwrap();
        }
    }
    let client = server.client().transports([by]).connect().unwrap();
    let joins = [Join::new("a").last(2), Join::new("b").last(3), Join::new("c")];
    let [(_a, a), (_b, b), (c, _)] = futures_util::future::join_all(
        joins.into_iter().zip([2, 3, 0]).map(|(join, count)| heard_in(&client, join, count)),
    )
    .await
    .try_into()
    .unwrap();
    assert_eq!((a, b), (vec![3, 4], vec![2, 3, 4]));
    assert_eq!(c.position().unwrap().seq, 5);
}

async fn rooms_come_and_go_without_a_hole(by: Transport) {
    let server = Server::open();
    let writer = server.client().connect().unwrap();
    let said = writer.join::<Raw>("general").await.unwrap();
    let client = server.client().transports([by]).connect().unwrap();
    let mut heard = client.join::<Raw>("general").await.unwrap();
    joined(&mut heard).await;
    for n in 0..30 {
        let mut other = client.join::<Raw>(&*format!("other:{}", n % 3)).await.unwrap();
        let message = said.voice().post(&say("text", json!({"n": n}))).await.unwrap();
        if n % 2 == 0 {
            joined(&mut other).await;
        }
        soon(message.ack()).await.unwrap();
        soon(other.leave()).await.unwrap();
    }
    assert_eq!(numbers(&mut heard, 30).await, (0..30).collect::<Vec<_>>());
}

async fn what_many_rooms_say_comes_in_order(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let mut rooms = Vec::new();
    for n in 0..10 {
        rooms.push(client.join::<Raw>(&*format!("room:{n}")).await.unwrap());
    }
    let mut receipts = Vec::new();
    for n in 0..50 {
        for room in &rooms {
            receipts.push(room.voice().post(&say("text", json!({"n": n}))).await.unwrap());
        }
    }
    for receipt in receipts {
        soon(receipt.ack()).await.unwrap();
    }
    for room in &mut rooms {
        assert_eq!(numbers(room, 50).await, (0..50).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_room_too_many_for_one_request_is_denied_and_the_others_go_on() {
    let server = Server::open();
    for by in [Transport::Events, Transport::Poll] {
        let client = server.client().transports([by]).connect().unwrap();
        let mut rooms = Vec::new();
        for n in 0..34 {
            rooms.push(client.join::<Raw>(&*format!("room:{n}")).await.unwrap());
        }
        let mut denied = 0;
        for room in &mut rooms {
            match soon(room.next()).await.unwrap() {
                Event::Denied(refused) => {
                    assert_eq!(refused.code, "too_many_rooms");
                    denied += 1;
                }
                Event::Joined { .. } => drop(soon(room.send(&say("text", json!({"n": 1})))).await.unwrap()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(denied, 2, "by {by:?}");
    }
}
