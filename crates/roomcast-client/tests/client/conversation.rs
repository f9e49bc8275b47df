//! What people do in a room while nothing fails.

use roomcast_client::{Error, Event, Join, Range, Raw, Transport};
use serde_json::{Value, json};

use crate::support::{Roster, Server, joined, message, next, numbers, say, soon};

on_each_transport! {
    a_message_is_acked_and_comes_to_everybody,
    an_id_of_ones_own_is_taken_once,
    who_is_here_who_types_and_what_passes_by,
    what_was_said_before,
    leaving_and_letting_go,
    a_room_that_was_let_go_is_joined_again_at_once,
    who_has_left_has_no_say_in_the_room_joined_again,
    nonsense_is_refused_in_words,
}

async fn a_message_is_acked_and_comes_to_everybody(by: Transport) {
    let server = Server::open();
    let (ada, bob) = (
        server.client().transports([by]).user("ada").connect().unwrap(),
        server.client().transports([by]).connect().unwrap(),
    );
    let (mut here, mut there) =
        (ada.join::<Raw>("general").await.unwrap(), bob.join::<Raw>("general").await.unwrap());
    assert!(!joined(&mut here).await);
    joined(&mut there).await;
    let ack = soon(here.send(&say("text", json!({"content": "Hello"})))).await.unwrap();
    assert!(!ack.duplicate);
    for room in [&mut here, &mut there] {
        let message = message(room).await;
        assert_eq!((message.body.kind.as_str(), message.author.as_deref()), ("text", Some("ada")));
        assert_eq!(message.body.read::<Value>().unwrap()["content"], "Hello");
        assert_eq!(message.id.as_deref(), Some(&*ack.id));
        assert_eq!(room.position(), ack.position.as_ref());
        assert_eq!(message.timestamp, ack.timestamp);
    }
}

async fn an_id_of_ones_own_is_taken_once(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let voice = client.join::<Raw>("general").await.unwrap().voice();
    // The room's stream is gone, and with it the seat; a voice alone can't speak.
    let error = soon(voice.send(&say("text", json!({})))).await.unwrap_err();
    assert_eq!(error, Error::Left);
    let room = client.join::<Raw>("general").await.unwrap();
    let id = roomcast_client::MessageId::new("once").unwrap();
    let mut positions = Vec::new();
    for duplicate in [false, true] {
        let receipt = room.voice().post_as(id.clone(), &say("text", json!({"n": 1}))).await.unwrap();
        let ack = soon(receipt.ack()).await.unwrap();
        assert_eq!(ack.duplicate, duplicate);
        positions.push(ack.position);
    }
    assert_eq!(positions[0], positions[1]);
    let other = room.voice().post_as(id, &say("text", json!({"n": 2}))).await.unwrap();
    let Err(Error::Refused(refused)) = soon(other.ack()).await else { panic!("taken") };
    assert_eq!(refused.code, "conflict");
}

async fn who_is_here_who_types_and_what_passes_by(by: Transport) {
    let server = Server::open();
    let (ada, bob) = (
        server.client().transports([by]).user("ada").connect().unwrap(),
        server.client().transports([by]).user("bob").connect().unwrap(),
    );
    let mut here = ada.join::<Raw>("general").await.unwrap();
    joined(&mut here).await;
    let there = bob.join::<Raw>(Join::new("general").state(&json!({"mood": "good"})).unwrap()).await.unwrap();
    let mut roster = Roster::default();
    roster.until(&mut here, |roster| roster.has("bob", "mood", "good")).await;
    soon(there.set_state(&json!({"mood": "better"}))).await.unwrap();
    roster.until(&mut here, |roster| roster.has("bob", "mood", "better")).await;

    soon(there.typing(true)).await.unwrap();
    let types = |event: Event<Raw>| match event {
        Event::Typing(typing) => Some(typing),
        _ => None,
    };
    let typing = next(&mut here, types).await;
    assert_eq!((typing.author.as_str(), typing.typing), ("bob", true));

    let ack = soon(there.send_volatile(&say("cursor", json!({"x": 3})))).await.unwrap();
    assert_eq!(ack.position, None);
    let cursor = message(&mut here).await;
    assert_eq!((cursor.body.kind.as_str(), cursor.seq), ("cursor", None));

    bob.close().await;
    roster.until(&mut here, |roster| roster.users() == ["ada"]).await;
}

