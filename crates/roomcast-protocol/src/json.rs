//! The one door through which a peer's `data` comes in: read once as a map from keys to raw values, checked
//! for what `serde_json` lets pass (depth, duplicate keys, lone surrogates, endless numbers), and written
//! again with the server's author. After that its bytes are never touched.

use std::{borrow::Cow, collections::HashSet};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::Timestamp;

/// Longest number, in characters: enough for every `f64` and well beyond any 64-bit integer.
const NUMBER_BYTES_MAX: usize = 400;
/// Maps up to this size find duplicate keys by looking at each other key.
const SMALL_MAP: usize = 16;

/// A checked payload, borrowed from the bytes as received.
#[derive(Debug, Default)]
pub struct Data<'a> {
    raw: &'a str,
    entries: SmallVec<[(Cow<'a, str>, &'a RawValue); 6]>,
}

impl<'a> Data<'a> {
    /// Reads an object. The error says what is wrong with it.
    pub fn read(raw: &'a RawValue, depth_max: usize) -> Result<Self, String> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(format!("`data` is {}; it must be an object", kind(text)));
        }
        guard(text, depth_max)?;
        let Entries(entries) =
            serde_json::from_str(text).map_err(|error| format!("`data`: {}", because(&error)))?;
        Ok(Self { raw: text, entries })
    }

    /// The bytes as they were sent; empty when there was no `data`.
    pub fn as_sent(&self) -> &'a str {
        self.raw
    }

    /// The raw value under `key`.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Appends the object, with `author` in place of any author that was sent.
    pub fn write_authored(&self, author: &str, out: &mut Vec<u8>) {
        self.write_without(&["author"], out);
        Object::go_on(out).text("author", author).end();
    }

    /// Appends the object as it was sent, without white space.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_without(&[], out);
        out.push(b'}');
    }

    /// Appends the opening brace and every entry but those under `dropped`; the caller goes on.
    pub(crate) fn write_without(&self, dropped: &[&str], out: &mut Vec<u8>) {
        out.push(b'{');
        for (key, value) in self.entries.iter().filter(|(key, _)| !dropped.contains(&&**key)) {
            push_comma(out);
            push_str(out, key);
            out.push(b':');
            push_compact(out, value.get());
        }
    }
}

/// Appends a comma where one is due in an open object.
#[inline]
fn push_comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

/// Appends a key of our own and its colon to an open object: it holds nothing that needs an escape.
#[inline]
pub(crate) fn push_key(out: &mut Vec<u8>, key: &str) {
    debug_assert!(is_plain(key), "{key:?}");
    push_comma(out);
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes one object, field by field, straight into a buffer. Keys are the server's words or names of rooms, which
/// need no escape. Close it with [`Object::end`].
pub struct Object<'a>(&'a mut Vec<u8>);

impl<'a> Object<'a> {
    /// Opens an object.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self(out)
    }

    /// Goes on with an object that is open already.
    pub(crate) fn go_on(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// A string.
    #[inline]
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        push_key(self.0, key);
        push_str(self.0, value);
        self
    }

    /// A string, or no field.
    #[inline]
    pub fn text_if(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(key, value);
        }
        self
    }

    /// A whole number.
    #[inline]
    pub fn number(&mut self, key: &str, value: u64) -> &mut Self {
        push_key(self.0, key);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    /// A truth value.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A duration, in seconds with three decimals at most.
    pub fn seconds(&mut self, key: &str, value: std::time::Duration) -> &mut Self {
        let seconds = (value.as_secs_f64() * 1000.0).round() / 1000.0;
        self.raw(key, &seconds.to_string())
    }

    /// A point in time.
    #[inline]
    pub fn timestamp(&mut self, value: Timestamp) -> &mut Self {
        push_key(self.0, "timestamp");
        value.write(self.0);
        self
    }

    /// JSON that is known to be good.
    #[inline]
    pub fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        push_key(self.0, key);
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// A value that `write` appends.
    #[inline]
    pub fn with(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        push_key(self.0, key);
        write(self.0);
        self
    }

    /// Closes the object.
    pub fn end(&mut self) {
        self.0.push(b'}');
    }
}

/// Appends a list, its elements written by `write`.
pub fn push_list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Appends a JSON string.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a string into memory");
    }
}

/// Whether it stands in JSON as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| IS_PLAIN[usize::from(b)])
}

/// Which bytes of a string need no escape. A table, as most strings are short and each byte counts.
static IS_PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    plain.split_at_mut(b' ' as usize).0.copy_from_slice(&[false; b' ' as usize]);
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// Appends a checked value without the white space between its tokens.
pub(crate) fn push_compact(out: &mut Vec<u8>, value: &str) {
    let bytes = value.as_bytes();
    if !matches!(bytes.first(), Some(b'{' | b'[')) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut in_string = false;
    let mut escaped = false;
    for &b in bytes {
        if in_string {
            in_string = escaped || b != b'"';
            escaped = !escaped && b == b'\\';
        } else if b.is_ascii_whitespace() {
            continue;
        } else {
            in_string = b == b'"';
        }
        out.push(b);
    }
}

