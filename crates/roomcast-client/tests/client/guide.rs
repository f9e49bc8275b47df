//! docs/guide/rust.md does what it says: every paragraph of its code stands in this file, and this file is run.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    fs,
    future::{Ready, ready},
};

use roomcast_client::{Client, Event};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Server, soon, token, until_connected};

/// The address that the page has.
const ADDRESS: &str = "\"http://localhost:8000\"";

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
enum Chat {
    Text { content: String },
    Reaction { to: u64, emoji: String },
}

/// Lines without what stands before and behind them.
fn bare(text: &str) -> String {
    text.lines().flat_map(|line| [line.trim(), "\n"]).collect()
}

#[test]
fn the_page_shows_what_is_run() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/rust.md")).unwrap();
    let source = bare(include_str!("guide.rs"));
    let blocks: Vec<_> =
        page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 10, "{} blocks", blocks.len());
    for paragraph in blocks.iter().flat_map(|block| block.split("\n\n")) {
        let paragraph = bare(&paragraph.replace(ADDRESS, "url"));
        assert!(source.contains(&paragraph), "not run:\n{paragraph}");
    }
}

#[tokio::test]
async fn joins_reads_and_sends() {
    let server = Server::open();
    soon(conversation(&server.url())).await.unwrap();
}

async fn conversation(url: &str) -> Outcome {
    let client = Client::builder(url).user("ada").connect()?;
    let mut room = client.join::<Chat>("general").await?;

    let ack = room.send(&Chat::Text { content: "Hello".into() }).await?;
    println!("it stands at {:?}", ack.position);

    let voice = room.voice();
    let receipt = voice.post(&Chat::Text { content: "One of many".into() }).await?;
    println!("in line as {}", receipt.id());
    let ack = receipt.ack().await?;
    assert_eq!(ack.position.map(|position| position.seq), Some(2));

    voice.post(&Chat::Reaction { to: 1, emoji: "👋".into() }).await?.ack().await?;
    let reading = async {
        while let Some(event) = room.next().await {
            match event {
                Event::Joined { recovered, .. } => println!("in; nothing was missed: {recovered}"),
                Event::Message(message) => match message.body {
                    Chat::Text { content } => println!("{}: {content}", message.author.unwrap_or_default()),
                    Chat::Reaction { to, emoji } => println!("{emoji} to {to}"),
                },
                Event::Unread(unread) => println!("{unread}"),
                Event::Denied(refused) => println!("not let in: {refused}"),
                Event::Left { reason } => println!("it is over: {reason}"),
                _ => {}
            }
        }
    };
    let ((), left) = tokio::join!(reading, voice.leave());
    Ok(left?)
}

#[tokio::test]
async fn shows_who_is_here() {
    let server = Server::open();
    soon(presence(&server.url())).await.unwrap();
}

async fn presence(url: &str) -> Outcome {
    use roomcast_client::{Change, Join, Presence};

    let client = Client::builder(url).user("ada").connect()?;
    let join = Join::new("general").state(&json!({"name": "Ada"}))?;
    let mut room = client.join::<Chat>(join).await?;

    let mut here = BTreeMap::new();
    let mut take = |event| match event {
        Event::Presence(Presence { change, .. }) => match change {
            Change::Sync { members } => {
                here = members.into_iter().map(|member| (member.user.clone(), member)).collect();
            }
            Change::Join(member) | Change::Update(member) => drop(here.insert(member.user.clone(), member)),
            Change::Leave(member) => drop(here.remove(&member.user)),
            _ => {}
        },
        Event::Typing(sign) => {
            println!("{} {}", sign.author, if sign.typing { "types" } else { "has stopped" });
        }
        _ => {}
    };
    while let Some(event) = room.next().await {
        let is_last = matches!(&event, Event::Presence(presence) if presence.envelope.contains("Lovelace"));
        let is_joined = matches!(&event, Event::Joined { .. });
        take(event);
        if is_joined {
            room.set_state(&json!({"name": "Ada Lovelace"})).await?;
            room.typing(true).await?;
            room.send_volatile(&Chat::Text { content: "for now".into() }).await?;
        }
        if is_last {
            break;
        }
    }
    assert_eq!(here["ada"].state["name"], "Ada Lovelace");
    Ok(())
}

