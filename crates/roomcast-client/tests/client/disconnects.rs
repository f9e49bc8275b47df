//! Connections that are cut, servers that end, readers that lag: nothing is lost, doubled or out of order.

use roomcast_client::{Error, Event, Raw, Status, Transport};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};

use crate::support::{
    Mode, Proxy, Server, joined, next, numbers, say, soon, until, until_connected, until_waiting,
};

on_each_transport! {
    a_reader_that_is_cut_off_misses_nothing,
    both_ends_are_cut_at_any_moment_and_every_message_is_there_once,
    what_is_sent_offline_arrives_once_and_in_order,
    what_was_taken_but_never_acked_is_not_sent_out_again,
    what_the_log_no_longer_holds_is_a_gap,
    a_server_that_restarts_says_when_to_come_back_and_its_empty_memory_is_a_gap,
    a_reader_that_lags_stops_nobody_and_misses_nothing,
    what_is_at_most_once_says_that_it_was_not_sent,
}

async fn a_reader_that_is_cut_off_misses_nothing(by: Transport) {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let (writer, reader) = (
        server.client().transports([by]).connect().unwrap(),
        proxy.client().transports([by]).connect().unwrap(),
    );
    let said = writer.join::<Raw>("general").await.unwrap();
    let mut heard = reader.join::<Raw>("general").await.unwrap();
    joined(&mut heard).await;
    for round in 0..10 {
        for n in 0..10 {
            soon(said.send(&say("text", json!({"n": round * 10 + n})))).await.unwrap();
            if n == 5 {
                proxy.cut();
            }
        }
        let expected: Vec<_> = (round * 10..(round + 1) * 10).collect();
        assert_eq!(numbers(&mut heard, 10).await, expected);
    }
}

async fn both_ends_are_cut_at_any_moment_and_every_message_is_there_once(by: Transport) {
    const MESSAGES: u64 = 300;
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let client = || proxy.client().transports([by]).connect().unwrap();
    let (writer, reader) = (client(), client());
    let said = writer.join::<Raw>("general").await.unwrap();
    let mut heard = reader.join::<Raw>("general").await.unwrap();
    joined(&mut heard).await;
    let voice = said.voice();
    let write = async {
        let mut receipts = Vec::new();
        for n in 0..MESSAGES {
            receipts.push(voice.post(&say("text", json!({"n": n}))).await.unwrap());
            // Wherever the connections are just then, and whatever is on its way.
            if n % 7 == 0 {
                proxy.cut();
            }
            if n % 10 == 9 {
                receipts.pop().unwrap().ack().await.unwrap();
            }
        }
        for (receipt, before) in receipts.into_iter().zip(0_u64..) {
            assert!(receipt.ack().await.unwrap().position.unwrap().seq > before);
        }
    };
    let read = numbers(&mut heard, MESSAGES as usize);
    let ((), heard) = soon(futures_util::future::join(write, read)).await;
    assert_eq!(heard, (0..MESSAGES).collect::<Vec<_>>());
}

async fn what_is_sent_offline_arrives_once_and_in_order(by: Transport) {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let (writer, reader) = (
        proxy.client().transports([by]).connect().unwrap(),
        server.client().transports([by]).connect().unwrap(),
    );
    let said = writer.join::<Raw>("general").await.unwrap();
    let mut heard = reader.join::<Raw>("general").await.unwrap();
    joined(&mut heard).await;
    until_connected(&writer).await;
    proxy.set(Mode::Cut);
    until_waiting(&writer).await;
    let voice = said.voice();
    let mut receipts = Vec::new();
    for n in 0..100 {
        receipts.push(voice.post(&say("text", json!({"n": n}))).await.unwrap());
    }
    proxy.set(Mode::Open);
    for (receipt, seq) in receipts.into_iter().zip(1..) {
        let ack = soon(receipt.ack()).await.unwrap();
        assert_eq!((ack.position.unwrap().seq, ack.duplicate), (seq, false));
    }
    assert_eq!(numbers(&mut heard, 100).await, (0..100).collect::<Vec<_>>());
}

async fn what_was_taken_but_never_acked_is_not_sent_out_again(by: Transport) {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let (writer, reader) = (
        proxy.client().transports([by]).connect().unwrap(),
        server.client().transports([by]).connect().unwrap(),
    );
    let mut said = writer.join::<Raw>("general").await.unwrap();
    let mut heard = reader.join::<Raw>("general").await.unwrap();
    joined(&mut said).await;
    joined(&mut heard).await;
    proxy.set(Mode::Deaf);
    let first = said.voice().post(&say("text", json!({"n": 0}))).await.unwrap();
    assert_eq!(numbers(&mut heard, 1).await, [0], "the server has it");
    proxy.cut();
    let ack = soon(first.ack()).await.unwrap();
    assert!(ack.duplicate, "{ack:?}");
    soon(said.send(&say("text", json!({"n": 1})))).await.unwrap();
    assert_eq!(numbers(&mut heard, 1).await, [1]);
    assert_eq!(numbers(&mut said, 2).await, [0, 1], "the writer missed nothing either");
}

