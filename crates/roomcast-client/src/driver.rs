//! The one task of a client: carries out what the state machine wants, and tells it what happened. Decides
//! nothing.

use std::{future::pending, sync::Arc};

use futures_util::future::BoxFuture;
use roomcast_protocol::RoomName;
use roomcast_session::client::{
    self, Error, Loss, Output, Publication, Query, Secret, Start, Status, Transport, Why, http::Told,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::yield_now,
    time::{Instant, sleep_until},
};

use crate::{
    access::Access,
    clock::Clock,
    http,
    inbox::{Inbox, Seat},
    link::Link,
    random, websocket,
};

pub(crate) type Reply = oneshot::Sender<Result<Box<str>, Error>>;
/// A token, none for a guest, or why it failed.
pub(crate) type Fetched = Result<Option<Secret>, String>;
pub(crate) type TokenFunction = Box<dyn Fn(Why) -> BoxFuture<'static, Fetched> + Send>;

/// Commands carried out before their frames are written together.
const ORDERS_PER_TURN: usize = 64;
/// What a connection over HTTP tells before readers have their turn: less than an inbox holds.
const TOLD_PER_TURN: usize = 256;

/// A room, and which joining of it.
pub(crate) type Place = (RoomName, Seat);

/// What the handles ask.
#[derive(Debug)]
pub(crate) enum Command {
    Join(RoomName, Start, Inbox, oneshot::Sender<Result<(), Error>>),
    Leave(Place, Reply),
    Publish(Place, Publication, Reply),
    Ask(Place, Query, Reply),
    Close,
}

/// The connection, as far as there is one.
enum Line {
    Down,
    Opening(BoxFuture<'static, Result<Link, String>>),
    Up(Link),
}

impl Line {
    /// Waits until the connection is open, or something has come on it. Cancel-safe.
    async fn ready(&mut self) -> Result<(), Loss> {
        match self {
            Self::Down => pending().await,
            Self::Opening(opening) => {
                *self = Self::Up(opening.await.map_err(Loss::Broken)?);
                Ok(())
            }
            Self::Up(link) => link.ready().await,
        }
    }

    fn up(&mut self) -> Option<&mut Link> {
        match self {
            Self::Up(link) => Some(link),
            Self::Down | Self::Opening(_) => None,
        }
    }
}

/// How a client comes to its connections.
pub(crate) struct Ways {
    pub(crate) access: Arc<Access>,
    /// What tries are counted from: a client that goes on with the session of an earlier run must not count
    /// below that one.
    pub(crate) attempts_before: u32,
    pub(crate) fetch_token: Option<TokenFunction>,
}

impl Ways {
    fn connect(&self, attempt: u32, token: Option<Secret>, transport: Transport) -> Line {
        let access = self.access.clone();
        if transport != Transport::WebSocket {
            return Line::Up(Link::Http(Box::new(http::Link::new(access, transport, token))));
        }
        let opening = websocket::open(access, self.attempts_before.saturating_add(attempt), token);
        Line::Opening(Box::pin(async { opening.await.map(Link::Socket) }))
    }
}

/// The task.
pub(crate) struct Driver {
    ways: Ways,
    client: client::Client<Inbox, Reply>,
    commands: mpsc::Receiver<Command>,
    drained: Arc<Notify>,
    status: watch::Sender<Status>,
    line: Line,
    token: Option<BoxFuture<'static, Fetched>>,
    clock: Clock,
}

impl Driver {
    pub(crate) fn new(
        ways: Ways,
        client: client::Client<Inbox, Reply>,
        (commands, drained): (mpsc::Receiver<Command>, Arc<Notify>),
        status: watch::Sender<Status>,
    ) -> Self {
        let clock = Clock::new();
        Self { ways, client, commands, drained, status, line: Line::Down, token: None, clock }
    }

