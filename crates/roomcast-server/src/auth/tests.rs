//! The attacks on tokens and keys that must fail, and what must work beside them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::AUTHORIZATION};
use roomcast_protocol::{Close, Code, Limits, Pattern, Rights};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a secret of 32 bytes and a few more";
const OTHER_SECRET: &str = "another secret of more than 32 bytes";
const API_KEY: &str = "rk_0123456789abcdefghijklmnop";
const NOW: Timestamp = Timestamp(1_800_000_000_500);
const NOW_SECONDS: u64 = 1_800_000_000;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name, ".pem"))
    };
}

fn authenticator(keys: Vec<Key>) -> Authenticator {
    let rules = |rights| Arc::new(Grants::Rules(vec![(Pattern::new("chat:*").unwrap(), rights)]));
    let mut api_keys = ApiKeys::default();
    api_keys.add("backend", API_KEY).unwrap();
    Authenticator {
        keys: Keys::new(keys).unwrap(),
        requirements: Requirements::default(),
        api_keys,
        users: rules(Rights::JOIN | Rights::SEND),
        anonymous: rules(Rights::NONE),
        backend: Arc::new(Grants::all()),
        named_guests: false,
        token_bytes_max: Limits::default().token_bytes_max,
    }
}

fn with_secret() -> Authenticator {
    authenticator(vec![Key::secret(Algorithm::Hs256, SECRET).unwrap()])
}

fn hs256(secret: &str) -> Signer {
    Signer::secret(Algorithm::Hs256, secret).unwrap()
}

fn minted(claims: &Value) -> String {
    hs256(SECRET).mint(claims).unwrap()
}

/// A token with a header of the attacker's choice.
fn forged(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn session() -> SessionId {
    SessionId::new("abcdefghijklmnopqrstuv").unwrap()
}

fn identify(auth: &Authenticator, query: &str) -> Result<Identity, AuthError> {
    auth.identify(&Credentials::find(&HeaderMap::new(), query, None), &session(), NOW)
}

fn bearer(auth: &Authenticator, token: &str) -> Result<Identity, AuthError> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    auth.identify(&Credentials::find(&headers, "", None), &session(), NOW)
}

/// The token is refused, in words that hold these, fit a Close frame whole, and hold nothing of the token.
fn refused(auth: &Authenticator, token: &str, words: &str) {
    let error = auth.verify(token, NOW).expect_err(words);
    assert!(error.message().contains(words), "{words}: {error}");
    assert_eq!(error.reason(), error.to_string(), "cut");
    assert!(!error.reason().chars().any(char::is_control), "{error}");
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert!(!format!("{error} {error:?}").contains(part), "{error}");
    }
}

#[test]
fn every_algorithm_with_its_own_key() {
    let public = |algorithm, pem| Key::public(algorithm, pem).unwrap();
    let private = |algorithm, pem| Signer::private(algorithm, pem).unwrap();
    let pairs = [
        (Key::secret(Algorithm::Hs256, SECRET), Signer::secret(Algorithm::Hs256, SECRET)),
        (Key::secret(Algorithm::Hs384, SECRET), Signer::secret(Algorithm::Hs384, SECRET)),
        (Key::secret(Algorithm::Hs512, SECRET), Signer::secret(Algorithm::Hs512, SECRET)),
    ];
    let mut pairs: Vec<_> = pairs.into_iter().map(|(key, signer)| (key.unwrap(), signer.unwrap())).collect();
    pairs.push((
        public(Algorithm::Rs256, pem!("rs256-public")),
        private(Algorithm::Rs256, pem!("rs256-private")),
    ));
    pairs.push((
        public(Algorithm::Es256, pem!("es256-public")),
        private(Algorithm::Es256, pem!("es256-private")),
    ));
    pairs.push((
        public(Algorithm::EdDsa, pem!("eddsa-public")),
        private(Algorithm::EdDsa, pem!("eddsa-private")),
    ));
    let all = authenticator(pairs.iter().map(|(key, _)| key.clone()).collect());
    for (i, (key, signer)) in pairs.iter().enumerate() {
        let token = signer.mint(&json!({"sub": "ada"})).unwrap();
        assert_eq!(&*all.verify(&token, NOW).unwrap().user, "ada", "{signer:?}");
        assert!(authenticator(vec![key.clone()]).verify(&token, NOW).is_ok(), "{signer:?}");
        let (stranger, _) = &pairs[(i + 1) % pairs.len()];
        refused(&authenticator(vec![stranger.clone()]), &token, "algorithm");
    }
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let claims = json!({"sub": "ada"});
    let auth = with_secret();
    refused(&auth, &hs256(OTHER_SECRET).mint(&claims).unwrap(), "matches no configured key");
    let token = minted(&claims);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let payload = URL_SAFE_NO_PAD.encode(json!({"sub": "eve"}).to_string());
    refused(&auth, &format!("{header}.{payload}.{signature}"), "matches no configured key");
    refused(&auth, &format!("{signed}."), "matches no configured key");
    refused(&auth, &format!("{signed}.{}", &signature[1..]), "matches no configured key");
}

