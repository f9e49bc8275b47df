//! `roomcast pub` and `roomcast sub`, against a real server.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{Place, Told, start::Running};

/// A server for developers, and the URL of it.
fn dev(place: &Place) -> (Running, String) {
    let running = Running::start(place, &["dev", "--listen", "127.0.0.1:0"]);
    let url = format!("http://127.0.0.1:{}", running.port());
    (running, url)
}

/// What a line says after `12:34:56 `.
fn without_time(line: &str) -> &str {
    line.split_once(' ').unwrap().1
}

/// Runs a client as `ada`.
fn run(place: &Place, url: &str, arguments: &[&str]) -> Told {
    place.run_with(&[("ROOMCAST_URL", url), ("ROOMCAST_USER", "ada")], arguments)
}

#[test]
fn what_is_said_is_read() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    let said = run(&place, &url, &["pub", "general", "Hello"]);
    assert!(said.success && said.stdout.starts_with("delivered at "), "{said:?}");
    run(&place, &url, &["pub", "general", "--type", "order.paid", "--data", "{\"id\":7}"]);
    let read = run(&place, &url, &["sub", "general", "--last", "10", "--count", "2"]);
    let said: Vec<_> = read.stdout.lines().map(without_time).collect();
    assert_eq!(said, ["ada: Hello", "ada order.paid {\"id\":7}"]);
}

#[test]
fn every_transport_carries_the_same() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    for by in ["websocket", "events", "poll"] {
        let said = run(&place, &url, &["pub", "general", by, "--transport", by, "--json"]).json();
        let last = ["sub", "general", "--transport", by, "--last", "1", "--count", "1", "--json"];
        let read = run(&place, &url, &last).json();
        assert_eq!((&read["data"]["content"], &read["seq"]), (&json!(by), &said["seq"]));
    }
    let position =
        run(&place, &url, &["sub", "general", "--transport", "poll", "--last", "3", "--count", "1"]);
    let since = position.stderr.split('\'').nth(1).unwrap();
    let rest = ["sub", "general", "--transport", "events", "--since", since, "--count", "2", "--json"];
    let rest = run(&place, &url, &rest);
    assert_eq!(rest.stdout.lines().count(), 2, "a position of one is good on every other: {rest:?}");
}

#[test]
fn a_server_with_tls_is_talked_to_if_it_is_trusted() {
    let place = Place::new();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    place.write("certificate.pem", &made.cert.pem());
    place.write("key.pem", &made.signing_key.serialize_pem());
    place.run(&["init"]);
    let config = place.read("roomcast.toml");
    let tls = "[server]\ntls_certificate = \"certificate.pem\"\ntls_key = \"key.pem\"\n";
    assert!(config.contains("[server]\n"));
    place.write("roomcast.toml", &config.replacen("[server]\n", tls, 1));
    let server = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("https://127.0.0.1:{}", server.port());
    let token = place.run(&["token", "mint", "--user", "ada"]).stdout;
    let say = |rest: &[&str]| {
        run(&place, &url, &[&["pub", "general", "Hello", "--token", token.trim()], rest].concat())
    };
    for by in ["websocket", "events", "poll"] {
        let said = say(&["--transport", by, "--ca-file", "certificate.pem"]);
        assert!(said.success && said.stdout.starts_with("delivered at "), "{said:?}");
    }
    let stranger = say(&[]);
    assert!(!stranger.success && stranger.stderr.contains("no TLS with 127.0.0.1"), "{stranger:?}");
    let nowhere = say(&["--ca-file", "nothing.pem"]);
    assert!(!nowhere.success && nowhere.stderr.contains("--ca-file nothing.pem: "), "{nowhere:?}");
}

#[test]
fn programs_read_messages_as_they_came() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    let ack = run(&place, &url, &["pub", "general", "Hello", "--id", "one", "--json"]).json();
    assert_eq!((&ack["status"], &ack["duplicate"]), (&json!("delivered"), &json!(false)));
    let again = run(&place, &url, &["pub", "general", "Hello", "--id", "one", "--json"]).json();
    assert_eq!((&again["seq"], &again["duplicate"]), (&ack["seq"], &json!(true)));
    let read = run(&place, &url, &["sub", "general", "--last", "1", "--count", "1", "--json"]).json();
    assert_eq!(
        (&read["id"], &read["data"]),
        (&json!("one"), &json!({ "content": "Hello", "author": "ada" }))
    );
}

