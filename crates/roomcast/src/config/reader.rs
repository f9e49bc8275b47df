//! Reads one layer, a TOML document or a single value, against the shape it should have: every fault with its
//! place and a guess at what was meant, never only the first. Doesn't know which keys there are.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    problem::{Origin, Problem},
    setting::{Key, Shape},
};

/// Reads values and remembers where each came from.
pub(crate) struct Reader<'a> {
    /// Turns a place in the layer's text into an origin.
    origin: &'a dyn Fn(Range<usize>) -> Origin,
    /// Where each key was set, lists and tables too.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// What was wrong.
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of a layer whose places `origin` names.
    pub(crate) fn new(origin: &'a dyn Fn(Range<usize>) -> Origin) -> Self {
        Self { origin, origins: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reads `value` for the key `path`; `None` if there is nothing usable in it.
    pub(crate) fn value(&mut self, path: &str, shape: &Shape, value: &Spanned<DeValue>) -> Option<Value> {
        self.origins.insert(path.into(), (self.origin)(value.span()));
        match (shape, value.get_ref()) {
            (Shape::Table(keys), DeValue::Table(table)) => {
                Some(Value::Table(self.table(path, keys, table, value.span())))
            }
            (Shape::List(item), DeValue::Array(items)) => Some(self.list(path, item, items)),
            (Shape::List(item), DeValue::String(_)) if item.is_text() => {
                self.leaf(path, item, value).map(|only| Value::Array(vec![only]))
            }
            _ => self.leaf(path, shape, value),
        }
    }

    /// Reads a table: the keys it knows, a problem for each it doesn't and for each that is missing.
    pub(crate) fn table(&mut self, path: &str, keys: &[Key], table: &DeTable, span: Range<usize>) -> Table {
        let mut read = Table::new();
        for (name, value) in table {
            let Some(key) = keys.iter().find(|key| key.name == name.get_ref()) else {
                self.unknown(path, keys, name);
                continue;
            };
            if let Some(value) = self.value(&join(path, key.name), &key.shape, value) {
                read.insert(key.name.into(), value);
            }
        }
        for key in keys.iter().filter(|key| key.required && !table.contains_key(key.name)) {
            let message = format!("`{}` is missing", join(path, key.name));
            let example =
                key.example.as_ref().map(|example| format!("add a line like {} = {example}", key.name));
            self.problems.push(Problem::error(path, (self.origin)(span.clone()), message).help(example));
        }
        read
    }

    fn list(&mut self, path: &str, shape: &Shape, items: &[Spanned<DeValue>]) -> Value {
        let each = |(index, item)| self.value(&format!("{path}[{index}]"), shape, item);
        Value::Array(items.iter().enumerate().filter_map(each).collect())
    }

    fn leaf(&mut self, path: &str, shape: &Shape, value: &Spanned<DeValue>) -> Option<Value> {
        match fit(path, shape, value.get_ref()) {
            Ok(value) => Some(value),
            Err(fault) => {
                let problem = Problem::error(path, (self.origin)(value.span()), fault.message);
                self.problems.push(problem.help(fault.help));
                None
            }
        }
    }

    fn unknown(&mut self, path: &str, keys: &[Key], name: &Spanned<impl AsRef<str>>) {
        let written = name.get_ref().as_ref();
        let place = if path.is_empty() { "at the top of the file".into() } else { format!("in [{path}]") };
        let help = closest(written, keys.iter().map(|key| key.name)).map_or(
            "`roomcast config` shows every key; those of no table stand before the first [table]".into(),
            |close| format!("did you mean `{close}`?"),
        );
        let message = format!("unknown key `{written}` {place}");
        self.problems
            .push(Problem::error(&join(path, written), (self.origin)(name.span()), message).help(help));
    }
}

/// A value that doesn't fit.
struct Fault {
    message: String,
    help: Option<String>,
}

/// The value, if it is what the shape expects.
fn fit(path: &str, shape: &Shape, value: &DeValue) -> Result<Value, Fault> {
    let mismatch = || Fault {
        message: format!("`{path}` must be {}, found {}", shape.expects(), found(shape, value)),
        help: suggestion(shape, value),
    };
    match (shape, value) {
        (Shape::Switch, DeValue::Boolean(on)) => Ok(Value::Boolean(*on)),
        (Shape::Integer(range), DeValue::Integer(_)) => {
            whole(value).filter(|number| range.contains(number)).map(Value::Integer).ok_or_else(mismatch)
        }
        (Shape::Seconds(range), DeValue::Integer(_) | DeValue::Float(_)) => {
            let within = |seconds: &f64| (*range.start() as f64..=*range.end() as f64).contains(seconds);
            let exact = |seconds| whole(value).map_or(Value::Float(seconds), Value::Integer);
            real(value).filter(within).map(exact).ok_or_else(mismatch)
        }
        (Shape::Text { check }, DeValue::String(text)) => match check(text) {
            Ok(()) => Ok(Value::String(text.to_string())),
            Err(fault) => Err(Fault { message: format!("`{path}` is wrong: {fault}"), help: None }),
        },
        (Shape::Secret, DeValue::String(text)) => Ok(Value::String(text.to_string())),
        (Shape::Choice(words), DeValue::String(text)) if words.contains(&text.as_ref()) => {
            Ok(Value::String(text.to_string()))
        }
        _ => Err(mismatch()),
    }
}

fn whole(value: &DeValue) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn real(value: &DeValue) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => whole(value).map(|number| number as f64),
    }
}