#[test]
fn no_algorithm_but_the_keys() {
    let claims = json!({"sub": "ada"});
    let auth = with_secret();
    for alg in ["none", "None", "NONE", "HS384", "RS256", "", "hs256", "x\r\ny"] {
        refused(&auth, &forged(&json!({"alg": alg}), &claims, SECRET.as_bytes()), "algorithm");
    }
    let unsigned = forged(&json!({"alg": "none"}), &claims, SECRET.as_bytes());
    refused(&auth, &format!("{}.", unsigned.rsplit_once('.').unwrap().0), "algorithm");
}

#[test]
fn a_public_key_is_no_secret() {
    let pem = pem!("rs256-public");
    let auth = authenticator(vec![Key::public(Algorithm::Rs256, pem).unwrap()]);
    for header in [json!({"alg": "HS256"}), json!({"alg": "RS256"})] {
        for secret in [pem, pem.trim_end()] {
            let token = forged(&header, &json!({"sub": "ada"}), secret.as_bytes());
            assert_eq!(auth.verify(&token, NOW).unwrap_err().code(), Code::Unauthorized);
        }
    }
    let error = Key::secret(Algorithm::Hs256, pem).unwrap_err();
    assert!(error.to_string().contains("is a PEM file"), "{error}");
}

#[test]
fn nothing_in_the_header_brings_a_key() {
    let claims = json!({"sub": "ada"});
    let auth = with_secret();
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(OTHER_SECRET)});
    for header in [
        json!({"alg": "HS256", "jwk": jwk}),
        json!({"alg": "HS256", "jku": "https://evil.test/keys"}),
        json!({"alg": "HS256", "x5u": "https://evil.test/certificate"}),
    ] {
        refused(&auth, &forged(&header, &claims, OTHER_SECRET.as_bytes()), "matches no configured key");
        refused(&auth, &forged(&header, &claims, b""), "matches no configured key");
    }
    for kid in ["../../dev/null", "x' UNION SELECT 'secret", "a\r\nb"] {
        let header = json!({"alg": "HS256", "kid": kid});
        for secret in [SECRET, OTHER_SECRET, ""] {
            refused(&auth, &forged(&header, &claims, secret.as_bytes()), "no key in auth.keys is named");
        }
    }
    let critical = json!({"alg": "HS256", "crit": ["exp"]});
    refused(&auth, &forged(&critical, &claims, SECRET.as_bytes()), "crit");
}

