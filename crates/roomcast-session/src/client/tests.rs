//! The whole machine, against a server that says what each case needs.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use roomcast_protocol::{MessageId, RoomName};
use serde_json::{Value, json, value::to_raw_value};

use super::*;

/// What an application sees of a room.
#[derive(Clone, Debug, Default)]
struct Shelf(Rc<RefCell<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    events: VecDeque<String>,
    overflown: bool,
    abandoned: bool,
}

/// Events that a [`Shelf`] holds.
const CAPACITY: usize = 4;

impl Inbox for Shelf {
    fn fill(&self) -> Fill {
        let contents = self.0.borrow();
        match contents.events.len() {
            _ if contents.abandoned => Fill::Abandoned,
            0 => Fill::Empty,
            n if n + 2 <= CAPACITY => Fill::Some,
            _ => Fill::Full,
        }
    }

    fn put(&mut self, event: Event) {
        assert_ne!(self.fill(), Fill::Full, "put into a full inbox");
        self.0.borrow_mut().events.push_back(brief(&event));
    }

    fn overflow(&mut self) {
        self.0.borrow_mut().overflown = true;
    }

    fn end(self, event: Event) {
        self.0.borrow_mut().events.push_back(brief(&event));
    }
}

fn brief(event: &Event) -> String {
    match event {
        Event::Joined { position, recovered } => format!("joined {position} {recovered}"),
        Event::Message(message) => format!("message {}", message.seq.unwrap_or_default()),
        Event::Presence(presence) => format!("presence {}", presence.count),
        Event::Typing(typing) => format!("typing {}", typing.author),
        Event::Gap { reason, position } => format!("gap {reason} {position}"),
        Event::Left { reason } => format!("left: {reason}"),
        Event::Denied(refused) => format!("denied: {}", refused.code),
    }
}

/// A client, its clock and its one room.
struct Bench {
    client: Client<Shelf, &'static str>,
    now_ms: u64,
    inbox: Shelf,
}

impl Bench {
    fn new(token: Token) -> Self {
        let settings = Settings { token, requests_max: 4, ..Settings::default() };
        Self { client: Client::new(settings), now_ms: 1_000, inbox: Shelf::default() }
    }

    /// Connected, and a reader of the room `r` from `e.5` on.
    fn joined() -> Self {
        let mut bench = Self::new(Token::None);
        bench.join();
        bench.connect();
        bench
    }

    fn join(&mut self) {
        self.client.join(room(), Start::default(), self.inbox.clone()).unwrap();
    }

    /// Connects; the room, if there is one, is joined at `e.5`. Answers what was sent before that.
    fn connect(&mut self) -> Vec<String> {
        self.outputs();
        self.say(&json!({"type":"system","data":{"event":"welcome","user":"ada","ping_interval":20}}));
        let sent = self.outputs();
        if let Some(join) = sent.iter().find(|output| output.contains("\"join\"")) {
            self.ack(join, &json!({"epoch":"e","from":5,"recovered":false}));
        }
        sent
    }

    fn say(&mut self, message: &Value) {
        self.client.message(self.now_ms, &message.to_string());
    }

    /// Answers what was sent.
    fn ack(&mut self, request: &str, data: &Value) {
        let request: Value = serde_json::from_str(request.trim_start_matches("send ")).unwrap();
        self.say(&json!({"type":"ack","id":request["id"],"room":"r","data":data}));
    }

    fn error(&mut self, id: &str, code: &str, retryable: bool) {
        let data = json!({"code":code,"message":"no","retryable":retryable,"retry_after":1.0});
        self.say(&json!({"type":"error","id":id,"room":"r","data":data}));
    }

    fn message(&mut self, seq: u64) {
        self.say(&json!({"type":"text","room":"r","seq":seq,"data":{"author":"bob"},"timestamp":1.5}));
    }

    fn publish(&mut self, id: &'static str) {
        let publication = Publication {
            id: MessageId::new(id).unwrap(),
            kind: "text".into(),
            data: to_raw_value(&json!({})).unwrap(),
        };
        self.client.publish(&room(), &publication, id);
    }

