//! `roomcast token`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::Place;

const CONFIG: &str = "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

/// A key pair made for this test alone.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAxAYQcPbu4UtwuSc1LOR8bVARuFoCHSNe20B4XZCN2VU=
-----END PUBLIC KEY-----
";
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIF7EnmCnMP33FWfXmb7fsFV+AjyDUyRjraI076OleCsO
-----END PRIVATE KEY-----
";

fn claims(token: &str) -> Value {
    let payload = token.trim().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_token_is_all_that_is_printed() {
    let place = Place::new();
    place.run(&["init"]);
    let told = place.run(&["token", "mint", "--user", "ada", "--ttl", "60"]);
    assert!(told.success, "{told:?}");
    assert_eq!((told.stdout.lines().count(), told.stderr.as_str()), (1, ""));
    let claims = claims(&told.stdout);
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
}

#[test]
fn claims_are_what_was_asked_for() {
    let place = Place::with(
        "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\nissuer = \"me\"\naudience = \"you\"\n",
    );
    let arguments = ["token", "mint", "--user", "ada", "--room", "chat:*=join,send", "--room", "news=*"];
    let told = place.run(&[&arguments[..], &["--info", "{\"name\":\"Ada\"}", "--json"]].concat());
    let json = told.json();
    let claims = claims(json["token"].as_str().unwrap());
    assert_eq!(claims, json["claims"]);
    assert_eq!(claims["rooms"], json!({ "chat:*": ["join", "send"], "news": ["*"] }));
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["info"]["name"]),
        (&json!("me"), &json!("you"), &json!("Ada"))
    );
}

#[test]
fn without_a_secret_it_says_how_to_get_one() {
    let told = Place::new().run(&["token", "mint", "--user", "ada"]);
    assert!(!told.success);
    insta::assert_snapshot!(told.stderr, @r"
    error: there is no secret to sign with: no `[auth] secret` in the configuration
      help: write one with `roomcast init`, or name the file with --config FILE
    ");
}

#[test]
fn rights_are_checked_before_anything_is_signed() {
    let told = Place::new().run(&["token", "mint", "--user", "ada", "--room", "a=write"]);
    assert!(!told.success);
    assert!(told.stderr.contains("\"write\" is no right"), "{}", told.stderr);
}

#[test]
fn a_good_token_is_explained() {
    let place = Place::with(CONFIG);
    let minted =
        ["token", "mint", "--user", "ada", "--room", "chat:*=join,send", "--info", "{\"name\":\"Ada\"}"];
    let token = place.run(&minted).stdout;
    let told = place.run(&["token", "verify", token.trim()]);
    assert!(told.success, "{told:?}");
    insta::with_settings!({ filters => [(r"in \d+ s, at \d+", "in [left] s, at [end]")] }, {
        insta::assert_snapshot!(told.stdout, @r#"
        The token is valid.

          user     ada
          expires  in [left] s, at [end]
          key      auth.secret
          info     {"name":"Ada"}
          rooms    chat:* = join, send
        "#);
    });
    let json = place.run(&["token", "verify", token.trim(), "--json"]).json();
    assert_eq!(json["key"], "auth.secret");
    assert_eq!(json["rooms"], json!({ "chat:*": ["join", "send"] }));
}

#[test]
fn what_is_wrong_with_a_token_is_said() {
    let place = Place::with(CONFIG);
    let check = |token: &str, expected: &str| {
        let told = place.run(&["token", "verify", token.trim()]);
        assert!(!told.success);
        assert!(told.stderr.contains(expected), "{}", told.stderr);
        let json = place.run(&["token", "verify", token.trim(), "--json"]);
        assert_eq!((json.success, &json.json()["valid"]), (false, &json!(false)));
    };
    check(&place.run(&["token", "mint", "--user", "ada", "--ttl", "0"]).stdout, "the token ended ");
    let other = "another secret, and long enough for HS256";
    check(
        &place.run(&["token", "mint", "--user", "ada", "--secret", other]).stdout,
        "matches no configured key",
    );
    check("nonsense", "is no signed JWT");
}

#[test]
fn key_pairs_sign_with_a_file_and_verify_with_the_configuration() {
    let place =
        Place::with("[[auth.keys]]\nid = \"pair\"\nalgorithm = \"EdDSA\"\npublic_key = \"public.pem\"\n");
    place.write("public.pem", PUBLIC);
    place.write("private.pem", PRIVATE);
    let told = place.run(&["token", "mint", "--user", "ada", "--key", "pair"]);
    assert!(told.stderr.contains("--private-key FILE"), "{told:?}");
    let token = place
        .run(&["token", "mint", "--user", "ada", "--key", "pair", "--private-key", "private.pem"])
        .stdout;
    let json = place.run(&["token", "verify", token.trim(), "--json"]).json();
    assert_eq!((&json["valid"], &json["key"]), (&json!(true), &json!("auth.keys[0]")));
}

#[test]
fn a_pattern_that_is_named_twice_has_the_rights_of_both() {
    let told = Place::with(CONFIG)
        .run(&["token", "mint", "--user", "ada", "--room", "a=join", "--room", "a=send", "--json"]);
    assert_eq!(told.json()["claims"]["rooms"], json!({ "a": ["join", "send"] }));
}

#[test]
fn what_the_server_would_refuse_is_not_minted() {
    let place = Place::with(CONFIG);
    let check = |arguments: &[&str], expected: &str| {
        let told = place.run(&[&["token", "mint", "--user"], arguments].concat());
        assert!(!told.success && told.stdout.is_empty(), "{told:?}");
        assert!(told.stderr.contains(expected), "{}", told.stderr);
    };
    check(&[""], "the server would not take this token: the token's \"sub\" \"\" is not 1-256 bytes");
    check(&["ada", "--info", &format!("{{\"a\":\"{}\"}}", "b".repeat(2_000))], "1024 are the most");
    check(&["ada", "--ttl", "1h"], "write whole seconds, such as 3600");
    check(&["ada", "--key", "other"], "leave --key out to sign with `auth.secret`");
}

#[test]
fn without_a_secret_nothing_is_verified() {
    let told = Place::new().run(&["token", "verify", "nonsense"]);
    assert!(!told.success);
    assert!(told.stderr.contains("there is no secret to verify with"), "{}", told.stderr);
    assert!(told.stderr.contains("--config FILE"), "{}", told.stderr);
}
