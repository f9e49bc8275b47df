//! The example `embed` as a process: somebody's own app, and a room within it.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running example; it ends with this.
struct Example {
    process: Child,
    address: SocketAddr,
}

impl Example {
    fn start() -> Self {
        let mut command = Command::new(binary());
        let mut process = command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (_, address) = line.trim().split_once("http://").expect("the line that says where it listens");
        Self { process, address: address.parse().unwrap() }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Joined to a room by its path; the welcome and the join's ack are read.
    fn join(&self, room: &str) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/realtime/ws/{room}?user=ada", self.address);
        let (mut socket, _) = tungstenite::client(url, self.connect()).unwrap();
        assert_eq!(next(&mut socket)["data"]["event"], "welcome");
        assert_eq!(next(&mut socket)["data"]["status"], "joined");
        socket
    }

    /// A request, and everything that was answered.
    fn request(&self, request: &str) -> String {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Cargo puts examples beside the folder of tests, and builds them with the tests.
fn binary() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap().join("examples").join("embed");
    let built = built.with_extension(env::consts::EXE_EXTENSION);
    assert!(built.exists(), "{} is missing: cargo build -p roomcast-server --example embed", built.display());
    built
}

fn next(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// The next message of a type; presence comes when it comes.
fn next_of(socket: &mut WebSocket<TcpStream>, kind: &str) -> Value {
    loop {
        let message = next(socket);
        if message["type"] == kind {
            return message;
        }
    }
}

#[test]
fn a_message_goes_through_an_app_that_embeds_rooms() {
    let example = Example::start();
    let mut ada = example.join("lobby");

    let body = json!({"type": "text", "data": {"content": "by HTTP"}}).to_string();
    let answer = example.request(&format!(
        "POST /realtime/rooms/lobby/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""status":"delivered""#), "{answer}");
    assert_eq!(next_of(&mut ada, "text")["data"]["content"], "by HTTP");

    let text = json!({"type": "text", "id": "m1", "data": {"content": "by socket"}}).to_string();
    ada.send(Message::text(text)).unwrap();
    let (mut acked, mut seen) = (false, false);
    while !(acked && seen) {
        let message = next(&mut ada);
        acked |= message["type"] == "ack" && message["id"] == "m1" && message["data"]["seq"] == 2;
        seen |= message["type"] == "text" && message["data"]["author"] == "ada";
    }
}

#[test]
fn the_app_s_own_pages_are_still_its_own() {
    let answer = Example::start().request("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(answer.contains("<title>Orders</title>"), "{answer}");
}

#[test]
fn what_the_app_publishes_reaches_the_room() {
    let example = Example::start();
    let mut ada = example.join("orders");
    let answer = example.request(
        "POST /orders HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(next_of(&mut ada, "order")["data"], json!({"number": 1}));
}