async fn what_the_log_no_longer_holds_is_a_gap(by: Transport) {
    let server = Server::forgetful(5);
    let proxy = Proxy::before(&server).await;
    let (writer, reader) = (
        server.client().transports([by]).connect().unwrap(),
        proxy.client().transports([by]).connect().unwrap(),
    );
    let said = writer.join::<Raw>("general").await.unwrap();
    let mut heard = reader.join::<Raw>("general").await.unwrap();
    joined(&mut heard).await;
    proxy.set(Mode::Cut);
    until_waiting(&reader).await;
    for n in 0..20 {
        soon(said.send(&say("text", json!({"n": n})))).await.unwrap();
    }
    proxy.set(Mode::Open);
    let gap = |event: Event<Raw>| match event {
        Event::Gap { reason, position } => Some((reason, position.seq)),
        Event::Message(message) => panic!("before the gap: {message:?}"),
        _ => None,
    };
    assert_eq!(next(&mut heard, gap).await, ("too_old".into(), 20));
    assert!(!joined(&mut heard).await);
    soon(said.send(&say("text", json!({"n": 20})))).await.unwrap();
    assert_eq!(numbers(&mut heard, 1).await, [20]);
}

async fn a_server_that_restarts_says_when_to_come_back_and_its_empty_memory_is_a_gap(by: Transport) {
    let old = Server::open();
    let proxy = Proxy::before(&old).await;
    let client = proxy.client().transports([by]).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    soon(room.send(&say("text", json!({"n": 0})))).await.unwrap();
    let new = Server::open();
    proxy.move_to(&new);
    old.shut_down().await;
    let gap = |event: Event<Raw>| match event {
        Event::Gap { reason, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(next(&mut room, gap).await, "epoch");
    let ack = soon(room.send(&say("text", json!({"n": 1})))).await.unwrap();
    assert_eq!(room.position().unwrap().epoch, ack.position.unwrap().epoch);
}

async fn a_reader_that_lags_stops_nobody_and_misses_nothing(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    // Rooms keep ten thousand messages, inboxes one thousand events.
    let mut receipts = Vec::new();
    for n in 0..3_000 {
        receipts.push(room.voice().post(&say("text", json!({"n": n}))).await.unwrap());
        if receipts.len() == 500 {
            for receipt in receipts.drain(..) {
                soon(receipt.ack()).await.expect("an ack, though nobody reads");
            }
        }
    }
    assert_eq!(numbers(&mut room, 3_000).await, (0..3_000).collect::<Vec<_>>());
}

async fn what_is_at_most_once_says_that_it_was_not_sent(by: Transport) {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let client = proxy.client().transports([by]).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    proxy.set(Mode::Cut);
    until_waiting(&client).await;
    assert_eq!(soon(room.typing(true)).await.unwrap_err(), Error::Offline);
    assert_eq!(soon(room.send_volatile(&say("cursor", json!({})))).await.unwrap_err(), Error::Offline);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_and_tried_again() {
    // Bound, so that nobody else gets the port, and not listening.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let client = crate::support::client(address).connect().unwrap();
    let waiting = |status: &Status| matches!(status, Status::Waiting { .. });
    let Status::Waiting { cause, .. } = until(&client, waiting).await else { panic!() };
    assert!(cause.to_string().starts_with(&format!("can't connect to {address}: ")), "{cause}");
    until(&client, |status| matches!(status, Status::Connecting { attempt: 3.. })).await;
    let ended = soon(client.close()).await;
    assert_eq!(ended.code, None);
    assert!(matches!(client.join::<Raw>("general").await.unwrap_err(), Error::Ended(_)));
}

#[tokio::test]
async fn a_client_that_nobody_holds_ends_though_the_server_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for url in [format!("http://{address}"), format!("https://{address}")] {
        let client = crate::support::client_of(&url).connect().unwrap();
        let room = client.join::<Raw>("general").await.unwrap();
        let (mut silent, _) = soon(listener.accept()).await.unwrap();
        let mut status = client.status();
        drop((client, room));
        soon(status.wait_for(|status| matches!(status, Status::Ended(_)))).await.unwrap();
        // And so does its connection.
        while soon(silent.read(&mut [0; 1024])).await.is_ok_and(|read| read > 0) {}
    }
}

#[tokio::test]
async fn who_doesnt_want_to_wait_for_ever_gives_up() {
    let server = Server::open();
    let proxy = Proxy::before(&server).await;
    let client = proxy.client().retries_max(2).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    proxy.set(Mode::Cut);
    let ended = soon(client.ended()).await;
    assert_eq!(ended.code, None);
    assert!(!ended.reason.is_empty());
    let left = |event: Event<Raw>| match event {
        Event::Left { reason } => Some(reason),
        _ => None,
    };
    assert_eq!(next(&mut room, left).await, ended.reason);
}

#[tokio::test]
async fn something_else_at_the_address_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let other = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
            // Until the client has read it and hangs up.
            while socket.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
        }
    });
    let client = crate::support::client(address).connect().unwrap();
    let waiting = |status: &Status| matches!(status, Status::Waiting { .. });
    let Status::Waiting { cause, .. } = until(&client, waiting).await else { panic!() };
    let expected = format!("no WebSocket at http://{address}: the server answered 404 Not Found");
    assert!(cause.to_string().starts_with(&expected), "{cause}");
    other.abort();
}