/// What kind of value this is, for errors that must not show it.
fn kind(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// What the parser says, without echoing more than a little of a peer's bytes.
pub(crate) fn because(error: &serde_json::Error) -> String {
    const CHARACTERS_MAX: usize = 160;
    let mut text = error.to_string();
    if let Some((cut, _)) = text.char_indices().nth(CHARACTERS_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The entries of a map, duplicates refused.
struct Entries<'a>(SmallVec<[(Cow<'a, str>, &'a RawValue); 6]>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: SmallVec<[(Cow<'de, str>, &'de RawValue); 6]> = SmallVec::new();
                let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    let twice = if entries.len() < SMALL_MAP {
                        entries.iter().any(|(other, _)| *other == key)
                    } else {
                        if seen.is_empty() {
                            seen.extend(entries.iter().map(|(other, _)| other.clone()));
                        }
                        !seen.insert(key.clone())
                    };
                    if twice {
                        return Err(de::Error::custom(format_args!("the key {key:?} stands there twice")));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// A key, borrowed unless it holds an escape. (`Cow` alone never borrows.)
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Refuses in well-formed or broken JSON what the parser behind would let pass.
pub(crate) fn guard(text: &str, depth_max: usize) -> Result<(), String> {
    // Most messages can't offend: too short to nest or count that far, and without an escape.
    if text.len() <= 2 * depth_max.min(NUMBER_BYTES_MAX / 2) && !text.contains('\\') {
        return Ok(());
    }
    if memchr::memmem::find(text.as_bytes(), br"\u").is_some() {
        serde_json::from_str::<serde_json::Value>(text)
            .map_err(|error| format!("`data`: {}", because(&error)))?;
    }
    scan(text.as_bytes(), depth_max)
}

/// One pass over the tokens: depth and the length of numbers.
fn scan(text: &[u8], depth_max: usize) -> Result<(), String> {
    let (mut depth, mut digits, mut at) = (0_usize, 0_usize, 0);
    while let Some(&b) = text.get(at) {
        at += 1;
        digits =
            if b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E') { digits + 1 } else { 0 };
        match b {
            b'"' => at = string_end(text, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return Err(format!("`data` is nested deeper than {depth_max} levels"));
        }
        if digits > NUMBER_BYTES_MAX {
            return Err(format!("`data` holds a number of more than {NUMBER_BYTES_MAX} characters"));
        }
    }
    Ok(())
}

/// The place after the quote that ends the string open at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(next) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += next + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authored(json: &str) -> Result<String, String> {
        let raw: &RawValue = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        Data::read(raw, 64)?.write_authored("ada", &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn author_is_the_servers() {
        let check = |json: &str, expected: &str| assert_eq!(authored(json).unwrap(), expected);
        check(r#"{"content":"Hello"}"#, r#"{"content":"Hello","author":"ada"}"#);
        check(r#"{"author":"eve","a":1}"#, r#"{"a":1,"author":"ada"}"#);
        check(r#"{"\u0061uthor":"eve"}"#, r#"{"author":"ada"}"#);
        check("{}", r#"{"author":"ada"}"#);
        check("{ \"a\" : [ 1 ,\n \"b \\\" c\" ] }", r#"{"a":[1,"b \" c"],"author":"ada"}"#);
    }

    #[test]
    fn strings_are_those_of_serde() {
        for c in '\0'..='\u{100}' {
            let (text, mut out) = (format!("a{c}b"), Vec::new());
            push_str(&mut out, &text);
            assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn refused() {
        let many: Vec<String> = (0..20).chain([3]).map(|i| format!("\"k{i}\":0")).collect();
        for bad in [
            "[]".to_owned(),
            "\"x\"".to_owned(),
            "null".to_owned(),
            r#"{"a":1,"a":2}"#.to_owned(),
            r#"{"a":1,"\u0061":2}"#.to_owned(),
            format!("{{{}}}", many.join(",")),
            format!("{{\"a\":{}1{}}}", "[".repeat(64), "]".repeat(64)),
            format!("{{\"a\":{}}}", "9".repeat(10_000)),
            r#"{"a":"\ud800"}"#.to_owned(),
            r#"{"a":["x\udc00y"]}"#.to_owned(),
        ] {
            assert!(authored(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn deep_enough() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(63), "]".repeat(63));
        assert!(authored(&deep).is_ok());
        assert!(authored(&format!("{{\"a\":\"{}\"}}", "[".repeat(100))).is_ok());
        assert!(authored(r#"{"a":"\ud83d\ude00"}"#).is_ok());
    }
}