#[tokio::test]
async fn fetches_tokens() {
    let server = Server::with_tokens();
    soon(tokens(&server.url())).await.unwrap();
}

/// What a back end would answer.
fn token_of_ada() -> Ready<Result<String, Infallible>> {
    ready(Ok(token(&json!({"sub": "ada", "rooms": {"*": ["*"]}}))))
}

async fn tokens(url: &str) -> Outcome {
    use roomcast_client::{Status, Why};

    let fetch = |why| async move {
        if why == Why::Expired {
            eprintln!("the last token has ended, or was refused");
        }
        token_of_ada().await.map(Some)
    };
    let client = Client::builder(url).token_fn(fetch).connect()?;

    let mut status = client.status();
    tokio::spawn(async move {
        while status.changed().await.is_ok() {
            match &*status.borrow_and_update() {
                Status::Connected { user, transport } => println!("{user:?} by {transport:?}"),
                Status::Waiting { retry_in, cause } => println!("{cause}; again in {retry_in:?}"),
                Status::Ended(ended) => println!("it doesn't come back: {}", ended.reason),
                _ => {}
            }
        }
    });
    until_connected(&client).await;

    let ended = client.close().await;
    println!("{}", ended.reason);
    assert_eq!(ended.reason, "closed by the application");
    Ok(())
}

#[tokio::test]
async fn goes_on_where_it_was() {
    let server = Server::open();
    soon(position(&server.url())).await.unwrap();
}

async fn position(url: &str) -> Outcome {
    use roomcast_client::{Join, MessageId, Position, Range};

    let client = Client::builder(url).user("ada").connect()?;
    let mut room = client.join::<Chat>("orders").await?;
    room.send(&Chat::Text { content: "Order 17".into() }).await?;
    let mut here = room.position().map(ToString::to_string);
    while here.is_none() {
        room.next().await;
        here = room.position().map(ToString::to_string);
    }
    drop(room);
    let kept = here;

    let join = match kept {
        Some(kept) => Join::new("orders").since(kept.parse::<Position>()?),
        None => Join::new("orders").last(50),
    };
    let mut room = client.join::<Chat>(join).await?;

    if let Some(Event::Gap { reason, .. }) = room.next().await {
        println!("load anew, because of {reason}");
        let page = room.history(Range::Newest, Some(50)).await?;
        for message in page.messages.into_iter().flatten() {
            println!("{:?}", message.body);
        }
    }
    let page = room.history(Range::Newest, Some(50)).await?;
    assert!(page.complete && page.messages.len() == 1);

    let order = Chat::Text { content: "Order 18".into() };
    let id = MessageId::new("order-18")?;
    let first = room.voice().post_as(id.clone(), &order).await?.ack().await?;
    let repeat = room.voice().post_as(id, &order).await?.ack().await?;
    assert!(repeat.duplicate && repeat.position == first.position);
    Ok(())
}

#[tokio::test]
async fn gets_through_by_http() {
    let server = Server::open();
    soon(transports(&server.url())).await.unwrap();
}

async fn transports(url: &str) -> Outcome {
    use roomcast_client::{Error, Transport};

    let client = Client::builder(url).transports([Transport::Events, Transport::Poll]).connect()?;
    let room = client.join::<Chat>("general").await?;

    match room.send(&Chat::Text { content: "x".repeat(100_000) }).await {
        Ok(ack) => println!("there, as {}", ack.id),
        Err(Error::TooLarge { bytes, max }) => println!("{bytes} bytes, and the server takes {max}"),
        Err(Error::Refused(refused)) => println!("refused, {}: {}", refused.code, refused.message),
        Err(Error::Unanswered) => println!("it may be there or not"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
