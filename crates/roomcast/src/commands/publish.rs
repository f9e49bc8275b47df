//! `roomcast pub`: says something in a room, and what became of it.

use std::{collections::VecDeque, io, thread};

use roomcast_client::{Ack, Client, Event, Join, MessageId, Raw, Receipt, Voice};
use roomcast_protocol::{check_type, is_reserved};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::client::Server;
use crate::{console, failure::Failure};

/// Messages that may wait for their acks at a time.
const IN_FLIGHT_MAX: usize = 256;

const EXAMPLES: &str = "\
Examples:
  roomcast pub general Hello
  roomcast pub orders --type order.paid --data '{\"id\":7}'
  tail -f app.log | roomcast pub logs -                   a message for each line
  roomcast pub general Hello --user ada --id greeting-1   said twice, it arrives once

It ends when every message has been acked, with status 1 if one was refused.";

/// Say something in a room
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The room
    room: String,
    /// What to say, sent as {"content": TEXT}; - sends each line of standard input
    #[arg(value_name = "TEXT", required_unless_present = "data")]
    text: Option<String>,
    /// An object to send instead; - sends each line of standard input, an object each
    #[arg(long, value_name = "JSON", conflicts_with = "text")]
    data: Option<String>,
    /// The message's type
    #[arg(long = "type", value_name = "TYPE", default_value = "text", value_parser = message_type)]
    kind: String,
    /// An id of your own: what the same user says with it again within five minutes is not said twice. Without a
    /// token or a name you are somebody new each time
    #[arg(long, value_name = "ID", value_parser = message_id, conflicts_with = "volatile")]
    id: Option<MessageId>,
    /// Only for those who are there now: not kept, at most once
    #[arg(long)]
    volatile: bool,
    #[command(flatten)]
    server: Server,
    /// Print each ack as JSON
    #[arg(long)]
    json: bool,
}

fn message_id(text: &str) -> Result<MessageId, String> {
    MessageId::new(text).map_err(|error| error.to_string())
}

/// `text`, or a type of one's own: others are requests, or the server's to send.
fn message_type(text: &str) -> Result<String, String> {
    check_type(text).map_err(|error| error.to_string())?;
    if is_reserved(text) && text != "text" {
        return Err(format!("\"{text}\" has a meaning of its own; take text or a name of your own"));
    }
    Ok(text.to_owned())
}

impl Args {
    /// Sends and prints the acks.
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.server.with_client(async |client| self.publish(client).await)
    }

    async fn publish(&self, client: &Client) -> Result<(), Failure> {
        let mut room = client.join::<Raw>(Join::new(&self.room).unseen()).await?;
        match room.next().await {
            Some(Event::Denied(refused)) => return Err(Failure::said(refused.to_string())),
            Some(Event::Left { reason }) => return Err(Failure::said(reason)),
            _ => {}
        }
        match (&self.text, &self.data) {
            (Some(dash), _) | (_, Some(dash)) if dash == "-" && self.id.is_some() => {
                Err(Failure::said("--id names one message, and each line of standard input is one"))
            }
            (Some(dash), _) | (_, Some(dash)) if dash == "-" => self.publish_lines(&room.voice()).await,
            (Some(text), _) => self.publish_one(&room.voice(), &content(text)).await,
            (_, data) => self.publish_one(&room.voice(), &object(data.as_deref().unwrap_or_default())?).await,
        }
    }

    async fn publish_one(&self, voice: &Voice<Raw>, data: &Map<String, Value>) -> Result<(), Failure> {
        let message = Raw::new(&self.kind, data)?;
        let ack = match (&self.id, self.volatile) {
            (_, true) => voice.send_volatile(&message).await,
            (Some(id), _) => voice.post_as(id.clone(), &message).await?.ack().await,
            (None, _) => voice.send(&message).await,
        };
        self.told(&ack?)
    }

    /// A message for each line, many of them on their way at a time.
    async fn publish_lines(&self, voice: &Voice<Raw>) -> Result<(), Failure> {
        let mut lines = lines();
        let mut waiting: VecDeque<Receipt> = VecDeque::new();
        while let Some(line) = lines.recv().await {
            let line = line.map_err(|error| Failure::said(format!("can't read standard input: {error}")))?;
            let data = if self.data.is_some() { object(&line)? } else { content(&line) };
            if self.volatile {
                self.publish_one(voice, &data).await?;
                continue;
            }
            waiting.push_back(voice.post(&Raw::new(&self.kind, &data)?).await?);
            // Take what has come, and wait for it once enough is on its way or nothing more is to be sent yet.
            while waiting.len() >= IN_FLIGHT_MAX || (lines.is_empty() && !waiting.is_empty()) {
                self.oldest_acked(&mut waiting).await?;
            }
        }
        while !waiting.is_empty() {
            self.oldest_acked(&mut waiting).await?;
        }
        Ok(())
    }

    async fn oldest_acked(&self, waiting: &mut VecDeque<Receipt>) -> Result<(), Failure> {
        match waiting.pop_front() {
            Some(receipt) => self.told(&receipt.ack().await?),
            None => Ok(()),
        }
    }

    fn told(&self, ack: &Ack) -> Result<(), Failure> {
        if self.json {
            return console::line(self.ack_as_json(ack));
        }
        let again = if ack.duplicate { ", sent before" } else { "" };
        match &ack.position {
            Some(position) => console::line(format_args!("delivered at {position}{again}")),
            None => console::line("delivered"),
        }
    }

    /// The ack as the protocol has it.
    fn ack_as_json(&self, ack: &Ack) -> Value {
        let position = ack.position.as_ref();
        json!({
            "status": "delivered", "room": self.room, "id": ack.id.to_string(),
            "epoch": position.map(|position| position.epoch.to_string()), "seq": position.map(|position| position.seq),
            "timestamp": ack.timestamp.0 as f64 / 1000.0, "duplicate": ack.duplicate,
        })
    }
}

fn content(text: &str) -> Map<String, Value> {
    Map::from_iter([("content".to_owned(), Value::from(text))])
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => {
            Err(Failure::said(format!("the data must be an object such as {{\"id\":7}}, not {other}")))
        }
        Err(error) => Err(Failure::said(format!("the data is no JSON: {error}"))),
    }
}

/// The lines of standard input, read by a thread of its own.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
    thread::spawn(move || {
        for line in io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
