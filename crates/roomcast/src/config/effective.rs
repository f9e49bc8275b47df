//! The effective configuration as a list: every key, its value and which layer it came from, for the `config`
//! command. Secrets stay hidden.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{
    layers::Layers,
    problem::{Document, Origin},
    reader::join,
    setting::{Key, Shape},
};

/// One key and what holds for it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its path, such as `rooms[0].history.bytes`.
    pub(crate) key: String,
    /// Its value; none if it is not set and has no default.
    value: Option<Value>,
    /// Where the value came from.
    pub(crate) origin: Origin,
}

impl Entry {
    /// The value as the file would write it.
    pub(crate) fn text(&self) -> String {
        self.value.as_ref().map_or_else(|| "(not set)".into(), Value::to_string)
    }

    /// For programs.
    pub(crate) fn to_json(&self, document: Option<&Document>) -> serde_json::Value {
        serde_json::json!({ "key": self.key, "value": self.value, "source": self.origin.describe(document) })
    }
}

/// All keys in the order of their tables; a list of tables gives the keys of each of its elements.
pub(super) fn entries(keys: &[Key], layers: &Layers) -> Vec<Entry> {
    let mut list = Listing { origins: &layers.origins, entries: Vec::new() };
    list.table("", keys, Some(&layers.values));
    list.entries
}

struct Listing<'a> {
    origins: &'a BTreeMap<String, Origin>,
    entries: Vec<Entry>,
}

impl Listing<'_> {
    fn table(&mut self, path: &str, keys: &[Key], values: Option<&Table>) {
        for key in keys {
            let value = values.and_then(|values| values.get(key.name));
            self.key(&join(path, key.name), key, value);
        }
    }

    fn key(&mut self, path: &str, key: &Key, value: Option<&Value>) {
        match (&key.shape, value, key.shape.keys()) {
            (Shape::List(_), Some(Value::Array(items)), Some(keys)) => {
                for (index, item) in items.iter().enumerate() {
                    self.table(&format!("{path}[{index}]"), keys, item.as_table());
                }
            }
            (Shape::Table(keys), ..) => self.table(path, keys, value.and_then(Value::as_table)),
            (Shape::Secret, Some(_), _) => self.push(path, Some("…".into())),
            _ => self.push(path, value.or(key.default.as_ref()).cloned()),
        }
    }

    fn push(&mut self, path: &str, value: Option<Value>) {
        let origin = self.origins.get(path).cloned().unwrap_or(Origin::Default);
        self.entries.push(Entry { key: path.into(), value, origin });
    }
}
