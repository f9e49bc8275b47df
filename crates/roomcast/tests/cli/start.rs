//! Starting and stopping `dev` and `serve`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use crate::Place;

/// A server that is killed when it goes out of sight.
pub(crate) struct Running {
    process: Child,
    first_line: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Running {
    /// Starts a server and waits for its first line.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first_line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        Self { process, first_line }
    }

    /// The port that the first line names.
    pub(crate) fn port(&self) -> u16 {
        let after = self.first_line.split("://127.0.0.1:").nth(1).unwrap();
        after.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse().unwrap()
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port())).unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

#[test]
fn the_first_line_says_where_and_how() {
    let place = Place::new();
    let running = Running::start(&place, &["dev", "--listen", "127.0.0.1:0"]);
    let (line, port) = (&running.first_line, running.port());
    let both = format!(
        "Roomcast dev on http://127.0.0.1:{port} (also http://[::1]:{port}): no keys, memory only, playground at /\n"
    );
    let lacking = both.replace(&format!("also http://[::1]:{port}"), "no IPv6 on this machine");
    assert!(*line == both || *line == lacking, "{line}");
}

#[test]
fn dev_refuses_to_be_reached_by_others() {
    let told = Place::new().run(&["dev", "--listen", "0.0.0.0:0"]);
    assert!(!told.success);
    insta::assert_snapshot!(told.stderr, @r"
    error: `dev` has no keys, so it listens on this machine only; 0.0.0.0:0 (flag --listen) could be reached from others
      help: use a loopback address such as 127.0.0.1, or serve others with `roomcast init` and `roomcast serve`
    ");
}

#[test]
fn serve_refuses_to_start_without_keys() {
    let told = Place::new().run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!told.success);
    insta::with_settings!({ filters => [(r#"secret = "[A-Za-z0-9_-]{43}""#, r#"secret = "[fresh]""#)] }, {
        insta::assert_snapshot!(told.stderr, @r#"
        error: there is no key in [auth]: nobody could prove who they are, so `serve` would be open to the world
         |
         = help: add these lines, or let `roomcast init` write a whole file; `roomcast dev` needs no keys
                 
                 [auth]
                 secret = "[fresh]"
        "#);
    });
}

#[test]
fn serve_says_how_it_is_configured() {
    let place = Place::new();
    place.run(&["init"]);
    let running = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let line = &running.first_line;
    assert!(line.starts_with("Roomcast serve on http://127.0.0.1:"), "{line}");
    assert!(line.ends_with(": 1 key, messages in data, configured by roomcast.toml\n"), "{line}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let told = Place::new().run(&["dev", "--listen", &address.to_string()]);
    assert!(!told.success);
    assert!(
        told.stderr.contains(&format!("port {} is in use on 127.0.0.1", address.port())),
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("--listen"), "{}", told.stderr);
}

#[test]
fn dev_serves_the_playground_and_serve_does_not() {
    let place = Place::new();
    place.run(&["init"]);
    let check = |command: &str, status: &str| {
        let running = Running::start(&place, &[command, "--listen", "127.0.0.1:0"]);
        let mut stream = running.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(status), "{command}: {answer}");
    };
    check("dev", "HTTP/1.1 200");
    check("serve", "HTTP/1.1 404");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_in_good_order() {
    for name in ["TERM", "INT"] {
        let mut running = Running::start(&Place::new(), &["dev", "--listen", "127.0.0.1:0"]);
        running.signal(name);
        assert!(running.process.wait().unwrap().success(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::with(
        "[server]\nshutdown_timeout_seconds = 3600\n\
         [auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [[rooms]]\npattern = \"*\"\nanonymous = [\"*\"]\n",
    );
    let mut running = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    // A request whose body the server waits for, so that it waits at the first signal too.
    let mut stream = running.connect();
    let head =
        "POST /rooms/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    running.signal("INT");
    let mut log = BufReader::new(running.process.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("stopping")));
    running.signal("INT");
    assert_eq!(running.process.wait().unwrap().code(), Some(130));
}

/// A place whose server keeps its rooms on disk, with a key of a back end.
fn with_back_end() -> Place {
    Place::with(
        "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [[auth.api_keys]]\nid = \"backend\"\nkey = \"rk_0123456789abcdefghijklmnop\"\n",
    )
}

impl Running {
    /// Asks for something and returns the answer's body.
    fn ask(&self, request: &str, body: &str) -> serde_json::Value {
        let mut stream = self.connect();
        let length = body.len();
        write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").unwrap();
        if self.first_line.starts_with("Roomcast serve") {
            write!(stream, "Authorization: Bearer rk_0123456789abcdefghijklmnop\r\n").unwrap();
        }
        write!(stream, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn say(&self, id: &str) -> serde_json::Value {
        let body = format!("{{\"type\":\"text\",\"id\":\"{id}\",\"data\":{{}}}}");
        self.ask("POST /rooms/general/messages", &body)
    }

    fn history(&self) -> Vec<serde_json::Value> {
        self.ask("GET /rooms/general/messages", "")["messages"].as_array().unwrap().clone()
    }
}

#[test]
fn what_was_acked_survives_a_kill() {
    let place = with_back_end();
    let mut running = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let first = running.say("m1");
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    let running = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let ids: Vec<_> = running.history().iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids, ["m1"]);
    let again = running.say("m1");
    assert_eq!((&again["epoch"], &again["seq"]), (&first["epoch"], &first["seq"]));
    assert_eq!(again["duplicate"], true);
    let second = running.say("m2");
    assert_eq!((&second["epoch"], second["seq"].as_u64()), (&first["epoch"], Some(2)));
}

#[test]
fn a_second_server_on_the_same_data_is_told_of_the_first() {
    let place = with_back_end();
    let running = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let told = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!told.success);
    let process = running.process.id();
    assert!(
        told.stderr.contains(&format!("data is in use by another Roomcast (process {process})")),
        "{told:?}"
    );
}

#[test]
fn dev_keeps_messages_where_it_is_told() {
    let place = Place::new();
    let arguments = ["dev", "--data", "kept", "--listen", "127.0.0.1:0"];
    let running = Running::start(&place, &arguments);
    assert!(running.first_line.contains("messages in kept"), "{}", running.first_line);
    running.say("m1");
    drop(running);
    assert_eq!(Running::start(&place, &arguments).history().len(), 1);
}

#[test]
fn no_path_is_no_directory() {
    let told = Place::new().run(&["dev", "--listen", "127.0.0.1:0", "--data", ""]);
    assert!(!told.success && told.stderr.contains("the path is empty"), "{told:?}");
}
