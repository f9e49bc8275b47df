//! A fault in values that each have the right shape, found by key and not yet by place.

use std::collections::BTreeMap;

use super::problem::{Origin, Problem, Severity};

/// Something wrong or doubtful about a key.
#[derive(Debug)]
pub(super) struct Fault {
    key: String,
    severity: Severity,
    message: String,
    help: Option<String>,
}

impl Fault {
    /// What makes the configuration unusable.
    pub(super) fn error(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), severity: Severity::Error, message: message.into(), help: None }
    }

    /// What is probably not meant.
    pub(super) fn warning(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, message) }
    }

    /// The same with something to do about it.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// As a problem, at the place of its key or of the table that lacks it.
    pub(super) fn at(self, origins: &BTreeMap<String, Origin>) -> Problem {
        let parent = self.key.rsplit_once('.').map_or("", |(parent, _)| parent);
        let origin =
            origins.get(&self.key).or_else(|| origins.get(parent)).cloned().unwrap_or(Origin::Default);
        Problem { severity: self.severity, key: self.key, message: self.message, help: self.help, origin }
    }
}
