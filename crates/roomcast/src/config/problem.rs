//! What is wrong with a configuration, where, and how it is shown: for people in the style of rustc, for
//! programs as JSON. Secrets are blanked in whatever is quoted from the file. Finds no faults itself.

use std::{fmt, ops::Range, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::json;

/// The file of a configuration as read.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Where it was found, as the user named it.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) text: String,
}

impl Document {
    /// The line and column, both from 1, columns in characters, of a byte offset.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// The file, at these bytes.
    File(Range<usize>),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl Origin {
    /// `default`, `roomcast.toml:5`, `env NAME`, `flag --listen`.
    pub(crate) fn describe(&self, document: Option<&Document>) -> String {
        match (self, document) {
            (Self::Default, _) => "default".into(),
            (Self::File(span), Some(document)) => {
                format!("{}:{}", document.path.display(), document.position(span.start).0)
            }
            (Self::File(_), None) => "file".into(),
            (Self::Environment(name), _) => format!("env {name}"),
            (Self::Flag(name), _) => format!("flag {name}"),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One fault.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The key it is about, such as `rooms[0].users`; empty for the file as a whole.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    /// Where it stands.
    pub(crate) origin: Origin,
}

impl Problem {
    /// An error about `key`.
    pub(crate) fn error(key: &str, origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, key: key.into(), message: message.into(), help: None, origin }
    }

    /// A warning about `key`.
    pub(crate) fn warning(key: &str, origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, origin, message) }
    }

    /// The same with something to do about it.
    pub(crate) fn help(self, help: impl Into<Option<String>>) -> Self {
        Self { help: help.into(), ..self }
    }
}

/// All the faults of one configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// The file, if one was read.
    pub(crate) document: Option<Document>,
    /// In the order of the file, then of the other layers.
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// Whether the configuration can't be used.
    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Puts what stands in the file in its order, and the rest behind.
    pub(crate) fn sort(&mut self) {
        self.problems.sort_by_key(|problem| match &problem.origin {
            Origin::File(span) => span.start,
            _ => usize::MAX,
        });
    }

    /// How many problems there are of a severity.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// For programs: a list with `level`, `key`, `message`, `help` and where it stands.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.problems.iter().map(|problem| self.problem_to_json(problem)).collect()
    }

    fn problem_to_json(&self, problem: &Problem) -> serde_json::Value {
        let level = if problem.severity == Severity::Error { "error" } else { "warning" };
        let mut object = json!({
            "level": level, "key": problem.key, "message": problem.message, "help": problem.help,
            "source": problem.origin.describe(self.document.as_ref()),
        });
        if let (Origin::File(span), Some(document)) = (&problem.origin, &self.document) {
            let (line, column) = document.position(span.start);
            object["file"] = document.path.display().to_string().into();
            object["line"] = line.into();
            object["column"] = column.into();
        }
        object
    }

    fn render(&self, problem: &Problem, redacted: &str) -> String {
        let level = if problem.severity == Severity::Error { Level::ERROR } else { Level::WARNING };
        let title = level.primary_title(problem.message.as_str());
        let help = problem.help.as_deref().map(|help| Level::HELP.message(help));
        let group = match (&problem.origin, &self.document) {
            (Origin::File(span), Some(document)) => {
                let snippet = Snippet::source(redacted)
                    .path(document.path.display().to_string())
                    .annotation(AnnotationKind::Primary.span(first_line(span, redacted)));
                title.element(snippet).elements(help)
            }
            (Origin::Default | Origin::File(_), _) => Group::with_title(title).elements(help),
            (Origin::Environment(name), _) => {
                title.element(Level::NOTE.message(format!("set by the environment: {name}"))).elements(help)
            }
            (Origin::Flag(name), _) => {
                title.element(Level::NOTE.message(format!("set on the command line: {name}"))).elements(help)
            }
        };
        Renderer::styled().render(&[group])
    }
}

/// The report as text with colours; print it through `anstream`, which drops them where they don't belong.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = self.document.as_ref().map(|document| redact(&document.text)).unwrap_or_default();
        for (index, problem) in self.problems.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            writeln!(f, "{gap}{}", self.render(problem, &redacted))?;
        }
        Ok(())
    }
}

/// The part of a span on its first line; at least one byte wide where there is one, so that it can be seen.
fn first_line(span: &Range<usize>, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let end = text.floor_char_boundary(span.end.clamp(start, line_end));
    start..if end == start { text.ceil_char_boundary((start + 1).min(line_end)) } else { end }
}

/// The same text, byte for byte as long, with stars for every quoted string that may be a secret: all that is
/// set to a key that is one, and in `[auth]` all but what is known to be none.
fn redact(text: &str) -> String {
    let mut in_auth = false;
    text.split_inclusive('\n')
        .map(|line| {
            let trimmed = line.trim_start();
            if trimmed.starts_with('[') {
                in_auth = trimmed.trim_start_matches(['[', ' ', '"']).starts_with("auth");
            }
            if hides_a_secret(trimmed, in_auth) { blank_strings(line) } else { line.to_owned() }
        })
        .collect()
}

fn hides_a_secret(line: &str, in_auth: bool) -> bool {
    const HARMLESS: &[&str] = &["id", "algorithm", "public_key", "issuer", "audience", "cookie"];
    let Some((key, _)) = line.split_once('=') else { return false };
    let (table, name) = key.trim().rsplit_once('.').unwrap_or(("", key.trim()));
    let in_auth = in_auth || table.starts_with("auth") || name == "auth";
    matches!(name, "secret" | "key" | "api_keys") || (in_auth && !HARMLESS.contains(&name))
}

fn blank_strings(line: &str) -> String {
    let mut quote = None;
    let blank = |character: char| match (quote, character) {
        (None, '"' | '\'') => {
            quote = Some(character);
            character.to_string()
        }
        (Some(open), _) if open == character => {
            quote = None;
            character.to_string()
        }
        (Some(_), _) if character != '\n' => "*".repeat(character.len_utf8()),
        _ => character.to_string(),
    };
    line.chars().map(blank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_and_in_characters() {
        let document = Document { path: "x".into(), text: "a\nä = 1\n".into() };
        assert_eq!(document.position(0), (1, 1));
        assert_eq!(document.position(5), (2, 3));
        assert_eq!(document.position(99), (3, 1));
    }

    #[test]
    fn secrets_are_blanked_and_nothing_else() {
        let check = |text: &str, expected: &str| assert_eq!(redact(text), expected);
        check("[auth]\nsecret = \"abc\"\n", "[auth]\nsecret = \"***\"\n");
        check("[auth]\nsecert = 'abc'", "[auth]\nsecert = '***'");
        check("auth.secret = \"ä\"", "auth.secret = \"**\"");
        check("auth = { secret = \"ab\" }", "auth = { secret = \"**\" }");
        check("[ath]\nsecret = \"ab", "[ath]\nsecret = \"**");
        check("[[auth.keys]]\nid = \"a\"\nsecret = \"b\"", "[[auth.keys]]\nid = \"a\"\nsecret = \"*\"");
        check("[auth]\nkeys = [{ id = \"a\" }]\n", "[auth]\nkeys = [{ id = \"*\" }]\n");
        check("[server]\nlisten = \"x\"", "[server]\nlisten = \"x\"");
    }

    #[test]
    fn a_caret_stays_on_the_first_line_and_can_be_seen() {
        let text = "ab\ncd\n";
        assert_eq!(first_line(&(0..5), text), 0..2);
        assert_eq!(first_line(&(1..1), text), 1..2);
        assert_eq!(first_line(&(6..6), text), 6..6);
    }
}
