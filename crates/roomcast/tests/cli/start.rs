//! Starting and stopping `dev` and `serve`.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Stdio},
};

use crate::Place;

/// A server that is killed when it goes out of sight.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a server and gives its first line.
fn start(place: &Place, arguments: &[&str]) -> (Running, String) {
    let mut command = place.command(arguments);
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (running, line)
}

#[test]
fn the_first_line_says_where_and_how() {
    let place = Place::new();
    let (_running, line) = start(&place, &["dev", "--listen", "127.0.0.1:0"]);
    let port = line.split(':').nth(2).and_then(|rest| rest.split([' ', ':']).next()).unwrap();
    let both = format!(
        "Roomcast dev on http://127.0.0.1:{port} (also http://[::1]:{port}): no keys, memory only, playground at /\n"
    );
    let lacking = both.replace(&format!("also http://[::1]:{port}"), "no IPv6 on this machine");
    assert!(line == both || line == lacking, "{line}");
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
    let (_running, line) = start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(line.starts_with("Roomcast serve on http://127.0.0.1:"), "{line}");
    assert!(line.ends_with(": 1 key, memory only, configured by roomcast.toml\n"), "{line}");
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
