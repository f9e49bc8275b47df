//! Clients of a hub over real sockets, without HTTP: what is said to the hub goes in as text, what it says comes
//! out as JSON.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use roomcast_hub::{Connection, Entrance, Hub, Line, RoomRule};
use roomcast_protocol::{Grants, Join, Pattern, RoomName, SessionId, UserId, Wire};
use roomcast_session::{Identity, Principal};
use roomcast_websocket::{Decoder, DecoderLimits, Event, Role};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket, TcpStream},
};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that the kernel keeps on each side, so that a reader which stops is noticed soon.
const SOCKET_BYTES: u32 = 8 * 1024;

pub(crate) fn rule() -> RoomRule {
    RoomRule::new(Pattern::new("*").unwrap())
}

pub(crate) fn identity(user: &str, session: &str) -> Identity {
    Identity {
        user: UserId::new(user).unwrap(),
        principal: Principal::User,
        session: SessionId::new(&format!("{session:0<22}")).unwrap(),
        grants: Arc::new(Grants::all()),
        info: None,
        expires_at: None,
    }
}

/// One client.
pub(crate) struct Client {
    hub: Hub,
    pub(crate) connection: Arc<Connection>,
    socket: TcpStream,
    decoder: Decoder,
    said: VecDeque<Value>,
    /// The code and reason of the close, once it came.
    pub(crate) closed: Option<(u16, String)>,
}

impl Client {
    pub(crate) async fn connect(hub: &Hub, user: &str) -> Self {
        Self::with(hub, identity(user, user), 0, None).await
    }

    pub(crate) async fn with(
        hub: &Hub,
        who: Identity,
        attempt: u32,
        bound: Option<(RoomName, Join)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BYTES).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(socket.connect(address), listener.accept());
        let server = accepted.unwrap().0;
        socket2::SockRef::from(&server).set_send_buffer_size(SOCKET_BYTES as usize).unwrap();
        let entrance =
            Entrance { line: Line::Socket(server), wire: Wire::Plain, identity: who, attempt, bound };
        let connection = hub.admit(entrance).unwrap();
        let limits = DecoderLimits { message_bytes_max: 16 << 20, fragments_max: 1 };
        Self {
            hub: hub.clone(),
            connection,
            socket: client.unwrap(),
            decoder: Decoder::new(Role::Client, limits, None),
            said: VecDeque::new(),
            closed: None,
        }
    }

    /// Says several messages in one turn, as one read would bring them.
    pub(crate) fn say(&self, messages: &[Value]) {
        let mut turn = self.hub.turn(&self.connection);
        for message in messages {
            turn.message(&message.to_string());
        }
        turn.finish();
    }

    /// Joins a room and answers the ack's data.
    pub(crate) async fn join(&mut self, room: &str, data: Value) -> Value {
        self.say(&[json!({"type": "join", "room": room, "id": "join", "data": data})]);
        self.next_where(|message| message["id"] == "join").await["data"].clone()
    }

    /// The next message, or `None` once the connection is at its end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let mut buffer = vec![0; 64 * 1024];
        while self.said.is_empty() {
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut buffer));
            let n = read.await.expect("the hub says something in time").unwrap_or(0);
            if n == 0 {
                return None;
            }
            assert_eq!(self.closed, None, "nothing follows a close");
            let mut at = 0;
            while let Some(event) = self.decoder.next(&mut buffer[..n], &mut at).unwrap() {
                match event {
                    Event::Text(text) => self.said.push_back(serde_json::from_str(text).unwrap()),
                    Event::Close(Some((code, reason))) => {
                        self.closed = Some((code.0, reason.to_owned()));
                        assert_eq!(at, n, "nothing follows a close");
                    }
                    _ => {}
                }
            }
        }
        self.said.pop_front()
    }

    /// The next message that is meant; those before it are passed over.
    pub(crate) async fn next_where(&mut self, meant: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await.expect("the connection is open");
            if meant(&message) {
                return message;
            }
        }
    }

    /// The next logged message or reset.
    pub(crate) async fn next_of_log(&mut self) -> Value {
        self.next_where(|message| !message["seq"].is_null() || message["data"]["event"] == "reset").await
    }

    /// The seqs of the next so many logged messages.
    pub(crate) async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            seqs.push(self.next_of_log().await["seq"].as_u64().expect("a logged message"));
        }
        seqs
    }

    /// Reads until the end.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        while self.next().await.is_some() {}
        self.closed.clone().expect("a Close frame before the end")
    }

    /// Goes without a word.
    pub(crate) fn vanish(self) {
        self.hub.dismiss(&self.connection, roomcast_hub::Departure::Lost);
    }
}

pub(crate) fn text(room: &str, content: &str) -> Value {
    json!({"type": "text", "room": room, "data": {"content": content}})
}