#[test]
fn a_kid_chooses_among_the_configured_keys() {
    let key = |secret, id| Key::secret(Algorithm::Hs256, secret).unwrap().named(id);
    let token = |secret: &str, kid: &str| hs256(secret).named(kid).mint(&json!({"sub": "ada"})).unwrap();
    let auth = authenticator(vec![key(SECRET, "old"), key(OTHER_SECRET, "new")]);
    assert!(auth.verify(&token(SECRET, "old"), NOW).is_ok());
    assert!(auth.verify(&token(OTHER_SECRET, "new"), NOW).is_ok());
    assert!(auth.verify(&minted(&json!({"sub": "ada"})), NOW).is_ok(), "no kid: any key");
    refused(&auth, &token(SECRET, "new"), r#"matches no configured key (kid "new")"#);
    refused(&auth, &token(SECRET, "../../etc/passwd"), r#"is named "../../etc/passwd""#);
    refused(&auth, &token(SECRET, &"k".repeat(500)), "is named");
    refused(&with_secret(), &token(SECRET, "any"), "is named");
}

#[test]
fn what_is_no_jwt() {
    let auth = with_secret();
    let token = minted(&json!({"sub": "ada"}));
    let padded = token.replacen('.', "=.", 1);
    let five_parts = format!("{token}.abc.def");
    for bad in ["", ".", "..", "a.b", "not a token", "é.é.é", &padded, &five_parts, &format!(" {token}")] {
        refused(&auth, bad, "no signed JWT");
    }
    refused(
        &auth,
        &forged(&json!(["HS256", null]), &json!({"sub": "ada"}), SECRET.as_bytes()),
        "no signed JWT",
    );
    refused(&auth, &"x".repeat(8193), "has 8193 bytes; 8192 are the most");
    refused(&authenticator(vec![]), &token, "verifies no tokens");
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    refused(&auth, &format!("{}.e30.", URL_SAFE_NO_PAD.encode(&deep)), "no signed JWT");
}

#[test]
fn claims_are_checked_by_type() {
    let auth = with_secret();
    let check = |more: Value, words: &str| {
        let mut claims = json!({"sub": "ada", "exp": NOW_SECONDS + 60});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&auth, &minted(&claims), words);
    };
    for name in ["exp", "nbf"] {
        for bad in [json!("1800000600"), json!("never"), json!(null), json!(true), json!([1]), json!({})] {
            check(json!({name: bad}), "must be a number of Unix seconds");
        }
        for bad in [json!(-1), json!(-0.5), json!(1_800_000_600_000_u64), json!(1e300), json!(u64::MAX)] {
            check(json!({name: bad}), "must be Unix seconds, not milliseconds");
        }
    }
    for bad in [json!(42), json!(null), json!(["ada"]), json!({"id": "ada"})] {
        check(json!({"sub": bad}), "must be a string");
    }
    for bad in [json!(""), json!("a\nb"), json!("u".repeat(257))] {
        check(json!({"sub": bad}), "without control characters");
    }
    check(json!({"iss": 1}), "must be a string");
    check(json!({"aud": {"a": 1}}), "must be a string or a list of strings");
    for bad in [json!("Ada"), json!([]), json!(null)] {
        check(json!({"info": bad}), "must be an object");
    }
    check(json!({"info": {"name": "a".repeat(1100)}}), "are the most");
    for bad in [json!("*"), json!(["chat:*"]), json!(null)] {
        check(json!({"rooms": bad}), "must be an object from patterns");
    }
    check(json!({"rooms": {"chat:*": "join"}}), "no list of rights");
    check(json!({"rooms": {"chat:*": ["write"]}}), "is no right");
    check(json!({"rooms": {"chat:*": [1]}}), "is no right");
    check(json!({"rooms": {"a b": ["join"]}}), "takes a room name with *");
    refused(&auth, &minted(&json!({"exp": NOW_SECONDS + 60})), r#"has no "sub""#);
    refused(&auth, &minted(&json!(["ada"])), "no JSON object");
    refused(&auth, &minted(&json!("ada")), "no JSON object");
}

#[test]
fn a_claim_that_stands_there_twice_is_refused() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"ada","sub":"eve"}"#);
    let signed = format!("{header}.{payload}");
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    refused(&with_secret(), &format!("{signed}.{signature}"), "duplicate field `sub`");
}

