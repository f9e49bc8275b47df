//! What a key of the configuration may hold: the trait that gives a type its shape, and the macro that writes
//! down a table of keys once, with doc comment, default and range, for reading, `init`, `check`, `config` and
//! the reference alike. Knows no key by name.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use roomcast_protocol::{Pattern, Rights};
use roomcast_server::{TrustedProxy, auth::Algorithm};
use toml::Value;

/// What a value may be.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Integer(RangeInclusive<i64>),
    /// A number of seconds, possibly fractional.
    Seconds(RangeInclusive<i64>),
    /// Text for which `check` finds no fault.
    Text { check: fn(&str) -> Result<(), String> },
    /// Text that is never shown again.
    Secret,
    /// One of a few words.
    Choice(Vec<&'static str>),
    /// Any number of the same.
    List(Box<Shape>),
    /// Keys of its own.
    Table(Vec<Key>),
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// What it means, as lines.
    pub(crate) doc: &'static [&'static str],
    /// What it may hold.
    pub(crate) shape: Shape,
    /// What holds without it, if anything.
    pub(crate) default: Option<Value>,
    /// Whether its table is wrong without it.
    pub(crate) required: bool,
    /// A value to show where there is no default.
    pub(crate) example: Option<Value>,
}

/// A type that a key can hold.
pub(crate) trait Setting: Sized {
    /// What its values look like.
    fn shape() -> Shape;
    /// Reads a value that fits the shape; `None` if it doesn't after all.
    fn from_value(value: &Value) -> Option<Self>;
    /// The value as the file would write it; `None` for "not set" and for tables, whose keys have defaults.
    fn to_value(&self) -> Option<Value>;
}

impl Shape {
    /// The same shape with another range, where it has one.
    pub(crate) fn within(self, range: RangeInclusive<i64>) -> Self {
        match self {
            Self::Integer(_) => Self::Integer(range),
            Self::Seconds(_) => Self::Seconds(range),
            other => other,
        }
    }

    /// What is expected, to follow "must be".
    pub(crate) fn expects(&self) -> String {
        match self {
            Self::Switch => "true or false".into(),
            Self::Integer(range) => format!("a whole number{}", bounds(range)),
            Self::Seconds(range) => format!("a number of seconds{}", bounds(range)),
            Self::Text { .. } | Self::Secret => "text".into(),
            Self::Choice(words) => format!("one of {}", quoted(words)),
            Self::List(item) => format!("a list, each {}", item.expects()),
            Self::Table(_) => "a table".into(),
        }
    }

    /// The keys of a table, or of each element of a list of tables.
    pub(crate) fn keys(&self) -> Option<&[Key]> {
        match self {
            Self::Table(keys) => Some(keys),
            Self::List(item) => item.keys(),
            _ => None,
        }
    }

    /// Whether a value is written as a string.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Secret | Self::Choice(_))
    }
}

fn bounds(range: &RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (low, i64::MAX) => format!(" of at least {low}"),
        (low, high) => format!(" from {low} to {high}"),
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

impl Setting for bool {
    fn shape() -> Shape {
        Shape::Switch
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn shape() -> Shape {
                Shape::Integer(0..=i64::try_from(<$type>::MAX).unwrap_or(i64::MAX))
            }
            fn from_value(value: &Value) -> Option<Self> {
                value.as_integer().and_then(|number| number.try_into().ok())
            }
            fn to_value(&self) -> Option<Value> {
                Some(Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX)))
            }
        }
    )+};
}
integers!(u16, u32, u64, usize);

impl Setting for Duration {
    fn shape() -> Shape {
        Shape::Seconds(0..=i64::from(u32::MAX))
    }
    fn from_value(value: &Value) -> Option<Self> {
        let seconds = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))?;
        Self::try_from_secs_f64(seconds).ok()
    }
    fn to_value(&self) -> Option<Value> {
        let whole = self.subsec_nanos() == 0;
        Some(if whole {
            Value::Integer(self.as_secs().cast_signed())
        } else {
            Value::Float(self.as_secs_f64())
        })
    }
}

impl Setting for String {
    fn shape() -> Shape {
        Shape::Text { check: |text| if text.is_empty() { Err("it is empty".into()) } else { Ok(()) } }
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(Self::from)
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

/// Types that are text in the file and have a parser and a `Display` of their own.
macro_rules! parsed {
    ($($type:ty: $parse:expr, $write:expr;)+) => {$(
        impl Setting for $type {
            fn shape() -> Shape {
                Shape::Text { check: |text| $parse(text).map(|_: $type| ()).map_err(|error| error.to_string()) }
            }
            fn from_value(value: &Value) -> Option<Self> {
                $parse(value.as_str()?).ok()
            }
            fn to_value(&self) -> Option<Value> {
                Some(Value::String($write(self)))
            }
        }
    )+};
}
parsed! {
    Pattern: Pattern::new, Pattern::to_string;
    PathBuf: parse_path, |path: &PathBuf| path.display().to_string();
    TrustedProxy: str::parse::<TrustedProxy>, TrustedProxy::to_string;
    SocketAddr: parse_address, SocketAddr::to_string;
}

fn parse_path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() {
        Err("the path is empty; write . for the directory of this file")
    } else {
        Ok(text.into())
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an address and a port, like \"0.0.0.0:8000\" or \"[::1]:8000\"")
    })
}

/// The names of rights, as `Rights::named` knows them.
const RIGHTS: &[&str] = &["join", "send", "history", "presence", "*"];

impl Setting for Rights {
    fn shape() -> Shape {
        Shape::List(Box::new(Shape::Choice(RIGHTS.to_vec())))
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().try_fold(Self::NONE, |sum, name| Some(sum | Self::named(name.as_str()?)?))
    }
    fn to_value(&self) -> Option<Value> {
        Some(rights_as_words(*self).into())
    }
}

