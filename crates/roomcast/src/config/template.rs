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
    let set = [
        ("auth.secret", secret.expose().into()),
        ("rooms.pattern", "*".into()),
        ("rooms.users", vec!["*"].into()),
        ("rooms.anonymous", Value::Array(Vec::new())),
    ];
    let mut file = Template { text: HEAD.into(), set };
    let keys = keys();
    let (sections, values): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.shape.keys().is_some());
    for key in values {
        file.key("", key.name, key);
    }
    for key in sections {
        file.section(key.name, key);
    }
    file.text
}

struct Template {
    text: String,
    /// What the file sets; everything else is a comment.
    set: [(&'static str, Value); 4],
}

impl Template {
    fn section(&mut self, path: &str, key: &Key) {
        let is_list = matches!(key.shape, Shape::List(_));
        let is_used = !is_list || self.set.iter().any(|(set, _)| set.starts_with(path));
        let header = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
        self.doc(key);
        self.line(is_used, &header);
        let keys = key.shape.keys().unwrap_or_default();
        // A list's elements have dotted keys instead of sections, so that one comment sign is enough to begin.
        let is_section = |key: &&Key| !is_list && key.shape.keys().is_some();
        for key in keys.iter().filter(|key| !is_section(key)) {
            self.key(path, key.name, key);
        }
        for key in keys.iter().filter(is_section) {
            self.section(&join(path, key.name), key);
        }
    }

    /// A key by its name within the section.
    fn key(&mut self, section: &str, name: &str, key: &Key) {
        if let Some(keys) = key.shape.keys() {
            for key in keys {
                self.key(section, &join(name, key.name), key);
            }
            return;
        }
        self.doc(key);
        let path = join(section, name);
        let set = self.set.iter().find(|(set, _)| *set == path).map(|(_, value)| value.clone());
        let is_used = set.is_some();
        if let Some(value) = set.or_else(|| key.default.clone()).or_else(|| key.example.clone()) {
            self.line(is_used, &format!("{name} = {value}"));
        }
    }

    fn doc(&mut self, key: &Key) {
        self.text.push('\n');
        for line in key.doc {
            self.line(false, line.trim());
        }
    }

    /// A line, or a comment of it.
    fn line(&mut self, is_used: bool, line: &str) {
        self.text.extend([if is_used { "" } else { "# " }, line, "\n"]);
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