#[test]
fn there_is_no_leeway() {
    let auth = with_secret();
    let expired = |exp: Value| {
        let error = auth.verify(&minted(&json!({"sub": "ada", "exp": exp})), NOW).unwrap_err();
        assert_eq!((error.code(), error.close()), (Code::TokenExpired, Close::TokenExpired), "{exp}");
        error.reason()
    };
    assert_eq!(
        expired(json!(NOW_SECONDS - 12)),
        "token_expired: the token ended 12 s ago; fetch a fresh one and come back"
    );
    expired(json!(NOW_SECONDS));
    expired(json!(1_800_000_000.5));
    expired(json!(0));
    let until =
        |exp: Value| auth.verify(&minted(&json!({"sub": "ada", "exp": exp})), NOW).unwrap().expires_at;
    assert_eq!(until(json!(NOW_SECONDS + 1)), Some(Timestamp(1_800_000_001_000)));
    assert_eq!(until(json!(1_800_000_000.75)), Some(Timestamp(1_800_000_000_750)));
    refused(&auth, &minted(&json!({"sub": "ada", "nbf": NOW_SECONDS + 1})), "begins in 1 s");
    assert!(auth.verify(&minted(&json!({"sub": "ada", "nbf": NOW_SECONDS})), NOW).is_ok());
}