    /// Runs until the client has ended.
    pub(crate) async fn run(mut self) {
        let mut orders = Vec::new();
        let mut orphaned = false;
        loop {
            let due = self.settle();
            if matches!(*self.status.borrow(), Status::Ended(_)) {
                return;
            }
            tokio::select! {
                received = self.commands.recv_many(&mut orders, ORDERS_PER_TURN), if !orphaned => {
                    orphaned = received == 0;
                    orders.extend(orphaned.then_some(Command::Close));
                    orders.drain(..).for_each(|order| self.obey(order));
                }
                () = self.drained.notified() => {}
                token = fetched(&mut self.token) => {
                    self.token = None;
                    self.client.fetched(self.now_ms(), token, random::number());
                }
                ready = self.line.ready() => {
                    let outcome = ready.and_then(|()| self.hear());
                    outcome.unwrap_or_else(|loss| self.lose(loss));
                }
                () = wait_until(due) => {}
            }
            // Readers take what came before there is more: on one thread they have no other turn.
            yield_now().await;
        }
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Lets the state machine do what is due, and carries it out. Answers when something is due again.
    fn settle(&mut self) -> Option<Instant> {
        if let Some(slept_ms) = self.clock.slept_ms() {
            self.client.slept(slept_ms);
        }
        for _ in 0..TOLD_PER_TURN {
            let due_ms = self.client.tick(self.now_ms());
            let mut idle = true;
            while let Some(output) = self.client.poll_output() {
                self.carry_out(output);
                idle = false;
            }
            let Self { line, client, .. } = self;
            match line.up().and_then(|link| link.step(client)) {
                Some(told) => self.tell(told),
                None if idle => return due_ms.map(|ms| self.clock.at(ms)),
                None => {}
            }
        }
        Some(Instant::now())
    }

    fn tell(&mut self, told: Told) {
        let now_ms = self.now_ms();
        match told {
            Told::Heard => self.client.heard(now_ms),
            Told::Message(text) => self.client.message(now_ms, &text),
            Told::Lost(loss) => self.lose(loss),
        }
    }

    fn carry_out(&mut self, output: Output<Reply>) {
        match (output, self.line.up()) {
            (Output::Send(text), Some(link)) => link.send(&text),
            (Output::Ping, Some(link)) => link.ping(),
            (Output::Close, Some(link)) => link.close(),
            (Output::FetchToken(why), _) => {
                self.token = self.ways.fetch_token.as_ref().map(|fetch| fetch(why));
            }
            (Output::Connect { attempt, token, transport }, _) => {
                self.line = self.ways.connect(attempt, token, transport);
            }
            (Output::HangUp(cause), _) => self.lose(Loss::Broken(cause)),
            (Output::Answer(reply, answer), _) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(answer);
            }
            (Output::Tell(status), _) => {
                self.status.send_replace(status);
            }
            // The connection was lost before this was carried out; the machine hears of it next.
            (Output::Send(_) | Output::Ping | Output::Close, None) => {}
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(room, start, inbox, reply) => {
                let joined = self.client.join(room, start, inbox);
                let _ = reply.send(joined);
            }
            Command::Leave(place, reply) if self.holds(&place) => self.client.leave(&place.0, Some(reply)),
            Command::Publish(place, publication, reply) if self.holds(&place) => {
                self.client.publish(&place.0, &publication, reply);
            }
            Command::Ask(place, query, reply) if self.holds(&place) => {
                self.client.ask(self.now_ms(), &place.0, &query, reply);
            }
            Command::Leave(_, reply) => drop(reply.send(Ok("{}".into()))),
            Command::Publish(_, _, reply) | Command::Ask(_, _, reply) => drop(reply.send(Err(Error::Left))),
            Command::Close => self.client.close(self.now_ms()),
        }
    }

    /// Whether the room is joined, and was not left since by whoever asks.
    fn holds(&self, (room, seat): &Place) -> bool {
        self.client.inbox(room).is_some_and(|inbox| inbox.seat == *seat)
    }

    fn hear(&mut self) -> Result<(), Loss> {
        let now_ms = self.now_ms();
        let Self { line, client, .. } = self;
        line.up().map_or(Ok(()), |link| link.hear(client, now_ms))
    }

    fn lose(&mut self, loss: Loss) {
        (self.line, self.token) = (Line::Down, None);
        self.client.lost(self.now_ms(), loss, random::number());
    }
}

async fn fetched(token: &mut Option<BoxFuture<'static, Fetched>>) -> Fetched {
    match token {
        Some(token) => token.await,
        None => pending().await,
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