#[test]
fn each_line_is_a_message_and_reading_goes_on_where_it_ended() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    let mut lines = place.command(&["pub", "general", "-"]);
    let mut lines =
        lines.env("ROOMCAST_URL", &url).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    lines.stdin.take().unwrap().write_all(b"one\ntwo\nthree\n").unwrap();
    assert!(lines.wait().unwrap().success());
    let contents = |told: &Told| -> Vec<Value> {
        let messages = told.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        messages.map(|message| message["data"]["content"].clone()).collect()
    };
    let first = run(&place, &url, &["sub", "general", "--last", "3", "--count", "2", "--json"]);
    assert_eq!(contents(&first), ["one", "two"]);
    let since = first.stderr.split('\'').nth(1).unwrap();
    let rest = run(&place, &url, &["sub", "general", "--since", since, "--count", "1", "--json"]);
    assert_eq!(contents(&rest), ["three"]);
}

#[test]
fn a_message_is_read_as_it_comes() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    let mut reader = place.command(&["sub", "general", "--presence", "--count", "1"]);
    let mut reader = reader.env("ROOMCAST_URL", &url).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("0 here"));
    run(&place, &url, &["pub", "general", "Hello"]);
    assert_eq!(lines.next().as_deref().map(without_time), Some("ada: Hello"));
    assert!(reader.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_reading_in_good_order() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    run(&place, &url, &["pub", "general", "Hello"]);
    let mut reader = place.command(&["sub", "general", "--last", "1", "--json"]);
    let reader = reader.env("ROOMCAST_URL", &url).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = reader.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(reader.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let message: Value = serde_json::from_str(&line).unwrap();
    let pid = reader.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let told = Told::from(reader.wait_with_output().unwrap());
    assert!(told.success, "{told:?}");
    assert!(told.stderr.contains(&format!(".{}'", message["seq"])), "{told:?}");
}

#[test]
fn tokens_decide_what_may_be_said() {
    let place = Place::new();
    place.run(&["init"]);
    let server = Running::start(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://127.0.0.1:{}", server.port());
    let token = place.run(&["token", "mint", "--user", "ada", "--room", "chat:*=join,send"]).stdout;
    let said = run(&place, &url, &["pub", "chat:1", "Hello", "--token", token.trim()]);
    assert!(said.success, "{said:?}");
    let refused = run(&place, &url, &["pub", "news", "Hello", "--token", token.trim()]);
    assert!(!refused.success && refused.stderr.contains("forbidden"), "{refused:?}");
    let nobody = run(&place, &url, &["sub", "chat:1"]);
    assert!(!nobody.success && nobody.stderr.contains("unauthorized"), "{nobody:?}");
    assert!(nobody.stderr.contains("help: give it one with --token"), "{nobody:?}");
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    let place = Place::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = run(&place, &format!("http://{closed}"), &["pub", "general", "Hello"]);
    assert!(!told.success);
    assert!(told.stderr.contains(&format!("can't reach http://{closed}")), "{}", told.stderr);
    assert!(told.stderr.contains("roomcast dev"), "{}", told.stderr);
}

#[test]
fn a_type_with_a_meaning_of_its_own_is_not_published() {
    for kind in ["join", "typing", "ack", "Text"] {
        let told = Place::new().run(&["pub", "general", "Hello", "--type", kind]);
        assert!(!told.success && told.stderr.contains(&format!("\"{kind}\"")), "{told:?}");
        assert!(told.stderr.contains("for '--type <TYPE>'"), "before there is a connection: {told:?}");
    }
}

#[test]
fn a_room_that_is_named_twice_is_read_once() {
    let place = Place::new();
    let (_server, url) = dev(&place);
    run(&place, &url, &["pub", "general", "Hello"]);
    let read = run(&place, &url, &["sub", "general", "general", "--last", "1", "--count", "1"]);
    assert_eq!(without_time(read.stdout.trim_end()), "ada: Hello", "{read:?}");
}