    fn lose(&mut self, loss: Loss) {
        self.client.lost(self.now_ms, loss, u32::MAX);
    }

    /// What the driver is asked to do, after the machine has looked at the clock.
    fn outputs(&mut self) -> Vec<String> {
        self.client.tick(self.now_ms);
        std::iter::from_fn(|| self.client.poll_output()).map(|output| shown(&output)).collect()
    }

    /// The ids of what is sent.
    fn sent(&mut self) -> Vec<String> {
        let id = |output: String| {
            let message: Value = serde_json::from_str(output.strip_prefix("send ")?).ok()?;
            Some(message["id"].as_str()?.to_owned())
        };
        self.outputs().into_iter().filter_map(id).collect()
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    fn events(&self) -> Vec<String> {
        self.inbox.0.borrow_mut().events.drain(..).collect()
    }
}

fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

fn shown(output: &Output<&'static str>) -> String {
    match output {
        Output::FetchToken(why) => format!("fetch a token: {why:?}"),
        Output::Connect { attempt, token, transport: Transport::WebSocket } => {
            format!("connect {attempt} {}", token.as_deref().unwrap_or("-"))
        }
        Output::Connect { attempt, transport, .. } => format!("connect {attempt} by {transport:?}"),
        Output::Send(text) => format!("send {text}"),
        Output::Ping => "ping".into(),
        Output::Close => "close".into(),
        Output::HangUp(cause) => format!("hang up: {cause}"),
        Output::Answer(id, Ok(_)) => format!("{id}: done"),
        Output::Answer(id, Err(error)) => format!("{id}: {error}"),
        Output::Tell(Status::Connecting { attempt }) => format!("connecting {attempt}"),
        Output::Tell(Status::Connected { user, .. }) => {
            format!("connected as {}", user.as_deref().unwrap_or("somebody"))
        }
        Output::Tell(Status::Waiting { retry_in, .. }) => format!("waiting {retry_in:?}"),
        Output::Tell(Status::Ended(ended)) => format!("ended {:?}", ended.code),
    }
}

fn broken() -> Loss {
    Loss::Broken("cut".into())
}

#[test]
fn comes_back_after_a_growing_wait_that_welcome_resets() {
    let mut bench = Bench::new(Token::None);
    assert_eq!(bench.outputs(), ["connecting 1", "connect 1 -"]);
    for (attempt, seconds) in [(2, 2), (3, 4), (4, 8)] {
        bench.lose(broken());
        assert_eq!(bench.outputs(), [format!("waiting {seconds}s")]);
        bench.wait(seconds * 1000);
        assert_eq!(bench.outputs(), [format!("connecting {attempt}"), format!("connect {attempt} -")]);
    }
    bench.connect();
    bench.lose(broken());
    assert_eq!(bench.outputs(), ["waiting 2s"]);
}

#[test]
fn comes_back_when_the_server_said() {
    let mut bench = Bench::joined();
    bench.say(&json!({"type":"system","data":{"event":"draining","reconnect_in":0.7}}));
    bench.wait(200);
    bench.lose(Loss::Closed(1012, "restart: bye".into()));
    assert_eq!(bench.outputs(), ["waiting 700ms"], "after the close, not after it was told");
    bench.wait(700);
    bench.outputs();
    bench.lose(broken());
    assert_eq!(bench.outputs(), ["waiting 2s"], "once, and it counts for no try");
}

#[test]
fn a_try_that_takes_too_long_is_given_up() {
    let mut bench = Bench::new(Token::None);
    bench.outputs();
    bench.wait(10_000);
    assert_eq!(bench.outputs(), ["hang up: the server did not answer in time"]);
    bench.lose(broken());
    assert_eq!(bench.outputs(), ["waiting 2s"]);
}

#[test]
fn a_silent_server_is_pinged_then_given_up() {
    let mut bench = Bench::joined();
    bench.wait(20_000);
    assert_eq!(bench.outputs(), ["ping"]);
    bench.client.heard(bench.now_ms);
    bench.wait(20_000);
    assert_eq!(bench.outputs(), ["ping"]);
    bench.wait(8_000);
    assert_eq!(bench.outputs(), ["hang up: the server answered no ping"]);
}

#[test]
fn a_server_that_names_no_interval_is_not_pinged_without_end() {
    let mut bench = Bench::new(Token::None);
    bench.outputs();
    bench.say(&json!({"type":"system","data":{"event":"welcome","ping_interval":0}}));
    for _ in 0..3 {
        assert!(!bench.outputs().contains(&"ping".to_owned()));
        bench.wait(1_000);
        assert_eq!(bench.outputs(), ["ping"]);
        bench.client.heard(bench.now_ms);
    }
}

#[test]
fn a_close_that_is_for_good_ends_everything() {
    let mut bench = Bench::joined();
    bench.publish("m");
    bench.outputs();
    bench.lose(Loss::Closed(4009, "taken_over: elsewhere".into()));
    let why = "the server closed the connection with 4009 (taken_over: elsewhere)";
    assert_eq!(bench.outputs(), [format!("m: the client has ended: {why}"), "ended Some(4009)".into()]);
    assert_eq!(bench.events(), ["joined e.5 false".into(), format!("left: {why}")]);
    assert!(bench.client.join(room(), Start::default(), Shelf::default()).is_err());
}

#[test]
fn gives_up_after_so_many_waits_in_a_row() {
    let mut bench = Bench::new(Token::None);
    bench.client = Client::new(Settings { retries_max: Some(1), ..Settings::default() });
    for _ in 0..3 {
        bench.connect();
        bench.lose(broken());
        assert_eq!(bench.outputs(), ["waiting 2s"], "each welcome begins anew");
        bench.wait(2_000);
    }
    bench.outputs();
    bench.lose(broken());
    assert_eq!(bench.outputs(), ["ended None"]);
}

#[test]
fn what_doesnt_get_through_is_followed_at_once_by_what_may() {
    let mut bench = Bench::new(Token::None);
    let transports = vec![Transport::WebSocket, Transport::Events, Transport::Poll];
    bench.client = Client::new(Settings { transports, ..Settings::default() });
    assert_eq!(bench.outputs(), ["connecting 1", "connect 1 -"]);
    bench.wait(10_000);
    assert_eq!(bench.outputs(), ["hang up: the server did not answer in time"]);
    bench.lose(Loss::Broken("the server did not answer in time".into()));
    assert_eq!(bench.outputs(), ["connecting 2", "connect 2 by Events"]);
    bench.lose(broken());
    assert_eq!(bench.outputs(), ["connecting 3", "connect 3 by Poll"]);
    bench.lose(broken());
    assert_eq!(bench.outputs(), ["waiting 2s"]);
    bench.wait(2_000);
    assert_eq!(bench.outputs(), ["connecting 4", "connect 4 -"]);
    bench.lose(broken());
    bench.connect();
    for attempt in [6, 7] {
        bench.lose(broken());
        bench.wait(30_000);
        let tried = format!("connect {attempt} by Events");
        assert_eq!(bench.outputs().last(), Some(&tried), "what has worked goes first");
    }
    bench.lose(Loss::Closed(1012, String::new()));
    bench.wait(30_000);
    assert_eq!(bench.outputs().last().unwrap(), "connect 8 by Events", "a close says nothing of the way");
}

#[test]
fn a_token_is_fetched_before_each_try_and_when_it_expires() {
    let mut bench = Bench::new(Token::Fetched);
    assert_eq!(bench.outputs(), ["connecting 1", "fetch a token: Connect"]);
    bench.client.fetched(bench.now_ms, Ok(Some("one".into())), 0);
    assert_eq!(bench.outputs(), ["connect 1 one"]);
    bench.connect();
    bench.say(&json!({"type":"system","data":{"event":"expiring","expires_in":60}}));
    assert_eq!(bench.outputs(), ["fetch a token: Expiring"]);
    bench.client.fetched(bench.now_ms, Ok(Some("two".into())), 0);
    assert!(bench.outputs()[0].contains(r#""type":"auth""#));
    bench.lose(Loss::Closed(1008, "token_expired: fetch another".into()));
    bench.wait(2_000);
    assert_eq!(bench.outputs(), ["waiting 2s", "connecting 2", "fetch a token: Expired"]);
    bench.client.fetched(bench.now_ms, Err("503".into()), u32::MAX);
    assert_eq!(bench.outputs(), ["waiting 4s"]);
}

#[test]
fn a_refused_token_is_followed_by_one_fresh_one() {
    let refused = || Loss::Closed(1008, "unauthorized: no".into());
    let mut bench = Bench::new(Token::Fetched);
    for expected in ["waiting 2s", "ended Some(1008)"] {
        bench.outputs();
        bench.client.fetched(bench.now_ms, Ok(Some("t".into())), 0);
        bench.outputs();
        bench.lose(refused());
        assert_eq!(bench.outputs(), [expected]);
        bench.wait(2_000);
    }
    let mut bench = Bench::new(Token::Fixed("t".into()));
    assert_eq!(bench.outputs(), ["connecting 1", "connect 1 t"]);
    bench.lose(refused());
    assert_eq!(bench.outputs(), ["ended Some(1008)"]);
}

#[test]
fn a_room_is_joined_again_where_it_was() {
    let mut bench = Bench::joined();
    bench.message(6);
    assert_eq!(bench.events(), ["joined e.5 false", "message 6"]);
    bench.lose(broken());
    bench.wait(2_000);
    bench.outputs();
    bench.say(&json!({"type":"system","data":{"event":"welcome","user":"ada","ping_interval":20}}));
    let join = bench.outputs().pop().unwrap();
    assert!(join.contains(r#""since":"e.6""#), "{join}");
    bench.ack(&join, &json!({"epoch":"e","from":6,"recovered":true}));
    bench.message(6);
    bench.message(7);
    assert_eq!(bench.events(), ["joined e.6 true", "message 7"]);
}

#[test]
fn a_reset_is_told_before_the_place_moves() {
    let mut bench = Bench::joined();
    bench.lose(broken());
    bench.wait(2_000);
    bench.outputs();
    bench.say(&json!({"type":"system","data":{"event":"welcome","user":"ada","ping_interval":20}}));
    let join = bench.outputs().pop().unwrap();
    bench.ack(&join, &json!({"epoch":"f","from":9,"recovered":false,"reset":"epoch"}));
    assert_eq!(bench.events(), ["joined e.5 false"]);
    bench.say(
        &json!({"type":"system","room":"r","data":{"event":"reset","reason":"epoch","epoch":"f","seq":9}}),
    );
    bench.message(10);
    assert_eq!(bench.events(), ["gap epoch f.9", "joined f.9 false", "message 10"]);
}

#[test]
fn a_reader_that_lags_goes_on_from_its_place() {
    let mut bench = Bench::joined();
    (6..20).for_each(|seq| bench.message(seq));
    assert!(bench.inbox.0.borrow().overflown);
    assert_eq!(bench.outputs(), Vec::<String>::new(), "nothing is asked before the inbox is empty");
    assert_eq!(bench.events(), ["joined e.5 false", "message 6", "message 7"]);
    let join = bench.outputs().pop().unwrap();
    assert!(join.contains(r#""since":"e.7""#), "{join}");
}

#[test]
fn a_hole_is_asked_for_once_and_then_told() {
    let mut bench = Bench::joined();
    bench.message(8);
    let join = bench.outputs().pop().unwrap();
    assert!(join.contains(r#""since":"e.5""#), "{join}");
    bench.message(9);
    bench.ack(&join, &json!({"epoch":"e","from":5,"recovered":true}));
    assert_eq!(bench.events(), ["joined e.5 false", "joined e.5 true"]);
    bench.message(8);
    assert_eq!(bench.events(), ["gap hole e.7", "message 8"]);
}

#[test]
fn messages_wait_for_a_connection_and_go_again_under_their_ids() {
    let mut bench = Bench::new(Token::None);
    bench.join();
    bench.publish("a");
    bench.publish("b");
    bench.connect();
    assert_eq!(bench.sent(), ["a", "b"]);
    bench.say(&json!({"type":"ack","id":"a","room":"r","data":{"status":"delivered"}}));
    bench.lose(broken());
    bench.publish("c");
    assert_eq!(bench.outputs(), ["a: done", "waiting 2s"]);
    bench.wait(2_000);
    bench.connect();
    assert_eq!(bench.sent(), ["b", "c"]);
}

#[test]
fn what_was_sent_before_a_long_sleep_is_not_sent_again() {
    for (slept_ms, expected) in [(600_000, None), (60_000, Some("a"))] {
        let mut bench = Bench::joined();
        bench.publish("a");
        assert_eq!(bench.sent(), ["a"]);
        bench.client.slept(slept_ms);
        bench.publish("b");
        bench.lose(broken());
        bench.wait(2_000);
        bench.connect();
        let outputs = bench.outputs();
        let sent = |id: &str| outputs.iter().any(|output| output.contains(&format!(r#""id":"{id}""#)));
        assert_eq!((sent("a"), sent("b")), (expected.is_some(), true), "{outputs:?}");
        assert_eq!(outputs.contains(&format!("a: {}", Error::Unanswered)), expected.is_none());
    }
}

#[test]
fn a_refusal_for_now_holds_all_that_follows() {
    let mut bench = Bench::joined();
    bench.publish("a");
    bench.publish("b");
    assert_eq!(bench.sent(), ["a", "b"]);
    bench.error("a", "rate_limited", true);
    bench.error("b", "rate_limited", true);
    bench.publish("c");
    bench.wait(999);
    assert!(bench.sent().is_empty());
    bench.wait(1);
    assert_eq!(bench.sent(), ["a", "b", "c"]);
    bench.error("a", "conflict", false);
    assert_eq!(bench.outputs(), ["a: conflict: no"]);
}

#[test]
fn what_would_end_the_connection_or_overflow_is_not_sent() {
    let mut bench = Bench::joined();
    let data = to_raw_value(&json!({"x": "y".repeat(64 * 1024)})).unwrap();
    let large = Publication { id: MessageId::new("l").unwrap(), kind: "text".into(), data };
    bench.client.publish(&room(), &large, "l");
    assert!(bench.outputs()[0].starts_with("l: the message has 65"));
    for id in ["1", "2", "3", "4"] {
        bench.publish(id);
    }
    bench.publish("5");
    let full = format!("5: {}", Error::QueueFull { max: 4 });
    assert!(bench.outputs().contains(&full));
}

#[test]
fn what_is_for_those_there_now_never_waits() {
    let mut bench = Bench::new(Token::None);
    bench.join();
    bench.client.ask(bench.now_ms, &room(), &Query::Typing(true), "t");
    assert!(bench.outputs().contains(&format!("t: {}", Error::Offline)));
    bench.connect();
    bench.client.ask(bench.now_ms, &room(), &Query::Typing(true), "t");
    bench.client.ask(bench.now_ms, &room(), &Query::History(Range::Newest, None), "h");
    bench.lose(broken());
    let answered: Vec<_> = bench.outputs().into_iter().filter(|output| output.contains(": ")).collect();
    assert_eq!(answered, [format!("t: {}", Error::Unanswered)]);
    bench.wait(2_000);
    let sent = bench.connect();
    assert!(sent.iter().any(|output| output.contains(r#""type":"history""#)), "asked for again: {sent:?}");
}

#[test]
fn that_somebody_types_is_said_once_a_second() {
    let mut bench = Bench::joined();
    let says = |bench: &mut Bench, on: bool| {
        bench.client.ask(bench.now_ms, &room(), &Query::Typing(on), "t");
        let outputs = bench.outputs();
        let sent = outputs.iter().find(|output| output.contains("typing")).cloned();
        if let Some(typing) = &sent {
            bench.ack(typing, &json!({"status":"ok"}));
        }
        assert!([outputs, bench.outputs()].concat().contains(&"t: done".to_owned()));
        sent.is_some()
    };
    assert!(!says(&mut bench, false), "nobody has typed");
    assert!(says(&mut bench, true));
    bench.wait(999);
    assert!(!says(&mut bench, true));
    bench.wait(1);
    assert!(says(&mut bench, true));
    assert!(says(&mut bench, false), "an end is told at once");
    assert!(says(&mut bench, true));
    bench.lose(broken());
    bench.wait(2_000);
    bench.connect();
    assert!(!says(&mut bench, false), "the server has forgotten it with the connection");
}

#[test]
fn leaving_gives_up_what_is_not_sent() {
    let mut bench = Bench::joined();
    bench.publish("a");
    bench.outputs();
    bench.error("a", "unavailable", true);
    bench.client.leave(&room(), Some("bye"));
    let outputs = bench.outputs();
    assert!(outputs[0].contains(r#""type":"leave""#), "{outputs:?}");
    assert_eq!(outputs[1], format!("a: {}", Error::Left));
    bench.message(6);
    bench.ack(&outputs[0], &json!({"status":"left"}));
    assert_eq!(bench.outputs(), ["bye: done"]);
    assert_eq!(bench.events(), ["joined e.5 false", "left: as asked"]);
}

#[test]
fn a_room_that_nobody_reads_any_more_is_left() {
    let mut bench = Bench::joined();
    bench.inbox.0.borrow_mut().abandoned = true;
    assert!(bench.outputs()[0].contains(r#""type":"leave""#));
    assert_eq!(bench.outputs(), Vec::<String>::new(), "once");
}

#[test]
fn a_room_that_is_being_left_can_be_joined_again() {
    let mut bench = Bench::joined();
    bench.publish("a");
    bench.outputs();
    bench.client.leave(&room(), Some("bye"));
    let leave = bench.outputs().remove(0);
    let before = std::mem::take(&mut bench.inbox);
    bench.join();
    let outputs = bench.outputs();
    assert_eq!(outputs[0], "bye: done", "{outputs:?}");
    assert!(outputs[1].contains(r#""type":"join""#), "{outputs:?}");
    bench.message(6);
    bench.ack(&leave, &json!({"status":"left"}));
    bench.say(&json!({"type":"ack","id":"a","room":"r","data":{"status":"delivered"}}));
    assert_eq!(bench.outputs(), ["a: done"], "what was under way is still acked");
    bench.ack(&outputs[1], &json!({"epoch":"e","from":6,"recovered":false}));
    assert_eq!(bench.events(), ["joined e.6 false"]);
    bench.inbox = before;
    assert_eq!(bench.events(), ["joined e.5 false", "left: as asked"]);
}

#[test]
fn a_room_that_was_let_go_can_be_joined_again_before_anybody_looked() {
    let mut bench = Bench::joined();
    std::mem::take(&mut bench.inbox).0.borrow_mut().abandoned = true;
    bench.join();
    let sent = bench.outputs();
    assert!(sent[0].contains(r#""type":"leave""#) && sent[1].contains(r#""type":"join""#), "{sent:?}");
    let again = bench.client.join(room(), Start::default(), Shelf::default());
    assert_eq!(again, Err(Error::AlreadyJoined), "through two handles it can't be");
}

#[test]
fn a_denied_room_ends_alone_and_a_busy_one_is_tried_again() {
    let mut bench = Bench::new(Token::None);
    bench.join();
    bench.outputs();
    bench.say(&json!({"type":"system","data":{"event":"welcome","user":"ada","ping_interval":20}}));
    let join = bench.sent().pop().unwrap();
    bench.error(&join, "rate_limited", true);
    assert!(bench.sent().is_empty());
    bench.wait(1_000);
    let join = bench.sent().pop().unwrap();
    bench.error(&join, "forbidden", false);
    assert_eq!(bench.events(), ["denied: forbidden"]);
    assert_eq!(bench.outputs(), Vec::<String>::new());
    bench.join();
    assert_eq!(bench.sent().len(), 1, "the connection goes on");
}

#[test]
fn a_polite_end_still_hears_answers() {
    let mut bench = Bench::joined();
    bench.publish("a");
    bench.outputs();
    bench.client.close(bench.now_ms);
    assert_eq!(bench.outputs(), ["close"]);
    bench.say(&json!({"type":"ack","id":"a","room":"r","data":{"status":"delivered"}}));
    bench.lose(Loss::Closed(1000, String::new()));
    assert_eq!(bench.outputs(), ["a: done", "ended None"]);
    let mut bench = Bench::joined();
    bench.client.close(bench.now_ms);
    bench.wait(Settings::default().close_timeout.as_millis() as u64);
    assert_eq!(bench.outputs(), ["close", "hang up: the server did not answer the close in time"]);
}

#[test]
fn nonsense_from_the_server_ends_the_connection_and_not_the_client() {
    for nonsense in ["{", "[]", r#"{"type":"system","data":{"event":"welcome"}}"#, r#"{"type":7,"data":{}}"#]
    {
        let mut bench = Bench::joined();
        bench.client.message(bench.now_ms, nonsense);
        let outputs = bench.outputs();
        assert!(outputs[0].starts_with("hang up: the server sent what can't be read"), "{outputs:?}");
        bench.lose(broken());
        bench.lose(broken());
        assert_eq!(bench.outputs(), ["waiting 2s"], "once");
    }
    let mut bench = Bench::joined();
    bench.say(&json!({"type":"system","data":{"event":"new"}}));
    bench.say(&json!({"type":"novelty","data":{}}));
    bench.say(&json!({"type":"presence","room":"r","data":{"event":"new","v":1,"count":1}}));
    assert_eq!(bench.outputs(), Vec::<String>::new(), "what a later version adds is passed over");
}

#[test]
fn a_sign_from_which_something_is_missing_is_passed_over() {
    for sign in [
        json!({"type":"typing","room":"r"}),
        json!({"type":"typing","room":"r","data":{"typing":true}}),
        json!({"type":"typing","room":"r","data":{"author":"bob"}}),
        json!({"type":"presence","room":"r","data":{"event":"count","count":1}}),
        json!({"type":"presence","room":"r","data":{"event":"join","v":1,"count":1}}),
        json!({"type":"presence","room":"r","data":{"event":"sync","v":1,"count":1,"members":[{}]}}),
        json!({"type":"presence","room":"r","data":[]}),
    ] {
        let mut bench = Bench::joined();
        bench.say(&sign);
        bench.message(6);
        assert_eq!(bench.outputs(), Vec::<String>::new(), "{sign}");
        assert_eq!(bench.events(), ["joined e.5 false", "message 6"], "{sign}");
    }
    let mut bench = Bench::joined();
    bench.say(&json!({"type":"system","room":"r","data":{"event":"kicked"}}));
    assert_eq!(bench.events(), ["joined e.5 false", "left: "], "though nobody says why");
}

#[test]
fn what_a_server_says_of_time_overflows_no_clock() {
    // In milliseconds more than 64 bits hold, or with the time now.
    for ages in [18_446_744_073_709_548.0, 1e19] {
        let mut bench = Bench::new(Token::None);
        bench.now_ms = 10_000;
        bench.join();
        bench.outputs();
        bench.say(&json!({"type":"system","data":{"event":"welcome","ping_interval":ages}}));
        let join = bench.sent().pop().unwrap();
        let data = json!({"code":"unavailable","message":"no","retryable":true,"retry_after":ages});
        bench.say(&json!({"type":"error","id":join,"room":"r","data":data}));
        bench.wait(1_000_000);
        assert_eq!(bench.outputs(), Vec::<String>::new(), "it waits");
        bench.say(&json!({"type":"system","data":{"event":"draining","reconnect_in":ages}}));
        bench.lose(Loss::Closed(1012, String::new()));
        bench.wait(1_000_000);
        assert!(!bench.outputs().iter().any(|output| output.starts_with("connect")), "it waits");
    }
}