#[test]
fn the_configuration_says_what_a_token_must_have() {
    let mut auth = with_secret();
    assert_eq!(
        auth.verify(&minted(&json!({"sub": "ada", "aud": "x", "iss": "y"})), NOW).unwrap().expires_at,
        None
    );
    auth.requirements = Requirements {
        issuer: Some("https://id.test".into()),
        audience: Some("roomcast".into()),
        require_exp: true,
    };
    let claims = |more: Value| {
        let mut claims = json!({
            "sub": "ada", "iss": "https://id.test", "aud": ["web", "roomcast"], "exp": NOW_SECONDS + 1
        });
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        minted(&claims)
    };
    assert!(auth.verify(&claims(json!({})), NOW).is_ok());
    assert!(auth.verify(&claims(json!({"aud": "roomcast"})), NOW).is_ok());
    refused(&auth, &claims(json!({"exp": null})), "auth.require_exp");
    refused(&auth, &claims(json!({"iss": null})), r#"has no "iss""#);
    refused(&auth, &claims(json!({"iss": "https://id.test/"})), "auth.issuer");
    refused(&auth, &claims(json!({"aud": null})), "auth.audience");
    refused(&auth, &claims(json!({"aud": "web"})), "auth.audience");
    refused(&auth, &claims(json!({"aud": []})), "auth.audience");
}

#[test]
fn a_user_has_what_the_token_or_the_rules_give() {
    let auth = with_secret();
    let plain = bearer(&auth, &minted(&json!({"sub": "ada"}))).unwrap();
    assert_eq!((&*plain.user, plain.principal), ("ada", Principal::User));
    assert_eq!(plain.grants.rights("chat:1"), Rights::JOIN | Rights::SEND);
    let token = minted(&json!({
        "sub": "ada",
        "info": {"name": "Ada \u{e9}", "big": 12_345_678_901_234_567_890_u64},
        "rooms": {"news": ["join"], "n*": ["history", "presence"], "own:ada": ["*"], "shut": []}
    }));
    let ada = identify(&auth, &format!("token={token}")).unwrap();
    assert_eq!(ada.info.as_deref(), Some(r#"{"big":12345678901234567890,"name":"Ada é"}"#));
    assert_eq!(ada.grants.rights("news"), Rights::JOIN | Rights::HISTORY | Rights::PRESENCE);
    assert_eq!(ada.grants.rights("own:ada"), Rights::ALL);
    assert_eq!(ada.grants.rights("chat:1"), Rights::NONE, "a claim leaves nothing to the rules");
    let nothing = bearer(&auth, &minted(&json!({"sub": "ada", "rooms": {}}))).unwrap();
    assert!(!nothing.grants.any());
}

#[test]
fn guests_come_in_where_a_rule_gives_them_a_right() {
    let mut auth = with_secret();
    let error = identify(&auth, "").unwrap_err();
    assert_eq!((error.code(), error.reason().len() <= 123), (Code::Unauthorized, true), "{error}");
    assert!(error.reason().ends_with("\"Authorization: Bearer\""), "{error}");
    auth.anonymous = Arc::new(Grants::Rules(vec![(Pattern::new("open").unwrap(), Rights::JOIN)]));
    let guest = identify(&auth, "user=ada").unwrap();
    // The first 50 bits of SHA-256("abcdefghijklmnopqrstuv"), in base32.
    assert_eq!((&*guest.user, guest.principal), ("guest_62pzw4grzg", Principal::User));
    assert_eq!(guest.grants.rights("open"), Rights::JOIN);
    assert!(identify(&auth, "token=").is_err(), "a bad token makes no guest");
    auth.named_guests = true;
    assert_eq!(&*identify(&auth, "user=ada").unwrap().user, "ada");
    assert_eq!(identify(&auth, "").unwrap().user, guest.user);
    assert!(identify(&auth, "user=a%0Ab").unwrap_err().message().contains("?user="));
}

#[test]
fn api_keys_act_for_the_back_end() {
    let auth = with_secret();
    let backend = bearer(&auth, API_KEY).unwrap();
    assert_eq!((&*backend.user, backend.principal), ("backend", Principal::Backend));
    assert_eq!(backend.grants.rights("any"), Rights::ALL);
    for bad in [&API_KEY[..API_KEY.len() - 1], "rk_", &format!("{API_KEY}x"), "RK_0123456789abcdefghijklmnop"]
    {
        let error = bearer(&auth, bad).unwrap_err();
        assert_eq!(error.code(), Code::Unauthorized);
        assert!(!error.to_string().contains(&API_KEY[..12]), "{error}");
    }
    let error = identify(&auth, &format!("token={API_KEY}")).unwrap_err();
    assert!(error.message().contains("in a URL"), "{error}");
    assert!(!format!("{auth:?}").contains(&API_KEY[3..]), "{auth:?}");
}

#[test]
fn keys_that_can_not_be_used() {
    let check = |result: Result<Key, SetupError>, words: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    check(Key::secret(Algorithm::Hs256, "too short"), "has 9 bytes, and 32 are the least");
    check(Key::secret(Algorithm::Es256, SECRET), "takes a public key");
    check(Key::public(Algorithm::Hs256, pem!("rs256-public")), "no public key for HS256");
    check(Key::public(Algorithm::Rs256, pem!("rs256-private")), "private key");
    check(Key::public(Algorithm::Rs256, pem!("es256-public")), "no public key for RS256");
    check(Key::public(Algorithm::Rs256, pem!("rsa1024-public")), "2048 bits");
    check(Key::public(Algorithm::Es256, pem!("p384-public")), "P-256");
    check(Key::public(Algorithm::EdDsa, pem!("rs256-public")), "Ed25519");
    check(Key::public(Algorithm::EdDsa, "nonsense"), "no public key");
    let named = Key::secret(Algorithm::Hs256, SECRET).unwrap().named("a");
    assert!(Keys::new(vec![named.clone(), named]).unwrap_err().to_string().contains("named \"a\""));
    let mut keys = ApiKeys::default();
    assert!(keys.add("a", "rk_short").unwrap_err().to_string().contains("22 random"));
    assert!(keys.add("a", API_KEY).is_ok());
    assert!(keys.add("a", "rk_another-abcdefghijklmnop").is_err() && keys.add("b", API_KEY).is_err());
    assert_eq!("ES256".parse(), Ok(Algorithm::Es256));
    assert!("none".parse::<Algorithm>().is_err());
}
