//! What the application of a trace is told by its rooms, as the traces have it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use roomcast_session::client::{Event, Fill, Inbox};
use serde_json::{Value, json};

/// All that was told in a step.
pub(crate) type Told = Rc<RefCell<Vec<Value>>>;

/// The application's end of one room. It takes everything at once.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) room: String,
    pub(crate) told: Told,
    /// The room is joined on this connection, as far as the application knows.
    pub(crate) is_live: Rc<Cell<bool>>,
    /// The application ended it itself.
    pub(crate) is_left: Rc<Cell<bool>>,
}

impl Shelf {
    pub(crate) fn new(room: &str, told: &Told) -> Self {
        Self { room: room.into(), told: told.clone(), is_live: Rc::default(), is_left: Rc::default() }
    }

    fn tell(&self, what: &str, mut details: Value) {
        details["room"] = self.room.clone().into();
        self.told.borrow_mut().push(json!({what: details}));
    }
}

impl Inbox for Shelf {
    fn fill(&self) -> Fill {
        Fill::Empty
    }

    fn put(&mut self, event: Event) {
        match event {
            // Joined again on the same connection, to fill a hole: it was live all the time.
            Event::Joined { .. } if self.is_live.replace(true) => {}
            Event::Joined { recovered, .. } => self.tell("live", json!({"recovered": recovered})),
            Event::Message(message) => {
                self.tell("message", serde_json::from_str(&message.envelope).expect("a message is JSON"));
            }
            Event::Gap { reason, position } => {
                let (epoch, seq) = (position.epoch.as_str(), position.seq);
                self.tell("gap", json!({"reason": reason, "epoch": epoch, "seq": seq}));
            }
            Event::Presence(_) | Event::Typing(_) => {}
            Event::Left { .. } | Event::Denied(_) => panic!("{}: a last event that isn't", self.room),
        }
    }

    fn overflow(&mut self) {
        panic!("{}: there is place for everything", self.room);
    }

    fn end(self, event: Event) {
        match event {
            _ if self.is_left.get() => {}
            Event::Denied(refused) => self.tell("over", json!({"code": refused.code})),
            _ => self.tell("over", json!({})),
        }
    }
}
