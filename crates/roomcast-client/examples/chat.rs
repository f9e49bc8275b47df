//! A chat in the terminal: what is typed is sent, what is said is shown, and a server that goes away is waited for.
//!
//! ```sh
//! cargo run -- dev                                              # in one terminal
//! cargo run -p roomcast-client --example chat -- general ada    # in as many others as there are people
//! ```

use std::{env, error::Error, io, thread};

use roomcast_client::{Change, Client, Event, Join, Presence, Room};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What is said in the room.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
enum Chat {
    Text { content: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let room = arguments.next().unwrap_or_else(|| "general".into());
    let user = arguments.next().unwrap_or_else(|| "ada".into());
    let url = env::var("ROOMCAST_URL").unwrap_or_else(|_| "http://127.0.0.1:8000".into());

    let client = Client::builder(&url).user(&user).connect()?;
    let mut room = client.join::<Chat>(Join::new(&room).last(10)).await?;
    let mut lines = lines();
    loop {
        tokio::select! {
            event = room.next() => match event {
                Some(event) => show(event),
                None => break,
            },
            line = lines.recv() => match line {
                Some(content) => say(&room, content).await?,
                None => break,
            },
        }
    }
    client.close().await;
    Ok(())
}

/// Puts a message in line. Its ack isn't waited for: offline it comes late, and the room shows it when it is there.
async fn say(room: &Room<Chat>, content: String) -> Result<(), roomcast_client::Error> {
    let receipt = room.voice().post(&Chat::Text { content }).await?;
    tokio::spawn(async move {
        if let Err(error) = receipt.ack().await {
            eprintln!("not sent: {error}");
        }
    });
    Ok(())
}

fn show(event: Event<Chat>) {
    match event {
        Event::Message(message) => {
            let Chat::Text { content } = message.body;
            println!("{}: {content}", message.author.as_deref().unwrap_or("(nobody)"));
        }
        Event::Presence(Presence { change: Change::Join(member), .. }) => println!("* {} came", member.user),
        Event::Presence(Presence { change: Change::Leave(member), .. }) => println!("* {} went", member.user),
        Event::Typing(typing) if typing.typing => println!("* {} is typing", typing.author),
        Event::Joined { recovered: true, .. } => println!("* back, nothing missed"),
        Event::Gap { .. } => println!("* some of what was said is no longer there"),
        Event::Unread(unread) => println!("* {unread}"),
        Event::Denied(refused) => println!("* not let in: {refused}"),
        Event::Left { reason } => println!("* it is over: {reason}"),
        _ => {}
    }
}

/// The lines of standard input, read by a thread of its own.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
