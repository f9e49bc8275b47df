//! `roomcast sub`: reads rooms and prints what happens there, over however many connections it takes.

mod show;

use std::collections::BTreeSet;

use futures_util::{Stream, StreamExt as _, stream};
use roomcast_client::{Client, Event, Join, Position, Raw};
use roomcast_protocol::{Limits, Positions, RoomName};

use self::show::Show;
use super::client::Server;
use crate::{failure::Failure, signals::Signals};

const EXAMPLES: &str = "\
Examples:
  roomcast sub general
  roomcast sub general --last 20 --presence
  roomcast sub general news --json | jq .data
  roomcast sub general --since 78b5a522d0745960-0.41     goes on after that message
  roomcast sub general --count 1                         waits for one message
  roomcast sub general --url https://chat.example.com --token \"$TOKEN\"

When it ends it says which --since goes on from there; nothing is missed in between, or it is told.";

/// Read rooms
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The rooms
    #[arg(required = true, value_name = "ROOM", value_parser = room_name)]
    rooms: Vec<RoomName>,
    /// Go on after a position: epoch.seq, or for several rooms room=epoch.seq,…
    #[arg(long, value_name = "POSITION", value_parser = positions)]
    since: Option<Positions>,
    /// Begin with the newest N messages of each room
    #[arg(long, value_name = "N")]
    last: Option<u32>,
    /// End after N messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Also tell who comes and goes, and who types
    #[arg(long)]
    presence: bool,
    #[command(flatten)]
    server: Server,
    /// Print each message as JSON, as the server sent it
    #[arg(long)]
    json: bool,
}

fn room_name(text: &str) -> Result<RoomName, String> {
    RoomName::new(text).map_err(|error| error.to_string())
}

fn positions(text: &str) -> Result<Positions, String> {
    Positions::parse(text, Limits::default().position_bytes_max).map_err(|error| error.to_string())
}

/// The rooms that are read, and where the reader is in each.
type Places = Vec<(RoomName, Option<Position>)>;

impl Args {
    /// Prints until it is told to stop, has counted enough, or may no longer read one of the rooms.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        // A room that is named twice is read once.
        let mut named = BTreeSet::new();
        self.rooms.retain(|room| named.insert(room.clone()));
        self.server.with_client(async |client| {
            let signals = Signals::listen()
                .map_err(|error| Failure::said(format!("can't wait for signals: {error}")))?;
            let mut places: Places = self.rooms.iter().map(|room| (room.clone(), None)).collect();
            let outcome = tokio::select! {
                outcome = self.read(client, &mut places) => outcome,
                _ = signals.first() => Ok(()),
            };
            tell_places(&places);
            outcome
        })
    }

    async fn read(&self, client: &Client, places: &mut Places) -> Result<(), Failure> {
        let show = Show { json: self.json, presence: self.presence, named: self.rooms.len() > 1 };
        let mut events = self.join(client).await?;
        let mut left = self.count;
        while let Some((index, event)) = events.next().await {
            let (room, place) = &mut places[index];
            show.event(room, &event)?;
            *place = event.position(place.as_ref()).or(place.take());
            match event {
                Event::Denied(refused) => return Err(Failure::said(format!("{room}: {refused}"))),
                Event::Left { reason } => return Err(Failure::said(reason)),
                Event::Message(_) => left = left.map(|left| left - 1),
                _ => {}
            }
            if left == Some(0) {
                break;
            }
        }
        Ok(())
    }

    /// Joins all rooms; their events come with the room's index.
    async fn join(
        &self,
        client: &Client,
    ) -> Result<impl Stream<Item = (usize, Event<Raw>)> + Unpin, Failure> {
        let mut rooms = Vec::new();
        for (index, name) in self.rooms.iter().enumerate() {
            let room = client.join::<Raw>(self.how_to_join(name)).await?;
            rooms.push(room.map(move |event| (index, event)));
        }
        Ok(stream::select_all(rooms))
    }

    fn how_to_join(&self, room: &str) -> Join {
        let mut join = Join::new(room).unseen();
        if let Some(position) = self.since.as_ref().and_then(|since| since.of(room)) {
            join = join.since(position.clone());
        }
        if let Some(last) = self.last {
            join = join.last(last);
        }
        join
    }
}

/// Says how to go on from here.
fn tell_places(places: &Places) {
    let known = |(room, place): &(RoomName, Option<Position>)| Some((room.clone(), place.clone()?));
    let since = match &places[..] {
        [(_, Some(only))] => only.to_string(),
        _ => Positions::Each(places.iter().filter_map(known).collect()).to_string(),
    };
    if !since.is_empty() {
        anstream::eprintln!("go on with --since '{since}'");
    }
}