/// What stands there, as far as it may be shown.
fn found(shape: &Shape, value: &DeValue) -> String {
    match value {
        _ if matches!(shape, Shape::Secret) => format!("a value of type {}", value.type_str()),
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// What to write instead, where that can be guessed.
fn suggestion(shape: &Shape, value: &DeValue) -> Option<String> {
    match (shape, value) {
        (Shape::Choice(words), DeValue::String(text)) => {
            closest(text, words.iter().copied()).map(|close| format!("did you mean \"{close}\"?"))
        }
        (Shape::List(_), DeValue::Table(_)) => {
            Some("write its name in two brackets, as in [[rooms]]: each such table is one of the list".into())
        }
        (Shape::Integer(_), DeValue::String(text)) => bytes(text).map(|number| format!("write {number}")),
        (Shape::Seconds(_), DeValue::String(text)) => seconds(text).map(|number| format!("write {number}")),
        (Shape::Switch, DeValue::String(text)) if matches!(text.as_ref(), "true" | "false") => {
            Some(format!("write {text} without quotes"))
        }
        (
            Shape::Text { .. } | Shape::Secret,
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_),
        ) => Some("put it in quotes".into()),
        _ => None,
    }
}

/// The number meant by `64`, `64KiB`, `64 kB`, `4M`.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The seconds meant by `30`, `30s`, `5m`, `24h`, `7d`.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

/// The candidate a misspelling is nearest to, if it is near.
pub(crate) fn closest<'k>(written: &str, candidates: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    let similarity =
        |candidate: &str| strsim::normalized_damerau_levenshtein(&written, &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The path of a key in the table at `path`.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_in_text_are_turned_into_numbers() {
        assert_eq!(bytes("64KiB"), Some(65_536));
        assert_eq!(bytes("4 mb"), Some(4_194_304));
        assert_eq!(bytes("many"), None);
        assert_eq!(bytes("99999999999G"), None);
        assert_eq!(seconds("24h"), Some(86_400));
        assert_eq!(seconds("30 lightyears"), None);
    }

    #[test]
    fn only_near_misses_are_suggested() {
        assert_eq!(closest("secert", ["issuer", "secret"]), Some("secret"));
        assert_eq!(closest("hs256", ["HS256", "RS256"]), Some("HS256"));
        assert_eq!(closest("banana", ["secret", "issuer"]), None);
    }
}
