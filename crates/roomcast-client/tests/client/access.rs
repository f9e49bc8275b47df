//! Tokens, rights and sessions: when a client is let in, and when it stops trying.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use roomcast_client::{Error, Event, Raw, Status, Transport, Why};
use roomcast_protocol::{Grants, Pattern, Rights};
use roomcast_server::auth::Authenticator;
use serde_json::{Value, json};

use crate::support::{Server, joined, message, next, numbers, say, soon, token, until, until_connected};

fn in_seconds(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds
}

on_each_transport! {
    a_room_that_is_not_ones_own_is_denied_and_others_go_on,
    a_refused_token_is_followed_by_a_fresh_one,
    a_token_that_has_ended_is_followed_by_a_fresh_one,
    a_client_ends_with_its_only_token,
    a_token_function_that_fails_is_asked_again,
    whose_token_function_gives_none_is_a_guest,
}

on_each_connection! {
    a_token_that_expires_is_replaced_in_place,
    a_user_who_is_thrown_out_stays_away,
}

type Asked = Arc<Mutex<Vec<Why>>>;
type Token = Ready<Result<Option<String>, Infallible>>;

/// A token function that gives these in turn, the last one for ever, and why it was asked.
fn in_turn(tokens: Vec<String>) -> (impl Fn(Why) -> Token, Asked) {
    let asked = Asked::default();
    let reasons = asked.clone();
    let fetch = move |why| {
        let mut reasons = reasons.lock().unwrap();
        let turn = reasons.len().min(tokens.len() - 1);
        reasons.push(why);
        ready(Ok(Some(tokens[turn].clone())))
    };
    (fetch, asked)
}

fn ada(rooms: &Value, ends_in: u64) -> String {
    token(&json!({"sub": "ada", "exp": in_seconds(ends_in), "rooms": rooms}))
}

async fn a_room_that_is_not_ones_own_is_denied_and_others_go_on(by: Transport) {
    let rules = vec![(Pattern::new("open:*").unwrap(), Rights::ALL)];
    let guests = Authenticator { anonymous: Arc::new(Grants::Rules(rules)), ..Authenticator::default() };
    let server = Server::with(guests, Vec::new());
    let client = server.client().transports([by]).connect().unwrap();
    let mut closed = client.join::<Raw>("closed").await.unwrap();
    let message = closed.voice().post(&say("text", json!({}))).await.unwrap();
    let denied = |event: Event<Raw>| match event {
        Event::Denied(refused) => Some(refused.code),
        _ => None,
    };
    assert_eq!(next(&mut closed, denied).await, "forbidden");
    assert!(soon(closed.next()).await.is_none());
    assert!(matches!(soon(message.ack()).await, Err(Error::Refused(refused)) if refused.code == "forbidden"));
    let open = client.join::<Raw>("open:1").await.unwrap();
    soon(open.send(&say("text", json!({})))).await.unwrap();
}

async fn a_token_that_expires_is_replaced_in_place(by: Transport) {
    let server = Server::with_tokens();
    // The first is announced as expiring at once; the second no longer opens `old`.
    let both = json!({"old": ["*"], "kept": ["*"]});
    let tokens = vec![ada(&both, 50), ada(&json!({"kept": ["*"]}), 3_600)];
    let (fetch, asked) = in_turn(tokens);
    let client = server.client().transports([by]).token_fn(fetch).connect().unwrap();
    let mut old = client.join::<Raw>("old").await.unwrap();
    let kept = client.join::<Raw>("kept").await.unwrap();
    let left = |event: Event<Raw>| match event {
        Event::Left { reason } => Some(reason),
        _ => None,
    };
    let reason = next(&mut old, left).await;
    let why = if by == Transport::WebSocket { "new token" } else { "ada has {} in \"old\"" };
    assert!(reason.contains(why), "{reason}");
    soon(kept.send(&say("text", json!({})))).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [Why::Connect, Why::Expiring]);
    let user = Some("ada".to_owned());
    until(&client, |status| *status == Status::Connected { user: user.clone(), transport: by }).await;
}

