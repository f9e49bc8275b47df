//! A server in this process, a proxy that cuts, and clients that wait for what they are told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::CertifiedKey;
use roomcast_client::{Backoff, Builder, Change, Client, Event, Member, Message, Raw, Room, Status};
use roomcast_hub::{Hub, RoomRule};
use roomcast_protocol::{Grants, Limits, Pattern};
use roomcast_server::{
    App, Listeners, Settings, Tls,
    auth::{Algorithm, Authenticator, Key, Keys, Origins, Signer},
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

pub(crate) const SECRET: &str = "a secret of thirty-two bytes, or more";

/// How long a test may wait for anything. Generous: a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("what a test waits for comes")
}

/// A server that ends with this.
pub(crate) struct Server {
    pub(crate) hub: Hub,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Guests may do everything, and choose their names.
    pub(crate) fn open() -> Self {
        let open = Authenticator {
            anonymous: Arc::new(Grants::all()),
            named_guests: true,
            ..Authenticator::default()
        };
        Self::with(open, Vec::new())
    }

    /// Tokens are signed with [`SECRET`]; without one nobody gets in.
    pub(crate) fn with_tokens() -> Self {
        let key = Key::secret(Algorithm::Hs256, SECRET).unwrap();
        let closed = Authenticator { keys: Keys::new(vec![key]).unwrap(), ..Authenticator::default() };
        Self::with(closed, Vec::new())
    }

    /// Everybody may do everything, and rooms keep only so many messages.
    pub(crate) fn forgetful(messages_max: usize) -> Self {
        let mut rule = RoomRule::new(Pattern::new("*").unwrap());
        rule.history.messages_max = messages_max;
        let open = Authenticator { anonymous: Arc::new(Grants::all()), ..Authenticator::default() };
        Self::with(open, vec![rule])
    }