/// Rights as tokens and the file write them.
pub(crate) fn rights_as_words(rights: Rights) -> Vec<&'static str> {
    let holds = |word: &&str| Rights::named(word).is_some_and(|right| rights.allow(right));
    match rights {
        Rights::ALL => vec!["*"],
        _ => RIGHTS.iter().copied().filter(holds).collect(),
    }
}

impl Setting for Algorithm {
    fn shape() -> Shape {
        Shape::Choice(Self::ALL.iter().map(|algorithm| algorithm.name()).collect())
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
    fn to_value(&self) -> Option<Value> {
        Some(self.name().into())
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_value).collect()
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::to_value).collect()))
    }
}

impl<T: Setting> Setting for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }
    fn from_value(value: &Value) -> Option<Self> {
        T::from_value(value).map(Some)
    }
    fn to_value(&self) -> Option<Value> {
        self.as_ref().and_then(T::to_value)
    }
}

/// Writes down a table of keys once.
///
/// `struct Name { … }` makes the struct; `impl Type { … }` gives keys to a library's struct, whose `Default`
/// is then the default. A field is `/// doc`, `name: Type`, then as needed `= default` (without one the key is
/// required), `, in range` and `, such as example`, and a `;`. In `impl`, `field as key` renames.
macro_rules! table {
    ($(#[doc = $doc:literal])+ struct $table:ident { $(
        $(#[doc = $line:literal])+
        $field:ident: $type:ty $(= $default:expr)? $(, in $range:expr)? $(, such as $example:expr)?;
    )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub(crate) struct $table { $( $(#[doc = $line])+ pub(crate) $field: $type, )+ }

        impl $crate::config::setting::Setting for $table {
            fn shape() -> $crate::config::setting::Shape {
                $crate::config::setting::Shape::Table(vec![$(
                    $crate::config::setting::Key {
                        name: stringify!($field),
                        doc: &[$($line),+],
                        shape: <$type>::shape()$(.within($range))?,
                        default: None$(.or(<$type>::to_value(&$default)))?,
                        required: $crate::config::setting::is_required!($type; $($default)?),
                        example: None$(.or(Some($example.into())))?,
                    }
                ),+])
            }
            fn from_value(value: &toml::Value) -> Option<Self> {
                let table = value.as_table()?;
                Some(Self { $( $field: match table.get(stringify!($field)) {
                    Some(value) => <$type>::from_value(value)?,
                    None => $crate::config::setting::default!($type; $($default)?),
                }, )+ })
            }
            fn to_value(&self) -> Option<toml::Value> {
                None
            }
        }
    };
    (impl $table:ty { $(
        $(#[doc = $line:literal])+
        $field:ident as $key:ident: $type:ty $(, in $range:expr)?;
    )+ }) => {
        impl $crate::config::setting::Setting for $table {
            fn shape() -> $crate::config::setting::Shape {
                let default = <$table>::default();
                $crate::config::setting::Shape::Table(vec![$(
                    $crate::config::setting::Key {
                        name: stringify!($key),
                        doc: &[$($line),+],
                        shape: <$type>::shape()$(.within($range))?,
                        default: <$type>::to_value(&default.$field),
                        required: false,
                        example: None,
                    }
                ),+])
            }
            fn from_value(value: &toml::Value) -> Option<Self> {
                let (table, default) = (value.as_table()?, <$table>::default());
                Some(Self { $( $field: match table.get(stringify!($key)) {
                    Some(value) => <$type>::from_value(value)?,
                    None => default.$field,
                }, )+ })
            }
            fn to_value(&self) -> Option<toml::Value> {
                None
            }
        }
    };
}

/// Words of a closed set, as the file writes them.
macro_rules! choice {
    ($(#[doc = $doc:literal])+ enum $name:ident { $( $(#[doc = $line:literal])+ $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $( $(#[doc = $line])+ $variant, )+ }

        impl $name {
            /// The word in the file.
            pub(crate) fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::config::setting::Setting for $name {
            fn shape() -> $crate::config::setting::Shape {
                $crate::config::setting::Shape::Choice(vec![$($word),+])
            }
            fn from_value(value: &toml::Value) -> Option<Self> {
                match value.as_str()? { $( $word => Some(Self::$variant), )+ _ => None }
            }
            fn to_value(&self) -> Option<toml::Value> {
                Some(self.word().into())
            }
        }
    };
}

/// Whether a key must be there: it has no default, and no keys of its own that have.
macro_rules! is_required {
    ($type:ty;) => {
        !matches!(<$type>::shape(), $crate::config::setting::Shape::Table(_))
    };
    ($type:ty; $default:expr) => {
        false
    };
}

/// What a key holds that isn't there. Without a default that is an empty table, and no value if it is no table.
macro_rules! default {
    ($type:ty;) => {
        <$type>::from_value(&toml::Value::Table(toml::Table::new()))?
    };
    ($type:ty; $default:expr) => {
        $default
    };
}

pub(crate) use {choice, default, is_required, table};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_named_as_the_protocol_names_them() {
        for name in RIGHTS {
            let right = Rights::named(name).unwrap();
            assert_eq!(right.to_value(), Some(Value::Array(vec![(*name).into()])));
        }
    }

    #[test]
    fn what_is_expected_is_said_with_its_range() {
        assert_eq!(u16::shape().expects(), "a whole number from 0 to 65535");
        assert_eq!(u64::shape().within(5..=i64::MAX).expects(), "a whole number of at least 5");
        assert_eq!(Duration::shape().within(1..=60).expects(), "a number of seconds from 1 to 60");
        assert_eq!(Vec::<String>::shape().expects(), "a list, each text");
    }
}