async fn a_token_that_has_ended_is_followed_by_a_fresh_one(by: Transport) {
    let server = Server::with_tokens();
    let (fetch, asked) = in_turn(vec![ada(&json!({"*": ["*"]}), 2), ada(&json!({"*": ["*"]}), 3_600)]);
    // It is told when the first one ends, if not sooner.
    let client = server.client().transports([by]).token_fn(fetch).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    let fresh = ada(&json!({"*": ["*"]}), 3_600);
    let writer = server.client().token(&fresh).connect().unwrap().join::<Raw>("general").await.unwrap();
    let mut sent = 0;
    while asked.lock().unwrap().len() < 2 {
        soon(writer.send(&say("text", json!({"n": sent})))).await.unwrap();
        sent += 1;
        assert_eq!(numbers(&mut room, 1).await, [sent - 1], "nothing is missed on the way");
    }
    soon(writer.send(&say("text", json!({"n": sent})))).await.unwrap();
    assert_eq!(numbers(&mut room, 1).await, [sent]);
    let why = if by == Transport::Poll { Why::Expired } else { Why::Expiring };
    assert_eq!(*asked.lock().unwrap(), [Why::Connect, why]);
}

async fn a_refused_token_is_followed_by_a_fresh_one(by: Transport) {
    let server = Server::with_tokens();
    let (fetch, asked) = in_turn(vec!["nonsense".into(), ada(&json!({"*": ["*"]}), 3_600)]);
    let client = server.client().transports([by]).token_fn(fetch).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    assert_eq!(*asked.lock().unwrap(), [Why::Connect, Why::Expired]);

    let (fetch, asked) = in_turn(vec!["nonsense".into()]);
    let client = server.client().transports([by]).token_fn(fetch).connect().unwrap();
    let ended = soon(client.ended()).await;
    assert_eq!((ended.code, asked.lock().unwrap().len()), (Some(1008), 2));
    assert!(ended.reason.contains("unauthorized: "), "{}", ended.reason);
}

async fn a_client_ends_with_its_only_token(by: Transport) {
    let server = Server::with_tokens();
    for (token, word) in [
        (ada(&json!({"*": ["*"]}), 0), "token_expired: "),
        (token(&json!({"sub": ""})), "unauthorized: "),
        ("rk_nonsense".into(), "unauthorized: "),
    ] {
        let client = server.client().transports([by]).token(&token).connect().unwrap();
        let ended = soon(client.ended()).await;
        assert_eq!(ended.code, Some(1008));
        assert!(ended.reason.contains(word), "{}", ended.reason);
        assert!(!ended.reason.contains(&token), "the token is shown");
    }
}

async fn a_token_function_that_fails_is_asked_again(by: Transport) {
    let server = Server::with_tokens();
    let well = Arc::new(AtomicBool::new(false));
    let (back_end, good) = (well.clone(), ada(&json!({"*": ["*"]}), 3_600));
    let fetch = move |_| {
        let well = back_end.load(Ordering::SeqCst);
        ready(if well { Ok(Some(good.clone())) } else { Err("503 from the back end") })
    };
    let client = server.client().transports([by]).token_fn(fetch).connect().unwrap();
    let waiting = |status: &Status| matches!(status, Status::Waiting { .. });
    let Status::Waiting { cause, .. } = until(&client, waiting).await else { panic!() };
    assert_eq!(cause.to_string(), "no token: 503 from the back end");
    well.store(true, Ordering::SeqCst);
    until_connected(&client).await;
}

async fn whose_token_function_gives_none_is_a_guest(by: Transport) {
    let server = Server::open();
    let fetch = |_| ready(Ok::<_, Infallible>(None));
    let client = server.client().transports([by]).token_fn(fetch).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    soon(room.send(&say("text", json!({})))).await.unwrap();
    let author = message(&mut room).await.author.unwrap();
    assert!(author.starts_with("guest_"), "{author}");
}

#[tokio::test]
async fn a_session_that_is_taken_over_stays_away() {
    let server = Server::open();
    let first = server.client().connect().unwrap();
    let mut room = first.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    let second = server.client().session(first.session().clone()).connect().unwrap();
    let ended = soon(first.ended()).await;
    assert_eq!(ended.code, Some(4009));
    let left = |event: Event<Raw>| match event {
        Event::Left { reason } => Some(reason),
        _ => None,
    };
    assert!(next(&mut room, left).await.contains("4009"));
    assert!(matches!(soon(room.send(&say("text", json!({})))).await, Err(Error::Ended(_))));
    until_connected(&second).await;
    assert_eq!(server.hub.counters().taken_over_total.get(), 1, "the first did not come back");
}

async fn a_user_who_is_thrown_out_stays_away(by: Transport) {
    let server = Server::open();
    let client = server.client().transports([by]).user("ada").connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    assert_eq!(server.hub.disconnect_user("ada"), 1);
    let ended = soon(client.ended()).await;
    assert_eq!(ended.code, Some(1008));
    assert!(ended.reason.contains("kicked: "), "{}", ended.reason);
}
