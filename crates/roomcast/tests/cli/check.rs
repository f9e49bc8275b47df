//! `roomcast check`.

use crate::Place;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What `check` says of `config`, with a good key added.
fn faults(config: &str) -> String {
    let told =
        Place::with(&format!("{config}\n[[auth.api_keys]]\nid = \"backend\"\nkey = \"rk_{SECRET}\"\n"))
            .run(&["check"]);
    assert!(!told.success, "{told:?}");
    assert_eq!(told.stderr, "");
    told.stdout
}

#[test]
fn a_misspelt_key_is_an_error_with_place_and_guess() {
    insta::assert_snapshot!(faults("[limits]\nmessage_byte_max = 1000\n"), @r"
    error: unknown key `message_byte_max` in [limits]
     --> roomcast.toml:2:1
      |
    2 | message_byte_max = 1000
      | ^^^^^^^^^^^^^^^^
      |
      = help: did you mean `message_bytes_max`?
    roomcast.toml: 1 error
    ");
}

#[test]
fn all_faults_are_told_at_once() {
    let config = "\
[limits]
sends_burst = \"64KiB\"
ping_interval_seconds = 0
[server]
listen = [\"localhost\"]
[[rooms]]
users = [\"jion\", \"send\"]
history = 5
";
    insta::assert_snapshot!(faults(config), @r#"
    error: `limits.sends_burst` must be a whole number from 1 to 1000000, found "64KiB"
     --> roomcast.toml:2:15
      |
    2 | sends_burst = "64KiB"
      |               ^^^^^^^
      |
      = help: write 65536

    error: `limits.ping_interval_seconds` must be a number of seconds from 1 to 3600, found 0
     --> roomcast.toml:3:25
      |
    3 | ping_interval_seconds = 0
      |                         ^

    error: `server.listen[0]` is wrong: "localhost" is not an address and a port, like "0.0.0.0:8000" or "[::1]:8000"
     --> roomcast.toml:5:11
      |
    5 | listen = ["localhost"]
      |           ^^^^^^^^^^^

    error: `rooms[0].pattern` is missing
     --> roomcast.toml:6:1
      |
    6 | [[rooms]]
      | ^^^^^^^^^
      |
      = help: add a line like pattern = "chat:*"

    error: `rooms[0].users[0]` must be one of "join", "send", "history", "presence", "*", found "jion"
     --> roomcast.toml:7:10
      |
    7 | users = ["jion", "send"]
      |          ^^^^^^
      |
      = help: did you mean "join"?

    error: `rooms[0].history` must be a table, found 5
     --> roomcast.toml:8:11
      |
    8 | history = 5
      |           ^
    roomcast.toml: 6 errors
    "#);
}

#[test]
fn broken_toml_is_pointed_at() {
    insta::assert_snapshot!(faults("[limits\nsends_burst = \n"), @r"
    error: not valid TOML: unclosed table, expected `]`
     --> roomcast.toml:1:8
      |
    1 | [limits
      |        ^
    roomcast.toml: 1 error
    ");
}

#[test]
fn values_that_contradict_each_other() {
    let config = "\
[server]
origins = [\"example.com/chat\"]
[limits]
history_page_default = 2000
[[rooms]]
pattern = \"*\"
[[rooms]]
pattern = \"chat:*\"
[[auth.keys]]
id = \"one\"
algorithm = \"ES256\"
secret = \"not of use\"
[[auth.keys]]
id = \"one\"
algorithm = \"EdDSA\"
public_key = \"missing.pem\"
";
    insta::assert_snapshot!(faults(config), @r#"
    error: "example.com/chat" is no origin; write scheme://host or scheme://host:port without a path, https://*.example.com, or * for every page
     --> roomcast.toml:2:12
      |
    2 | origins = ["example.com/chat"]
      |            ^^^^^^^^^^^^^^^^^^

    error: a page of history has 2000 messages by default but 1000 at most
     --> roomcast.toml:4:24
      |
    4 | history_page_default = 2000
      |                        ^^^^
      |
      = help: raise `limits.history_page_max`, or lower this one

    warning: the rule for "chat:*" is never reached: `rooms[0]` matches every room
     --> roomcast.toml:8:11
      |
    8 | pattern = "chat:*"
      |           ^^^^^^^^
      |
      = help: move the rule for "*" to the end

    error: ES256 is verified with `public_key` alone: remove `secret`
      --> roomcast.toml:12:10
       |
    12 | secret = "**********"
       |          ^^^^^^^^^^^^

    error: "one" is the id of `auth.keys[0]` too; give each key its own
      --> roomcast.toml:14:6
       |
    14 | id = "one"
       |      ^^^^^

    error: can't read missing.pem: No such file or directory (os error 2)
      --> roomcast.toml:16:14
       |
    16 | public_key = "missing.pem"
       |              ^^^^^^^^^^^^^
    roomcast.toml: 5 errors, 1 warning
    "#);
}

#[test]
fn secrets_are_never_quoted() {
    for config in [
        "[auth]\nsecert = \"hunter2hunter2\"\n",
        "[auth]\nsecret = \"hunter2hunter2\n",
        "[auth]\nsecret = [\"hunter2hunter2\"]\n",
        "[auth]\nsecret = \"hunter2hunter2\"\nkey = 1\n",
        "auth = { secret = \"hunter2hunter2\", sercet = \"hunter2hunter2\" }\n",
        "[[auth.keys]]\nid = \"a\"\nalgorithm = \"HS265\"\nsecret = \"hunter2hunter2\"\n",
    ] {
        let told = Place::with(config).run(&["check"]);
        assert!(!told.success, "{config}");
        assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
    }
}

#[test]
fn no_key_is_an_error_that_says_which_line_to_add() {
    let told = Place::with("").run(&["check"]);
    assert!(!told.success);
    assert!(told.stdout.contains("[auth]\n") && told.stdout.contains("secret = \""), "{}", told.stdout);
}

#[test]
fn programs_get_places_as_numbers() {
    let place = Place::with(&format!("[auth]\nsecret = \"{SECRET}\"\n[limits]\n  sends_burts = 1\n"));
    let json = place.run(&["check", "--json"]).json();
    assert_eq!(json["ok"], false);
    let problem = &json["problems"][0];
    assert_eq!(problem["key"], "limits.sends_burts");
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(4), Some(3)));
    assert_eq!(problem["help"], "did you mean `sends_burst`?");
}

#[test]
fn the_environment_is_judged_too() {
    let place = Place::with(&format!("[auth]\nsecret = \"{SECRET}\"\n"));
    let told = place.run_with(&[("ROOMCAST_MEMORY_BYTES_MAX", "lots")], &["check"]);
    assert!(!told.success);
    insta::assert_snapshot!(told.stdout, @r#"
    error: `memory.bytes_max` must be a whole number of at least 1048576, found "lots"
     |
     = note: set by the environment: ROOMCAST_MEMORY_BYTES_MAX
    roomcast.toml: 1 error
    "#);
}

#[test]
fn no_file_is_not_taken_for_a_good_one() {
    let told = Place::new().run(&["check"]);
    assert!(!told.success);
    insta::assert_snapshot!(told.stderr, @r"
    error: there is no roomcast.toml in this directory
      help: name a file with --config FILE, or write one with `roomcast init`
    ");
}

#[test]
fn durability_needs_a_disk() {
    let place = Place::with(
        "engine = \"memory\"\n[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [[rooms]]\npattern = \"*\"\ndurability = \"synced\"\n",
    );
    let told = place.run(&["check"]);
    assert!(!told.success);
    assert!(told.stdout.contains("roomcast.toml:6"), "{}", told.stdout);
    assert!(told.stdout.contains("the memory engine keeps nothing beyond this process"), "{}", told.stdout);
}

#[test]
fn a_certificate_needs_its_key() {
    let place = Place::with(
        "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n[server]\ntls_certificate = \"a.pem\"\n\
         [[rooms]]\npattern = \"*\"\nusers = [\"*\"]\n",
    );
    let told = place.run(&["check"]);
    assert!(!told.success);
    assert!(told.stdout.contains("roomcast.toml:4"), "{}", told.stdout);
    assert!(told.stdout.contains("`server.tls_key` is missing"), "{}", told.stdout);
}

#[test]
fn a_certificate_that_can_t_be_shown_is_a_mistake() {
    let config = "[server]\ntls_certificate = \"a.pem\"\ntls_key = \"b.pem\"\n";
    insta::assert_snapshot!(faults(config), @r#"
    error: can't read a.pem: No such file or directory (os error 2)
     --> roomcast.toml:2:19
      |
    2 | tls_certificate = "a.pem"
      |                   ^^^^^^^
      |
      = help: paths in the configuration are relative to its file; the server's user must be able to read them
    roomcast.toml: 1 error
    "#);
}

#[test]
fn a_table_where_a_list_is_wanted_says_how_to_write_it() {
    let told = faults("[rooms]\npattern = \"*\"\n");
    assert!(told.contains("`rooms` must be a list") && told.contains("[[rooms]]"), "{told}");
}

#[test]
fn a_key_like_no_other_says_where_they_are_listed() {
    let told = faults("[limits]\nengine = \"memory\"\n");
    assert!(told.contains("`roomcast config` shows every key; those of no table stand before"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_what_names_it() {
    let told = Place::new().run(&["check", "--config", "typo.toml"]);
    assert!(!told.success);
    assert!(
        told.stderr.contains("can't read typo.toml") && told.stderr.contains("ROOMCAST_CONFIG"),
        "{told:?}"
    );
}

#[test]
fn a_program_is_told_in_json_that_there_is_no_file() {
    let told = Place::new().run(&["check", "--json"]);
    assert!(!told.success && told.stderr.is_empty(), "{told:?}");
    let json = told.json();
    assert_eq!((&json["ok"], &json["file"]), (&false.into(), &"roomcast.toml".into()));
    assert_eq!(json["problems"][0]["message"], "there is no roomcast.toml in this directory");
}
