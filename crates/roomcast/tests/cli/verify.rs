//! `verify`: histories judged, and what is said of files that are none.

use serde_json::json;

use crate::Place;

const HISTORY: &str = r#"{"ev":"join","client":"r","room":"x","epoch":"e","seq":0,"from":0}
{"ev":"pub","client":"p","room":"x","id":"a"}
{"ev":"ack","client":"p","room":"x","id":"a","epoch":"e","seq":1}
{"ev":"recv","client":"r","room":"x","id":"a","epoch":"e","seq":1}
{"ev":"end","client":"r","room":"x","epoch":"e","seq":1}
"#;

fn with(history: &str) -> Place {
    let place = Place::new();
    place.write("history.jsonl", history);
    place
}

/// The history without one line.
fn without(line: usize) -> String {
    let mut lines: Vec<_> = HISTORY.lines().collect();
    lines.remove(line - 1);
    lines.join("\n") + "\n"
}

#[test]
fn a_kept_promise_is_a_success() {
    let told = with(HISTORY).run(&["verify", "history.jsonl"]);
    assert!(told.success, "{told:?}");
    assert_eq!(
        told.stdout,
        "history.jsonl: every promise kept; 5 events: 1 acks, 1 received, 0 resumed, 0 resets, 1 readers at the end\n"
    );
}

#[test]
fn a_broken_promise_is_told_with_its_line_and_fails() {
    let told = with(&without(4)).run(&["verify", "history.jsonl"]);
    assert!(!told.success);
    let lines: Vec<_> = told.stdout.lines().collect();
    assert_eq!(lines[0], "history.jsonl:4: head: in x, r ended at e.0, but the head is e.1 (see line 1)");
    assert_eq!(
        lines[1],
        "history.jsonl:4: acked: in x, r never got a at 1, which had been acked (see line 1)"
    );
    assert!(lines[2].starts_with("history.jsonl: 2 promises broken;"), "{told:?}");
}

#[test]
fn what_could_not_be_judged_is_said() {
    let told = with(&without(5)).run(&["verify", "history.jsonl"]);
    assert!(told.success && told.stdout.contains("no reader ended"), "{told:?}");
}

#[test]
fn json_has_every_finding() {
    let place = with(&without(4));
    place.write("good.jsonl", HISTORY);
    let told = place.run(&["verify", "--json", "history.jsonl", "good.jsonl"]);
    assert!(!told.success);
    let judged = told.json();
    assert_eq!(judged[0]["ok"], false);
    assert_eq!(
        judged[0]["findings"][0],
        json!({"rule": "head", "line": 4, "against": 1, "room": "x", "message": "r ended at e.0, but the head is e.1"})
    );
    assert_eq!(judged[1]["ok"], true);
    assert_eq!(judged[1]["counts"]["received"], 1);
}

#[test]
fn a_line_that_is_no_event_is_named_with_its_fix() {
    let told = with(&HISTORY.replace("\"recv\"", "\"recieved\"")).run(&["verify", "history.jsonl"]);
    assert!(!told.success && told.stdout.is_empty());
    assert!(told.stderr.contains("history.jsonl:4: no event: unknown variant `recieved`"), "{told:?}");
    assert!(told.stderr.contains("docs/history.md"), "{told:?}");
    let torn = with(&HISTORY[..HISTORY.len() - 10]).run(&["verify", "history.jsonl"]);
    assert!(torn.stderr.contains("history.jsonl:5:") && torn.stderr.contains("cut short"), "{torn:?}");
    let missing = with(HISTORY).run(&["verify", "other.jsonl"]);
    assert!(missing.stderr.contains("can't read other.jsonl"), "{missing:?}");
}

#[test]
fn an_empty_history_is_no_success() {
    let told = with("").run(&["verify", "history.jsonl"]);
    assert!(!told.success && told.stdout.is_empty());
    assert!(told.stderr.contains("history.jsonl holds no event"), "{told:?}");
}
