//! One room of a history: what was sent, the lives of its log, its readers. Each rule is judged by whoever owns
//! the facts: positions by the log, a reader's way by the reader, what was sent here.

use std::collections::{BTreeMap, HashMap};

use crate::{Ack, End, Event, Position, Pub, Recv, Rule, history::Found, log::Log, reader::Reader};

/// What is known of a room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    sent: HashMap<String, Sent>,
    logs: BTreeMap<String, Log>,
    readers: HashMap<String, Reader>,
}

/// The first sending of a message.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) line: usize,
    client: String,
    content: Option<String>,
}

impl Room {
    pub(crate) fn observe(&mut self, event: &Event, found: &mut Found<'_>) {
        match event {
            Event::Pub(publish) => self.published(publish, found),
            Event::Ack(ack) => self.acked(ack, found),
            Event::Recv(recv) => self.received(recv, found),
            Event::Join(join) => self.reader(&join.client).join(join, found),
            Event::Reset(reset) => self.reader(&reset.client).reset(reset, found.line),
            Event::End(end) => self.ended(end, found),
            Event::Note => {}
        }
    }

    fn reader(&mut self, client: &str) -> &mut Reader {
        self.readers.entry(client.to_owned()).or_default()
    }

    fn log(&mut self, epoch: &str) -> &mut Log {
        self.logs.entry(epoch.to_owned()).or_default()
    }

    fn published(&mut self, publish: &Pub, found: &mut Found<'_>) {
        let Pub { client, id, content, .. } = publish;
        let Some(first) = self.sent.get(id) else {
            let sent = Sent { line: found.line, client: client.clone(), content: content.clone() };
            self.sent.insert(id.clone(), sent);
            return;
        };
        if first.client != *client || first.content != *content {
            let message = format!(
                "{client} sends {id}, which {} sent with {}: an id must name one message of a room",
                first.client,
                if first.content == *content { "the same content" } else { "other content" },
            );
            found.broken(Rule::Record, Some(first.line), message);
        }
    }

    fn acked(&mut self, ack: &Ack, found: &mut Found<'_>) {
        let sent = self.sent.get(&ack.id).filter(|sent| sent.client == ack.client).map(|sent| sent.line);
        let log = self.log(&ack.at.epoch);
        log.names(&ack.id, &ack.at, found);
        let Some(sent) = sent else {
            let message = format!("{} got an ack for {}, which it never sent", ack.client, ack.id);
            return found.broken(Rule::Sent, None, message);
        };
        log.judge_real_time(ack, sent, found);
        log.judge_publisher_order(ack, sent, found);
        log.acked(ack, found.line);
    }

    fn received(&mut self, recv: &Recv, found: &mut Found<'_>) {
        self.log(&recv.at.epoch).names(&recv.id, &recv.at, found);
        self.log(&recv.at.epoch).follows(recv, found);
        self.judge_content(recv, found);
        self.reader(&recv.client).recv(recv, found);
    }

    fn judge_content(&self, recv: &Recv, found: &mut Found<'_>) {
        let Recv { client, id, at, .. } = recv;
        match self.sent.get(id) {
            None => {
                found.broken(Rule::Sent, None, format!("{client} got {id} at {at}, which nobody sent"));
            }
            Some(sent) if recv.content.is_some() && recv.content != sent.content => {
                let (got, said) = (quoted(recv.content.as_ref()), quoted(sent.content.as_ref()));
                let message = format!("{client} got {id} at {at} with {got}, but it was sent with {said}");
                found.broken(Rule::Content, Some(sent.line), message);
            }
            Some(_) => {}
        }
    }

    fn ended(&mut self, end: &End, found: &mut Found<'_>) {
        self.judge_durable(&end.head, found);
        self.readers.entry(end.client.clone()).or_default().end(end, &self.logs, found);
    }

    /// Whoever looks at the head after a crash sees that the durable acks, and their epoch, are still there.
    fn judge_durable(&mut self, head: &Position, found: &mut Found<'_>) {
        for (epoch, log) in &mut self.logs {
            let Some(last) = log.lost_durable((*epoch == head.epoch).then_some(head.seq)) else { continue };
            let at = Position { epoch: epoch.clone(), seq: last.seq };
            let message = format!("{} was acked as durable at {at}, but the head is {head} now", last.id);
            found.broken(Rule::Durable, Some(last.line), message);
        }
    }
}

fn quoted(content: Option<&String>) -> String {
    content.map_or_else(|| "no content".into(), |content| format!("{content:?}"))
}
