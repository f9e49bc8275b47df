//! Lays the layers over one another, file < environment < flags, and remembers for every key which one won.
//! Neither judges what values mean together nor uses them.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    problem::{Document, Origin, Problem},
    reader::{Reader, closest, join},
    setting::{Key, Shape},
};

/// Variables of this prefix are keys of the configuration.
const PREFIX: &str = "ROOMCAST_";

/// Variables of the prefix that other parts of the command read.
const NOT_KEYS: &[&str] = &["ROOMCAST_CONFIG", "ROOMCAST_URL", "ROOMCAST_TOKEN", "ROOMCAST_USER"];

/// The values of all layers together.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// What is set, as one document.
    pub(crate) values: Table,
    /// Where each key that is set was set.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// What was wrong so far.
    pub(crate) problems: Vec<Problem>,
}

/// A value given on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// What the user typed, such as `--listen`.
    pub(crate) name: String,
    /// The key it sets.
    pub(crate) key: String,
    /// The value as typed.
    pub(crate) value: String,
}

impl Layers {
    /// The lowest layer.
    pub(crate) fn file(&mut self, keys: &[Key], document: &Document) {
        let (table, faults) = DeTable::parse_recoverable(&document.text);
        for fault in &faults {
            let message = format!("not valid TOML: {}", fault.message());
            self.problems.push(Problem::error("", Origin::File(fault.span().unwrap_or_default()), message));
        }
        // What a broken file seems to say is not judged: one slip would be told as many.
        if faults.is_empty() {
            let origin = Origin::File;
            let mut reader = Reader::new(&origin);
            self.values = reader.table("", keys, table.get_ref(), table.span());
            self.take(reader);
        }
    }

    /// The layer above: variables such as `ROOMCAST_LIMITS_MESSAGE_BYTES_MAX`.
    pub(crate) fn environment(
        &mut self,
        keys: &[Key],
        variables: impl IntoIterator<Item = (String, String)>,
    ) {
        let names: BTreeMap<String, (String, Shape)> =
            settable(keys, "").into_iter().map(|(path, shape)| (variable(&path), (path, shape))).collect();
        for (name, text) in variables {
            let foreign =
                !name.starts_with(PREFIX) || NOT_KEYS.contains(&name.as_str()) || is_kubernetes(&name);
            match names.get(&name) {
                _ if foreign => {}
                Some((path, shape)) => self.set(path, shape, &text, &Origin::Environment(name)),
                None => self.unknown_variable(name, names.keys()),
            }
        }
    }

    /// The highest layer.
    pub(crate) fn flags(&mut self, keys: &[Key], flags: &[Flag]) {
        let settable: BTreeMap<String, Shape> = settable(keys, "").into_iter().collect();
        for flag in flags {
            let origin = Origin::Flag(flag.name.clone());
            if let Some(shape) = settable.get(&flag.key) {
                self.set(&flag.key, shape, &flag.value, &origin);
                continue;
            }
            let close = closest(&flag.key, settable.keys().map(String::as_str));
            let help = close.map_or("`roomcast config` shows every key".into(), |close| {
                format!("did you mean `{close}`?")
            });
            let message = format!("there is no key `{}`", flag.key);
            self.problems.push(Problem::error(&flag.key, origin, message).help(help));
        }
    }

    fn set(&mut self, path: &str, shape: &Shape, text: &str, origin: &Origin) {
        let at = |_: Range<usize>| origin.clone();
        let mut reader = Reader::new(&at);
        let value = reader.value(path, shape, &parse(shape, text));
        let below =
            |key: &str| key == path || key.strip_prefix(path).is_some_and(|rest| rest.starts_with('['));
        self.origins.retain(|key, _| !below(key));
        self.take(reader);
        if let Some(value) = value {
            insert(&mut self.values, path, value);
        }
    }

    fn take(&mut self, reader: Reader<'_>) {
        self.origins.extend(reader.origins);
        self.problems.extend(reader.problems);
    }

    fn unknown_variable<'n>(&mut self, name: String, known: impl Iterator<Item = &'n String>) {
        let close = closest(&name, known.map(String::as_str)).map(|close| format!("did you mean {close}?"));
        let message = format!("{name} is set but no key of that name exists; it changes nothing");
        self.problems.push(Problem::warning("", Origin::Environment(name), message).help(close));
    }
}

/// The keys that one value can set: all but those inside lists, and no tables.
pub(crate) fn settable(keys: &[Key], path: &str) -> Vec<(String, Shape)> {
    let below = |key: &Key| match &key.shape {
        Shape::Table(keys) => settable(keys, &join(path, key.name)),
        shape => vec![(join(path, key.name), shape.clone())],
    };
    keys.iter().flat_map(below).collect()
}

/// The variable that sets the key `path`.
pub(crate) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}

/// Variables that Kubernetes sets in every pod beside a service named `roomcast`.
fn is_kubernetes(name: &str) -> bool {
    name == "ROOMCAST_PORT" || name.starts_with("ROOMCAST_PORT_") || name.starts_with("ROOMCAST_SERVICE_")
}

/// Text from outside the file as a value: text where text is wanted, a list at its commas, else as TOML.
fn parse<'t>(shape: &Shape, text: &'t str) -> Spanned<DeValue<'t>> {
    let plain = |text: &'t str| Spanned::new(0..0, DeValue::String(text.into()));
    match shape {
        shape if shape.is_text() => plain(text),
        Shape::List(item) if item.is_text() && !text.trim_start().starts_with('[') => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(plain).collect();
            Spanned::new(0..0, DeValue::Array(items))
        }
        _ => DeValue::parse(text.trim()).unwrap_or_else(|_| plain(text)),
    }
}

/// Puts a value at a path of table names, making the tables on the way.
fn insert(table: &mut Table, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.into(), value);
        return;
    };
    let below = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(below) = below {
        insert(below, rest, value);
    }
}
