//! The one task of a client: carries out what the state machine wants, and tells it what happened. Decides
//! nothing.

use std::{future::pending, pin::Pin, sync::Arc, time::Duration};

use form_urlencoded::Serializer;
use roomcast_protocol::{RoomName, SessionId};
use roomcast_session::client::{self, Error, Loss, Output, Publication, Query, Start, Status, Why};
use roomcast_websocket::CloseCode;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::yield_now,
    time::{Instant, sleep_until},
};

use crate::{
    dial::Dialer,
    inbox::Inbox,
    random,
    websocket::{Link, Opening},
};

pub(crate) type Reply = oneshot::Sender<Result<Box<str>, Error>>;
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// A token, none for a guest, or why it failed.
pub(crate) type Fetched = Result<Option<Arc<str>>, String>;
pub(crate) type TokenFunction = Box<dyn Fn(Why) -> BoxFuture<Fetched> + Send>;

/// Commands carried out before their frames are written together.
const ORDERS_PER_TURN: usize = 64;

/// What the handles ask.
#[derive(Debug)]
pub(crate) enum Command {
    Join(RoomName, Start, Inbox, oneshot::Sender<Result<(), Error>>),
    Leave(RoomName, Reply),
    Publish(RoomName, Publication, Reply),
    Ask(RoomName, Query, Reply),
    Close,
}

/// What each connection is opened with.
pub(crate) struct Access {
    pub(crate) dialer: Dialer,
    pub(crate) session: SessionId,
    pub(crate) user: Option<String>,
    /// What tries are counted from: a client that goes on with the session of an earlier run must not count
    /// below that one.
    pub(crate) attempts_before: u32,
    pub(crate) fetch_token: Option<TokenFunction>,
}

impl Access {
    fn opening(&self, attempt: u32, token: Option<Arc<str>>) -> Opening {
        let mut query = Serializer::new(String::new());
        query.append_pair("attempt", &self.attempts_before.saturating_add(attempt).to_string());
        if let Some(user) = &self.user {
            query.append_pair("user", user);
        }
        Opening {
            dialer: self.dialer.clone(),
            path: self.dialer.address.socket(&query.finish()),
            session: self.session.clone(),
            token: token.map(|token| token.to_string()),
        }
    }

    fn token(&self, why: Why) -> Option<BoxFuture<Fetched>> {
        self.fetch_token.as_ref().map(|fetch| fetch(why))
    }
}

/// The connection, as far as there is one.
enum Line {
    Down,
    Opening(BoxFuture<Result<Link, String>>),
    Up(Box<Link>),
}

impl Line {
    /// Waits until the connection is open, or can be read or written. Cancel-safe.
    async fn ready(&mut self) -> Result<(), Loss> {
        match self {
            Self::Down => pending().await,
            Self::Opening(opening) => {
                let link = opening.await.map_err(Loss::Broken)?;
                *self = Self::Up(Box::new(link));
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

/// The task.
pub(crate) struct Driver {
    access: Access,
    client: client::Client<Inbox, Reply>,
    commands: mpsc::Receiver<Command>,
    drained: Arc<Notify>,
    status: watch::Sender<Status>,
    line: Line,
    token: Option<BoxFuture<Fetched>>,
    started: Instant,
}

impl Driver {
    pub(crate) fn new(
        access: Access,
        client: client::Client<Inbox, Reply>,
        (commands, drained): (mpsc::Receiver<Command>, Arc<Notify>),
        status: watch::Sender<Status>,
    ) -> Self {
        let started = Instant::now();
        Self { access, client, commands, drained, status, line: Line::Down, token: None, started }
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
                    // Readers take what came before more is read: on one thread they have no other turn.
                    yield_now().await;
                }
                () = wait_until(due) => {}
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Lets the state machine do what is due, and carries it out. Answers when something is due again.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            let due_ms = self.client.tick(self.now_ms());
            let mut idle = true;
            while let Some(output) = self.client.poll_output() {
                self.carry_out(output);
                idle = false;
            }
            if idle {
                return due_ms.map(|ms| self.started + Duration::from_millis(ms));
            }
        }
    }

    fn carry_out(&mut self, output: Output<Reply>) {
        match (output, self.line.up()) {
            (Output::Send(text), Some(link)) => link.push_text(&text),
            (Output::Ping, Some(link)) => link.push_ping(),
            (Output::Close, Some(link)) => link.push_close(CloseCode::NORMAL, ""),
            (Output::FetchToken(why), _) => self.token = self.access.token(why),
            (Output::Connect { attempt, token }, _) => {
                self.line = Line::Opening(Box::pin(self.access.opening(attempt, token).open()));
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
            Command::Leave(room, reply) => self.client.leave(&room, Some(reply)),
            Command::Publish(room, publication, reply) => self.client.publish(&room, &publication, reply),
            Command::Ask(room, query, reply) => self.client.ask(&room, &query, reply),
            Command::Close => self.client.close(self.now_ms()),
        }
    }

    /// Tells the state machine what has come.
    fn hear(&mut self) -> Result<(), Loss> {
        let now_ms = self.now_ms();
        let Self { line, client, .. } = self;
        let Some(link) = line.up() else { return Ok(()) };
        client.heard(now_ms);
        link.read(|text| client.message(now_ms, text))
    }

    fn lose(&mut self, loss: Loss) {
        (self.line, self.token) = (Line::Down, None);
        self.client.lost(self.now_ms(), loss, random::number());
    }
}

async fn fetched(token: &mut Option<BoxFuture<Fetched>>) -> Fetched {
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
