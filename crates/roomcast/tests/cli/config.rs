//! `roomcast config`, and the page made from the same table.

use crate::Place;

#[test]
fn every_value_says_where_it_came_from() {
    let place =
        Place::with("[memory]\nbytes_max = 2000000\n[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n");
    let told = place
        .run_with(&[("ROOMCAST_LIMITS_SENDS_BURST", "7")], &["config", "--set", "limits.sends_per_second=9"]);
    assert!(told.success, "{told:?}");
    let source = |key: &str| {
        let line = told.stdout.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(source("memory.bytes_max"), "2000000 roomcast.toml:2");
    assert_eq!(source("auth.secret"), "\"…\" roomcast.toml:4");
    assert_eq!(source("limits.sends_burst"), "7 env ROOMCAST_LIMITS_SENDS_BURST");
    assert_eq!(source("limits.sends_per_second"), "9 flag --set limits.sends_per_second");
    assert_eq!(source("limits.message_bytes_max"), "65536 default");
    assert!(!told.stdout.contains("0123456789abcdef"));
}

#[test]
fn programs_get_the_same() {
    let place = Place::with("[[rooms]]\npattern = \"chat:*\"\nusers = [\"join\"]\nhistory.age = 60\n");
    let json = place.run(&["config", "--json"]).json();
    let value = |key: &str| {
        let found = json["values"].as_array().unwrap().iter().find(|entry| entry["key"] == key).unwrap();
        (found["value"].clone(), found["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(value("rooms[0].history.age"), (60.into(), "roomcast.toml:4".into()));
    assert_eq!(value("rooms[0].coalesce_ms"), (0.into(), "default".into()));
    assert_eq!(value("auth.issuer"), (serde_json::Value::Null, "default".into()));
}

#[test]
fn the_reference_page_is_current() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let written = std::fs::read_to_string(page).unwrap_or_default();
    let made = Place::new().run(&["config", "--reference"]).stdout;
    assert!(written == made, "stale: cargo run -p roomcast -- config --reference > docs/config.md");
}
