//! A model of a server that keeps its promises makes histories; they are found good, and with one line changed bad.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use roomcast_history::{Ack, Durability, End, Event, History, Join, Position, Pub, Recv, Reset, Rule};

/// What the model does next; the numbers choose among those who can.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize),
    Append(usize),
    Ack(usize),
    Deliver(usize),
    Cut(usize),
    FallBehind(usize),
    NewEpoch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Send),
        4 => (0..3_usize).prop_map(Step::Append),
        3 => (0..3_usize).prop_map(Step::Ack),
        8 => (0..3_usize).prop_map(Step::Deliver),
        1 => (0..3_usize).prop_map(Step::Cut),
        1 => (0..3_usize).prop_map(Step::FallBehind),
    ]
}

/// Three publishers and three readers of one room, and the true log.
#[derive(Default)]
struct Model {
    events: Vec<Event>,
    epoch: usize,
    log: Vec<String>,
    sent: [Vec<String>; 3],
    unacked: [Vec<(String, u64)>; 3],
    at: [u64; 3],
    count: usize,
}

impl Model {
    fn run(steps: &[Step]) -> Vec<Event> {
        let mut model = Self::default();
        for reader in 0..3 {
            model.join(reader, None);
        }
        for step in steps {
            model.carry_out(*step);
        }
        for reader in 0..3 {
            while model.deliver(reader) {}
            let end = End { client: name("r", reader), room: "x".into(), head: model.head() };
            model.events.push(Event::End(end));
        }
        model.events
    }

    fn carry_out(&mut self, step: Step) {
        match step {
            Step::Send(who) => self.send(who),
            Step::Append(who) => self.append(who),
            Step::Ack(who) => self.ack(who),
            Step::Deliver(who) => drop(self.deliver(who)),
            Step::Cut(who) => self.join(who, Some(self.position(self.at[who]))),
            Step::FallBehind(who) => self.reset(who),
            Step::NewEpoch => self.new_epoch(),
        }
    }

    fn position(&self, seq: u64) -> Position {
        Position { epoch: format!("e{}", self.epoch), seq }
    }

    fn head(&self) -> Position {
        self.position(self.log.len() as u64)
    }

    fn send(&mut self, who: usize) {
        self.count += 1;
        let id = format!("m{}", self.count);
        let (client, content) = (name("p", who), Some(format!("content of {id}")));
        self.events.push(Event::Pub(Pub { client, room: "x".into(), id: id.clone(), content }));
        self.sent[who].push(id);
    }

    fn append(&mut self, who: usize) {
        if self.sent[who].is_empty() {
            return;
        }
        let id = self.sent[who].remove(0);
        self.log.push(id.clone());
        self.unacked[who].push((id, self.log.len() as u64));
    }

    fn ack(&mut self, who: usize) {
        if self.unacked[who].is_empty() {
            return;
        }
        let (id, seq) = self.unacked[who].remove(0);
        let (client, at, durability) = (name("p", who), self.position(seq), Durability::Memory);
        self.events.push(Event::Ack(Ack { client, room: "x".into(), id, at, durability }));
    }

    /// Whether there was something to deliver.
    fn deliver(&mut self, who: usize) -> bool {
        let Some(id) = self.log.get(self.at[who] as usize).cloned() else { return false };
        self.at[who] += 1;
        let (client, at, content) =
            (name("r", who), self.position(self.at[who]), Some(format!("content of {id}")));
        self.events.push(Event::Recv(Recv { client, room: "x".into(), id, at, prev: None, content }));
        true
    }

    fn join(&mut self, who: usize, since: Option<Position>) {
        let (client, head, from) = (name("r", who), self.head(), self.at[who]);
        let recovered = since.is_some();
        self.events.push(Event::Join(Join { client, room: "x".into(), head, from, since, recovered }));
    }

    fn reset(&mut self, who: usize) {
        self.at[who] = self.log.len() as u64;
        self.events.push(Event::Reset(Reset { client: name("r", who), room: "x".into(), head: self.head() }));
    }

    /// The process ends: what it held is gone, what wasn't acked is sent again.
    fn new_epoch(&mut self) {
        self.epoch += 1;
        self.log.clear();
        for who in 0..3 {
            let again = self.unacked[who].drain(..).map(|(id, _)| id);
            self.sent[who].splice(0..0, again);
            self.reset(who);
        }
    }
}

fn name(kind: &str, who: usize) -> String {
    format!("{kind}{who}")
}

