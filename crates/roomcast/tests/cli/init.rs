//! `roomcast init`.

use crate::Place;

#[test]
fn writes_a_file_that_serve_would_take() {
    let place = Place::new();
    let told = place.run(&["init"]);
    assert!(told.success, "{told:?}");
    insta::assert_snapshot!(told.stdout, @r"
    Wrote roomcast.toml: a fresh secret, and one rule that lets everybody with a token do everything.

    Next:
      roomcast serve
      roomcast token mint --user ada
      roomcast check    after every change
    ");
    let check = place.run(&["check"]);
    assert_eq!(check.stdout, "roomcast.toml: no mistakes found\n");
    assert!(check.success);
}

#[test]
fn every_file_has_a_secret_of_its_own() {
    let secret = || {
        let place = Place::new();
        place.run(&["init"]);
        let file = place.read("roomcast.toml");
        file.lines().find(|line| line.starts_with("secret = ")).unwrap().to_owned()
    };
    assert_ne!(secret(), secret());
}

#[test]
fn never_overwrites() {
    let place = Place::with("mine");
    let told = place.run(&["init"]);
    assert!(!told.success);
    insta::assert_snapshot!(told.stderr, @r"
    error: roomcast.toml is already there and may hold your secrets; it was left as it is
      help: remove it first, or write another one with --config FILE
    ");
    assert_eq!(place.read("roomcast.toml"), "mine");
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.run(&["init", "--config", "other.toml"]);
    let mode = place.path().join("other.toml").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
