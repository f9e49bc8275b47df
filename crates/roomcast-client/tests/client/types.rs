//! What is said in an application's own types, and what is none of them.

use roomcast_client::{Error, Event, Join, Message, Range, Room};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Server, say, soon};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
enum Chat {
    Text {
        content: String,
    },
    Wave,
    #[serde(rename = "order.paid")]
    Paid(Order),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    #[serde(default)]
    gift: Option<bool>,
}

fn hello() -> Chat {
    Chat::Text { content: "Hello".into() }
}

/// The next thing that was said.
async fn said(room: &mut Room<Chat>) -> Result<Message<Chat>, (String, String)> {
    loop {
        match soon(room.next()).await.expect("the room goes on") {
            Event::Message(message) => return Ok(message),
            Event::Unread(unread) => return Err((unread.message.body.kind.clone(), unread.to_string())),
            _ => {}
        }
    }
}

#[tokio::test]
async fn each_variant_comes_as_it_was_sent() {
    let server = Server::open();
    let client = server.client().user("ada").connect().unwrap();
    let mut room = client.join::<Chat>("general").await.unwrap();
    let gift = Chat::Paid(Order { id: 7, gift: Some(true) });
    for chat in [hello(), Chat::Wave, gift] {
        let ack = soon(room.send(&chat)).await.unwrap();
        let message = said(&mut room).await.unwrap();
        assert_eq!((&message.body, message.author.as_deref()), (&chat, Some("ada")));
        assert_eq!(message.seq, ack.position.map(|position| position.seq));
    }
}

#[tokio::test]
async fn what_is_none_of_the_types_doesnt_break_the_stream() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
    let mut room = client.join::<Chat>("general").await.unwrap();
    let other = server.client().connect().unwrap().join("general").await.unwrap();
    soon(other.send(&say("poll.vote", json!({"for": 3})))).await.unwrap();
    soon(other.send(&say("text", json!({"content": 3})))).await.unwrap();
    soon(other.send(&say("text", json!({"content": "Hello"})))).await.unwrap();

    let (kind, why) = said(&mut room).await.unwrap_err();
    assert!(kind == "poll.vote" && why.contains("unknown variant `poll.vote`"), "{why}");
    let (kind, why) = said(&mut room).await.unwrap_err();
    assert!(kind == "text" && why.contains("expected a string"), "{why}");
    assert_eq!(room.position().unwrap().seq, 2, "a position moves by what was not understood, too");
    assert_eq!(said(&mut room).await.unwrap().body, hello());

    let page = soon(room.history(Range::Newest, None)).await.unwrap();
    let read: Vec<_> = page.messages.iter().map(Result::is_ok).collect();
    assert_eq!(read, [false, false, true]);
}

#[tokio::test]
async fn a_payload_of_a_wave_is_no_wave() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
    let mut room = client.join::<Chat>("general").await.unwrap();
    let other = server.client().connect().unwrap().join("general").await.unwrap();
    soon(other.send(&say("wave", json!({"with": "both hands"})))).await.unwrap();
    assert_eq!(said(&mut room).await.unwrap_err().0, "wave");
}

#[tokio::test]
async fn a_message_that_isnt_tagged_is_refused_in_words() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
    let room = client.join::<Order>("general").await.unwrap();
    let Err(Error::BadRequest(why)) = soon(room.send(&Order { id: 7, gift: None })).await else {
        panic!("sent")
    };
    assert!(why.contains("#[serde(tag = \"type\", content = \"data\")]"), "{why}");
}

#[tokio::test]
async fn a_state_is_read_as_a_type() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Mood {
        mood: String,
    }
    let server = Server::open();
    let client = server.client().connect().unwrap();
    let good = Mood { mood: "good".into() };
    let mut room = client.join::<Chat>(Join::new("general").state(&good).unwrap()).await.unwrap();
    let members = loop {
        if let Event::Presence(presence) = soon(room.next()).await.unwrap()
            && let roomcast_client::Change::Sync { members } = presence.change
        {
            break members;
        }
    };
    assert_eq!(members[0].state_as::<Mood>().unwrap(), good);
}

/// What is given to another task there must be `Send`, whatever the runtime.
#[tokio::test]
async fn everything_can_be_given_to_another_task() {
    let server = Server::open();
    let client = server.client().connect().unwrap();
    let task = tokio::spawn(async move {
        let mut room = client.join::<Chat>(Join::new("general").last(1)).await.unwrap();
        let voice = room.voice();
        let speaker = tokio::spawn(async move {
            voice.set_state(&json!({"mood": "good"})).await.unwrap();
            voice.typing(true).await.unwrap();
            voice.send_volatile(&Chat::Wave).await.unwrap();
            voice.post(&hello()).await.unwrap().ack().await.unwrap()
        });
        while !matches!(room.next().await, Some(Event::Message(Message { body: Chat::Text { .. }, .. }))) {}
        room.history(Range::Newest, None).await.unwrap();
        room.leave().await.unwrap();
        client.close().await;
        speaker.await.unwrap()
    });
    assert_eq!(soon(task).await.unwrap().position.unwrap().seq, 1);
}
