//! Patterns of JSON with variables. Knows nothing of clients.

use serde_json::{Map, Value};

/// What the variables stand for, by their names with the `$`.
pub(crate) type Variables = Map<String, Value>;

fn variable(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.starts_with('$'))
}

/// The value with what its variables stand for.
pub(crate) fn substituted(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|each| substituted(each, variables)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, each)| (key.clone(), substituted(each, variables))).collect()
        }
        _ => match variable(value).and_then(|name| variables.get(name)) {
            Some(known) => substituted(known, variables),
            None => value.clone(),
        },
    }
}

/// Whether a value is what is expected: an object has the fields that are named (`null`: hasn't), a variable takes
/// what it finds the first time and is the same ever after.
pub(crate) fn matches(found: &Value, expected: &Value, variables: &mut Variables) -> bool {
    if let Some(name) = variable(expected) {
        return match variables.get(name).cloned() {
            Some(known) => matches(found, &known, variables),
            None if found.is_null() => false,
            None => variables.insert(name.to_owned(), found.clone()).is_none(),
        };
    }
    let Value::Object(fields) = expected else { return normal(found) == *expected };
    fields.iter().all(|(key, each)| matches(found.get(key).unwrap_or(&Value::Null), each, variables))
}

/// A position is the same as text and as an object.
fn normal(value: &Value) -> Value {
    match (value["epoch"].as_str(), value["seq"].as_u64(), value.as_object().map(Map::len)) {
        (Some(epoch), Some(seq), Some(2)) => format!("{epoch}.{seq}").into(),
        _ => value.clone(),
    }
}

#[test]
fn a_pattern_can_fail() {
    let check = |found: &str, expected: &str| {
        let [found, expected] = [found, expected].map(|text| serde_json::from_str(text).expect(text));
        matches(&found, &expected, &mut Variables::new())
    };
    assert!(check(r#"{"a":1,"b":2}"#, r#"{"a":1}"#));
    assert!(!check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#));
    assert!(!check(r#"{"a":1}"#, r#"{"a":null}"#));
    assert!(check(r#"{"a":"x","b":"x"}"#, r#"{"a":"$x","b":"$x"}"#));
    assert!(!check(r#"{"a":"x","b":"y"}"#, r#"{"a":"$x","b":"$x"}"#));
    assert!(!check(r#"{"a":1}"#, r#"{"b":"$x"}"#));
    assert!(check(r#"{"since":{"epoch":"e","seq":5}}"#, r#"{"since":"e.5"}"#));
}