/// The rules that a history breaks.
fn broken(events: &[Event]) -> Vec<Rule> {
    let mut history = History::default();
    for (index, event) in events.iter().enumerate() {
        // Through its line, as a recorder writes it.
        let line = serde_json::to_string(event).unwrap();
        history.observe(index + 1, &Event::from_line(&line).unwrap());
    }
    history.findings().iter().map(|finding| finding.rule).collect()
}

/// One of the places that fit.
fn chosen(events: &[Event], choice: prop::sample::Index, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..events.len()).filter(|place| fits(*place)).collect();
    (!places.is_empty()).then(|| *choice.get(&places))
}

fn is_recv(event: &Event) -> bool {
    matches!(event, Event::Recv(_))
}

/// Whether the reader that got this message was told to reload right after it: then nobody can tell that it is
/// missing.
fn is_reset_next(events: &[Event], place: usize) -> bool {
    let Event::Recv(Recv { client, .. }) = &events[place] else { return false };
    let next = events[place + 1..].iter().find(|event| match event {
        Event::Join(Join { client: of, .. })
        | Event::Recv(Recv { client: of, .. })
        | Event::Reset(Reset { client: of, .. })
        | Event::End(End { client: of, .. }) => of == client,
        _ => false,
    });
    matches!(next, Some(Event::Reset(_)))
}

fn is_received_ack(events: &[Event], place: usize) -> bool {
    let Event::Ack(ack) = &events[place] else { return false };
    events.iter().any(|event| matches!(event, Event::Recv(recv) if recv.id == ack.id))
}

proptest! {
    #[test]
    fn kept_promises_have_no_finding(
        steps in prop::collection::vec(prop_oneof![40 => step(), 1 => Just(Step::NewEpoch)], 0..400),
    ) {
        prop_assert_eq!(broken(&Model::run(&steps)), vec![]);
    }

    #[test]
    fn a_lost_message_is_found(steps in prop::collection::vec(step(), 20..200), choice: prop::sample::Index) {
        let mut events = Model::run(&steps);
        let missed = |place| is_recv(&events[place]) && !is_reset_next(&events, place);
        if let Some(place) = chosen(&events, choice, missed) {
            events.remove(place);
            let found = broken(&events);
            let told = [Rule::Gap, Rule::Head, Rule::Record];
            prop_assert!(found.iter().any(|rule| told.contains(rule)), "{found:?}");
        }
    }

    #[test]
    fn a_doubled_message_is_found(steps in prop::collection::vec(step(), 20..200), choice: prop::sample::Index) {
        let mut events = Model::run(&steps);
        if let Some(place) = chosen(&events, choice, |place| is_recv(&events[place])) {
            events.insert(place + 1, events[place].clone());
            prop_assert_eq!(broken(&events), vec![Rule::Twice]);
        }
    }

    #[test]
    fn a_changed_message_is_found(steps in prop::collection::vec(step(), 20..200), choice: prop::sample::Index) {
        let mut events = Model::run(&steps);
        if let Some(place) = chosen(&events, choice, |place| is_recv(&events[place])) {
            let Event::Recv(recv) = &mut events[place] else { unreachable!() };
            recv.content = Some("something else".into());
            prop_assert_eq!(broken(&events), vec![Rule::Content]);
        }
    }

    #[test]
    fn an_ack_of_another_place_is_found(
        steps in prop::collection::vec(step(), 20..200), choice: prop::sample::Index, by in 1..50_u64,
    ) {
        let mut events = Model::run(&steps);
        if let Some(place) = chosen(&events, choice, |place| is_received_ack(&events, place)) {
            let Event::Ack(ack) = &mut events[place] else { unreachable!() };
            ack.at.seq += by;
            prop_assert!(!broken(&events).is_empty());
        }
    }

    #[test]
    fn a_new_epoch_that_nobody_was_told_of_is_found(
        before in prop::collection::vec(step(), 20..100), after in prop::collection::vec(step(), 20..100), who in 0..3_usize,
    ) {
        let mut events = Model::run(&[before, vec![Step::NewEpoch], after].concat());
        let untold = |event: &Event| matches!(event, Event::Reset(reset) if reset.client == name("r", who) && reset.head.epoch == "e1");
        events.retain(|event| !untold(event));
        let found = broken(&events);
        prop_assert!(found.iter().any(|rule| [Rule::Epoch, Rule::Head, Rule::Record].contains(rule)), "{found:?}");
    }
}