    /// Guests may do everything, behind a certificate for localhost that nobody trusts unless told to. Answers it,
    /// too.
    pub(crate) fn with_tls() -> (Self, String) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let tls = Tls::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let open = Authenticator { anonymous: Arc::new(Grants::all()), ..Authenticator::default() };
        (Self::start(open, Vec::new(), Some(tls)), certificate)
    }

    pub(crate) fn with(authenticator: Authenticator, rules: Vec<RoomRule>) -> Self {
        Self::start(authenticator, rules, None)
    }

    fn start(authenticator: Authenticator, rules: Vec<RoomRule>, tls: Option<Tls>) -> Self {
        let authenticator = Arc::new(authenticator);
        // What happens over the rate is tested on a virtual clock.
        let limits = Limits { sends_per_second: 0, ..Limits::default() };
        let hub = Hub::builder().limits(limits).rules(rules).authorizer(authenticator.clone()).build();
        let app = App {
            hub: hub.clone(),
            authenticator,
            origins: Origins::loopback(),
            cookie: None,
            playground: false,
            pin: None,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = Settings { tls, shutdown_timeout: Duration::from_secs(1), ..Settings::default() };
        let serving = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            let listeners = Listeners { tcp: vec![listener], ..Listeners::default() };
            roomcast_server::serve(Arc::new(app), listeners, settings, stopped).await.unwrap();
        });
        Self { hub, address, stop: Some(stop), serving }
    }

    pub(crate) fn client(&self) -> Builder {
        client(self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An orderly end.
    pub(crate) async fn shut_down(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        soon(&mut self.serving).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A client that comes back within milliseconds.
pub(crate) fn client(address: SocketAddr) -> Builder {
    client_of(&format!("http://{address}"))
}

pub(crate) fn client_of(url: &str) -> Builder {
    Client::builder(url).backoff(Backoff::new(Duration::from_millis(2), Duration::from_millis(20)))
}

/// A token with these claims.
pub(crate) fn token(claims: &Value) -> String {
    Signer::secret(Algorithm::Hs256, SECRET).unwrap().mint(claims).unwrap()
}

/// What the proxy does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Open,
    /// Passes on only what the client sends: the server's answers are lost.
    Deaf,
    /// Takes no connection, and cuts those there are.
    Cut,
}

/// Stands between client and server, and fails on demand.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    door: Arc<Mutex<Door>>,
    serving: JoinHandle<()>,
}

/// What the proxy does with new connections.
struct Door {
    server: SocketAddr,
    /// Paths that it answers itself, as a proxy does that knows better.
    blocked: Vec<&'static str>,
    /// The first words of each connection.
    asked: Vec<String>,
}

impl Door {
    /// Whether a connection that begins so is let through, and where to.
    fn open(&mut self, first_line: &str) -> Option<SocketAddr> {
        self.asked.push(first_line.into());
        let path = first_line.split(' ').nth(1).unwrap_or_default();
        let is_blocked = self.blocked.iter().any(|blocked| path.starts_with(blocked));
        (!is_blocked).then_some(self.server)
    }
}

impl Proxy {
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Open);
        let door = Door { server: server.address, blocked: Vec::new(), asked: Vec::new() };
        let door = Arc::new(Mutex::new(door));
        let entrance = door.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(pass(socket, entrance.clone(), watched.clone()));
            }
        });
        Self { address, mode, door, serving }
    }

    pub(crate) fn client(&self) -> Builder {
        client(self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Cuts every connection once; those that come after are passed on.
    pub(crate) fn cut(&self) {
        self.set(Mode::Cut);
        self.set(Mode::Open);
    }

    /// Passes connections on to another server from now on.
    pub(crate) fn move_to(&self, server: &Server) {
        self.door.lock().unwrap().server = server.address;
    }

    /// Refuses connections that begin with one of these paths from now on.
    pub(crate) fn block(&self, paths: &[&'static str]) {
        self.door.lock().unwrap().blocked = paths.into();
    }

    /// How many connections have begun with this path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let beginning = format!("GET {path}");
        self.door.lock().unwrap().asked.iter().filter(|line| line.starts_with(&beginning)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Passes bytes on until the connection is cut.
async fn pass(mut client: TcpStream, door: Arc<Mutex<Door>>, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow_and_update() == Mode::Cut {
        return;
    }
    let mut cut = mode.clone();
    let mut early = vec![0; 16 * 1024];
    let read = tokio::select! {
        () = cut_off(&mut cut) => return,
        read = client.read(&mut early) => read.unwrap_or_default(),
    };
    let first_line = String::from_utf8_lossy(&early[..read]).lines().next().unwrap_or_default().to_owned();
    let target = door.lock().unwrap().open(&first_line);
    let Some(target) = target else {
        let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nConnection: close\r\n\r\nby policy";
        let _ = client.write_all(refusal).await;
        return;
    };
    // A server that is gone is a connection that is cut.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if server.write_all(&early[..read]).await.is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (deaf, hearing) = (mode, watch::channel(Mode::Open).1);
    tokio::select! {
        () = cut_off(&mut cut) => {}
        () = copy(from_client, to_server, hearing) => {}
        () = copy(from_server, to_client, deaf) => {}
    }
}

async fn copy(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let deaf = *mode.borrow() == Mode::Deaf;
        if !deaf && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits until connections are cut. A cut that was mended before anybody looked is one as well.
async fn cut_off(mode: &mut watch::Receiver<Mode>) {
    while mode.changed().await.is_ok() && *mode.borrow_and_update() == Mode::Deaf {}
}

/// A message of a type.
pub(crate) fn say(kind: &str, data: impl Serialize) -> Raw {
    Raw::new(kind, &data).unwrap()
}

/// Waits until the client stands so.
pub(crate) async fn until(client: &Client, what: impl Fn(&Status) -> bool) -> Status {
    let mut status = client.status();
    soon(status.wait_for(what)).await.unwrap().clone()
}

pub(crate) async fn until_connected(client: &Client) {
    until(client, |status| matches!(status, Status::Connected { .. })).await;
}

pub(crate) async fn until_waiting(client: &Client) {
    until(client, |status| matches!(status, Status::Waiting { .. })).await;
}

/// The next event that `pick` takes; others are passed over.
pub(crate) async fn next<T>(room: &mut Room<Raw>, pick: impl Fn(Event<Raw>) -> Option<T>) -> T {
    let picked = async {
        loop {
            let event = room.next().await.expect("the room goes on");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    };
    soon(picked).await
}

/// Waits until the room is joined. Answers whether it went on where it was.
pub(crate) async fn joined(room: &mut Room<Raw>) -> bool {
    next(room, |event| match event {
        Event::Joined { recovered, .. } => Some(recovered),
        _ => None,
    })
    .await
}

/// The next message. A gap on the way is a failure.
pub(crate) async fn message(room: &mut Room<Raw>) -> Message<Raw> {
    next(room, |event| match event {
        Event::Message(message) => Some(message),
        Event::Gap { reason, .. } => panic!("a gap: {reason}"),
        _ => None,
    })
    .await
}

/// The number in the payload of the next messages.
pub(crate) async fn numbers(room: &mut Room<Raw>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(message(room).await.body.read::<Value>().unwrap()["n"].as_u64().unwrap());
    }
    numbers
}

/// Who is in a room, as one who is there hears it.
#[derive(Debug, Default)]
pub(crate) struct Roster(BTreeMap<String, Member>);

impl Roster {
    /// Reads on until it is as it should be.
    pub(crate) async fn until(&mut self, room: &mut Room<Raw>, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let presence = next(room, |event| match event {
                Event::Presence(presence) => Some(presence),
                _ => None,
            });
            self.take(presence.await.change);
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Join(member) | Change::Update(member) => drop(self.0.insert(member.user.clone(), member)),
            Change::Leave(member) => drop(self.0.remove(&member.user)),
            Change::Sync { members } => {
                self.0 = members.into_iter().map(|member| (member.user.clone(), member)).collect();
            }
            _ => {}
        }
    }

    pub(crate) fn users(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Whether somebody's state has this.
    pub(crate) fn has(&self, user: &str, key: &str, value: &str) -> bool {
        self.0.get(user).is_some_and(|member| member.state.get(key).is_some_and(|found| found == value))
    }
}
