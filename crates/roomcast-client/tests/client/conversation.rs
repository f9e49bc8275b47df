//! What people do in a room while nothing fails.

use roomcast_client::{Change, Error, Event, Join, Presence, Range, Raw};
use serde_json::{Value, json};

use crate::support::{Server, joined, message, next, say, soon};

#[tokio::test]
async fn a_message_is_acked_and_comes_to_everybody() {
    let server = Server::open();
    let (ada, bob) = (server.client().user("ada").connect().unwrap(), server.client().connect().unwrap());
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

#[tokio::test]
async fn an_id_of_ones_own_is_taken_once() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
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

#[tokio::test]
async fn who_is_here_who_types_and_what_passes_by() {
    let server = Server::open();
    let (ada, bob) =
        (server.client().user("ada").connect().unwrap(), server.client().user("bob").connect().unwrap());
    let mut here = ada.join::<Raw>("general").await.unwrap();
    joined(&mut here).await;
    let there = bob.join::<Raw>(Join::new("general").state(&json!({"mood": "good"})).unwrap()).await.unwrap();
    let came = |event: Event<Raw>| match event {
        Event::Presence(Presence { change: Change::Join(member), .. }) if member.user == "bob" => {
            Some(member)
        }
        _ => None,
    };
    assert_eq!(next(&mut here, came).await.state["mood"], "good");

    soon(there.set_state(&json!({"mood": "better"}))).await.unwrap();
    let changed = |event: Event<Raw>| match event {
        Event::Presence(Presence { change: Change::Update(member), .. }) => Some(member),
        _ => None,
    };
    assert_eq!(next(&mut here, changed).await.state["mood"], "better");

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
    let went = |event: Event<Raw>| match event {
        Event::Presence(Presence { change: Change::Leave(member), count, .. }) => Some((member.user, count)),
        _ => None,
    };
    assert_eq!(next(&mut here, went).await, ("bob".into(), 1));
}

#[tokio::test]
async fn what_was_said_before() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
    let room = client.join::<Raw>("general").await.unwrap();
    for n in 0..5 {
        soon(room.send(&say("text", json!({"n": n})))).await.unwrap();
    }
    let page = soon(room.history(Range::Newest, Some(2))).await.unwrap();
    let seqs: Vec<_> = page.messages.iter().map(|message| message.as_ref().unwrap().seq.unwrap()).collect();
    assert_eq!((seqs, page.complete), (vec![4, 5], false));

    let late = server.client().connect().unwrap();
    let mut room = late.join::<Raw>(Join::new("general").last(3)).await.unwrap();
    for n in 2..5 {
        assert_eq!(message(&mut room).await.body.read::<Value>().unwrap()["n"], n);
    }
    let here = room.position().unwrap().clone();
    let page = soon(room.history(Range::Before(here), None)).await.unwrap();
    assert_eq!((page.messages.len(), page.complete), (4, true));
}

#[tokio::test]
async fn leaving_and_letting_go() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
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

    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    let mut others = server.client().connect().unwrap().join::<Raw>("general").await.unwrap();
    let members = |event: Event<Raw>| match event {
        Event::Presence(Presence { change: Change::Sync { members }, .. }) => Some(members.len()),
        _ => None,
    };
    assert_eq!(next(&mut others, members).await, 2);
    drop((room, client));
    let went = |event: Event<Raw>| match event {
        Event::Presence(Presence { change: Change::Leave(_), .. }) => Some(()),
        _ => None,
    };
    next(&mut others, went).await;
}

#[tokio::test]
async fn nonsense_is_refused_in_words() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
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