async fn what_was_said_before(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let room = client.join::<Raw>("general").await.unwrap();
    for n in 0..5 {
        soon(room.send(&say("text", json!({"n": n})))).await.unwrap();
    }
    let page = soon(room.history(Range::Newest, Some(2))).await.unwrap();
    let seqs: Vec<_> = page.messages.iter().map(|message| message.as_ref().unwrap().seq.unwrap()).collect();
    assert_eq!((seqs, page.complete), (vec![4, 5], false));

    let late = server.client().transports([by]).connect().unwrap();
    let mut room = late.join::<Raw>(Join::new("general").last(3)).await.unwrap();
    for n in 2..5 {
        assert_eq!(message(&mut room).await.body.read::<Value>().unwrap()["n"], n);
    }
    let here = room.position().unwrap().clone();
    let page = soon(room.history(Range::Before(here), None)).await.unwrap();
    assert_eq!((page.messages.len(), page.complete), (4, true));
}

async fn leaving_and_letting_go(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).user("ada").connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    assert_eq!(client.join::<Raw>("general").await.unwrap_err(), Error::AlreadyJoined);
    joined(&mut room).await;
    soon(room.leave()).await.unwrap();
    let left = |event: Event<Raw>| match event {
        Event::Left { reason } => Some(reason),
        _ => None,
    };
    assert_eq!(next(&mut room, left).await, "as asked");
    assert!(soon(room.next()).await.is_none());

    // Others see it at once, whether the client goes or stays.
    let mut others =
        server.client().transports([by]).user("bob").connect().unwrap().join::<Raw>("general").await.unwrap();
    let mut roster = Roster::default();
    let mut room = client.join::<Raw>("general").await.unwrap();
    let mut elsewhere = client.join::<Raw>("elsewhere").await.unwrap();
    joined(&mut elsewhere).await;
    roster.until(&mut others, |roster| roster.users().len() == 2).await;
    soon(room.leave()).await.unwrap();
    roster.until(&mut others, |roster| roster.users() == ["bob"]).await;

    room = client.join::<Raw>("general").await.unwrap();
    roster.until(&mut others, |roster| roster.users().len() == 2).await;
    drop((room, elsewhere, client));
    roster.until(&mut others, |roster| roster.users() == ["bob"]).await;
}

async fn a_room_that_was_let_go_is_joined_again_at_once(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    drop(room);
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    let (left, mut again) =
        tokio::join!(room.leave(), async { client.join::<Raw>("general").await.unwrap() });
    left.unwrap();
    joined(&mut again).await;
    soon(again.send(&say("text", json!({"n": 1})))).await.unwrap();
    assert_eq!(message(&mut again).await.body.read::<Value>().unwrap()["n"], 1);
    while soon(room.next()).await.is_some() {}
}

async fn who_has_left_has_no_say_in_the_room_joined_again(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let old = client.join::<Raw>("general").await.unwrap();
    soon(old.leave()).await.unwrap();
    let mut new = client.join::<Raw>("general").await.unwrap();
    joined(&mut new).await;
    assert_eq!(soon(old.send(&say("text", json!({})))).await.unwrap_err(), Error::Left);
    assert_eq!(soon(old.set_state(&json!({}))).await.unwrap_err(), Error::Left);
    soon(old.leave()).await.expect("it was left");
    soon(new.send(&say("text", json!({"n": 1})))).await.expect("it is joined");
    assert_eq!(numbers(&mut new, 1).await, [1]);
}

async fn nonsense_is_refused_in_words(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).connect().unwrap();
    let Err(Error::BadRequest(why)) = client.join::<Raw>("no room").await else { panic!("joined") };
    assert!(why.contains("\"no room\""), "{why}");
    let room = client.join::<Raw>("general").await.unwrap();
    let Err(Error::Refused(refused)) = soon(room.send(&say("Text", json!({})))).await else { panic!("sent") };
    assert_eq!(refused.code, "unknown_type");
    let Err(Error::Refused(refused)) = soon(room.send(&say("text", "no object"))).await else {
        panic!("sent")
    };
    assert_eq!(refused.code, "bad_request");
    let large = soon(room.send(&say("text", json!({"content": "x".repeat(70_000)})))).await;
    assert!(matches!(large, Err(Error::TooLarge { max: 65_536, .. })), "{large:?}");
    soon(room.send(&say("text", json!({})))).await.expect("the connection lives");
}
