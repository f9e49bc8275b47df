//! The commented file that `init` writes: what is needed to start is set, every other key stands there as a
//! comment with its meaning and default.

use toml::Value;

use super::{
    keys,
    reader::join,
    secret::Secret,
    setting::{Key, Shape},
};

const HEAD: &str = "\
# The configuration of Roomcast. Everything that is commented out shows its default.
#
#   roomcast check      finds mistakes in this file
#   roomcast config     shows every value that holds, and where it came from
#   roomcast serve      starts the server
#
# A variable such as ROOMCAST_LIMITS_MESSAGE_BYTES_MAX wins over this file; a flag wins over both.
# This file holds secrets: keep it out of version control.
";

/// The whole file, with this secret.
pub(crate) fn template(secret: &Secret) -> String {
    let mut file = Template { text: HEAD.into() };
    let keys = keys();
    let (tables, values): (Vec<_>, Vec<_>) = keys.iter().partition(|key| is_section(&key.shape));
    for key in values {
        file.key(key, None);
    }
    for key in tables {
        file.section("", key, secret.expose());
    }
    file.text
}

/// Whether a key is written under a header of its own.
fn is_section(shape: &Shape) -> bool {
    match shape {
        Shape::Table(_) => true,
        Shape::List(item) => matches!(**item, Shape::Table(_)),
        _ => false,
    }
}

struct Template {
    text: String,
}

impl Template {
    fn section(&mut self, path: &str, key: &Key, secret: &str) {
        let path = join(path, key.name);
        self.doc(key);
        match &key.shape {
            Shape::List(item) => {
                let Shape::Table(keys) = &**item else { return };
                let active = path == "rooms";
                self.line(&format!("{}[[{path}]]", if active { "" } else { "# " }));
                for key in keys {
                    self.element("", key, active);
                }
            }
            Shape::Table(keys) => {
                let (sections, values): (Vec<_>, Vec<_>) =
                    keys.iter().partition(|key| is_section(&key.shape));
                self.line(&format!("[{path}]"));
                for key in values {
                    self.key(key, (join(&path, key.name) == "auth.secret").then(|| secret.into()));
                }
                for key in sections {
                    self.section(&path, key, secret);
                }
            }
            _ => {}
        }
    }

    /// A key of a list's element, its tables flattened to dotted keys.
    fn element(&mut self, path: &str, key: &Key, active: bool) {
        let name = join(path, key.name);
        if let Shape::Table(keys) = &key.shape {
            for key in keys {
                self.element(&name, key, active);
            }
            return;
        }
        self.doc(key);
        // The rule that `init` starts with: users may do everything, guests nothing.
        let start = match name.as_str() {
            "pattern" => Some(Value::from("*")),
            "users" => Some(Value::from(vec!["*"])),
            "anonymous" => Some(Value::Array(Vec::new())),
            _ => None,
        };
        self.value(&name, key, start.filter(|_| active));
    }

    fn key(&mut self, key: &Key, set: Option<Value>) {
        self.doc(key);
        self.value(key.name, key, set);
    }

    fn doc(&mut self, key: &Key) {
        self.line("");
        for line in key.doc {
            self.line(&format!("#{line}"));
        }
    }

    fn value(&mut self, name: &str, key: &Key, set: Option<Value>) {
        match (set, key.default.as_ref().or(key.example.as_ref())) {
            (Some(value), _) => self.line(&format!("{name} = {value}")),
            (None, Some(value)) => self.line(&format!("# {name} = {value}")),
            (None, None) => {}
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Document, Secret, load};

    fn load_text(text: String) -> crate::config::Loaded {
        load(Some(Document { path: "roomcast.toml".into(), text }), [], &[])
    }

    #[test]
    fn the_file_is_right_as_it_stands() {
        let loaded = load_text(super::template(&Secret::fresh().unwrap()));
        assert!(loaded.report.problems.is_empty(), "{}", loaded.report);
    }

    /// Every commented key must be right too, once its comment sign is taken away.
    #[test]
    fn the_file_is_right_with_every_default_written_out() {
        let uncomment = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let text: String = super::template(&Secret::fresh().unwrap()).lines().map(uncomment).collect();
        let loaded = load_text(text);
        let faults: Vec<_> = loaded.report.problems.iter().map(|problem| problem.key.as_str()).collect();
        // The examples of a secret and a public key exclude each other, and are no secrets.
        assert_eq!(faults, ["auth.keys[0].secret", "auth.api_keys[0].key"], "{}", loaded.report);
    }
}
