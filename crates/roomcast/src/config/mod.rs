//! The configuration: one table of keys, three layers, and for each effective value where it came from.
//! The only part of Roomcast that reads files and environment variables.

mod credentials;
mod effective;
mod fault;
mod layers;
mod problem;
mod reader;
mod reference;
mod secret;
mod sense;
mod setting;
mod settings;
mod template;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use roomcast_server::auth::ApiKeys;
use toml::Value;

pub(crate) use credentials::PlacedKey;
pub(crate) use effective::Entry;
pub(crate) use layers::Flag;
pub(crate) use problem::{Document, Origin, Report, Severity};
pub(crate) use reference::reference;
pub(crate) use secret::Secret;
pub(crate) use setting::rights_as_words;
pub(crate) use settings::{Auth, Config, Engine, LogFormat, Rule};
pub(crate) use template::template;

use crate::failure::Failure;
use fault::Fault;
use layers::Layers;
use setting::{Key, Setting};

/// Read where no file is named, if it is there.
pub(crate) const DEFAULT_FILE: &str = "roomcast.toml";

/// A configuration with its layers merged and judged.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The typed values; none if there are errors.
    pub(crate) config: Option<Config>,
    /// Every key with its effective value.
    pub(crate) entries: Vec<Entry>,
    /// What is wrong or doubtful.
    pub(crate) report: Report,
    /// Where each key that is set was set.
    origins: BTreeMap<String, Origin>,
}

/// Every key there is.
fn keys() -> Vec<Key> {
    Config::shape().keys().unwrap_or_default().to_vec()
}

/// Reads the file that holds: the one named, else `roomcast.toml` if there is one.
pub(crate) fn find(named: Option<&Path>) -> Result<Option<Document>, Failure> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Document { path: path.into(), text })),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::NotFound => {
                    "--config or ROOMCAST_CONFIG names the file; `roomcast init` writes one"
                }
                io::ErrorKind::PermissionDenied => "it holds secrets: run this as the user whose file it is",
                _ => "it must be a text file, in UTF-8",
            };
            Err(Failure::with_help(format!("can't read {}: {error}", path.display()), help))
        }
    }
}

/// Merges the layers, file < environment < flags, and judges the result.
pub(crate) fn load(
    document: Option<Document>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Loaded {
    let keys = keys();
    let mut layers = Layers::default();
    if let Some(document) = &document {
        layers.file(&keys, document);
    }
    layers.environment(&keys, environment);
    layers.flags(&keys, flags);

    let entries = effective::entries(&keys, &layers);
    let report = Report { document, problems: layers.problems };
    let values = Value::Table(layers.values);
    let config = if report.has_errors() { None } else { Config::from_value(&values) };
    let mut loaded = Loaded { config, entries, origins: layers.origins, report };
    loaded.judge(sense::faults);
    loaded
}

impl Loaded {
    /// Makes the lack of any key an error, for a server that others can reach.
    pub(crate) fn require_keys(&mut self) {
        self.judge(|config, _| sense::keyless(&config.auth).into_iter().collect());
    }

    /// Makes a certificate that can't be shown an error, for a server that is to show it.
    pub(crate) fn require_certificate(&mut self) {
        self.judge(|config, directory| sense::unusable_certificate(config, directory).into_iter().collect());
    }

    /// Where the value of `key` comes from.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// The keys that verify tokens in `config`, which these values are of.
    pub(crate) fn token_keys(&self, config: &Config) -> Vec<PlacedKey> {
        credentials::token_keys(&config.auth, &self.directory()).0
    }

    /// The keys of back ends in `config`, which these values are of.
    pub(crate) fn api_keys(config: &Config) -> ApiKeys {
        credentials::api_keys(&config.auth).0
    }

    /// The directory that paths in the file are relative to.
    pub(crate) fn directory(&self) -> PathBuf {
        let document = self.report.document.as_ref();
        document.and_then(|document| document.path.parent()).map(Path::to_path_buf).unwrap_or_default()
    }

    /// Adds what `faults` finds to the report. An error takes the typed values away.
    fn judge(&mut self, faults: impl FnOnce(&Config, &Path) -> Vec<Fault>) {
        if let Some(config) = &self.config {
            let faults = faults(config, &self.directory());
            self.report.problems.extend(faults.into_iter().map(|fault| fault.at(&self.origins)));
        }
        self.report.sort();
        if self.report.has_errors() {
            self.config = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Loaded {
        load(Some(Document { path: "roomcast.toml".into(), text: text.into() }), [], &[])
    }

    fn errors(text: &str) -> Vec<String> {
        load_text(text).report.problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn nothing_set_is_the_defaults() {
        let loaded = load(None, [], &[]);
        assert!(loaded.report.problems.is_empty(), "{}", loaded.report);
        let config = loaded.config.expect("the defaults are a configuration");
        assert_eq!(config.limits, roomcast_protocol::Limits::default());
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let document = Document { path: "f.toml".into(), text: "[memory]\nbytes_max = 2000000\n".into() };
        let environment =
            [("ROOMCAST_MEMORY_BYTES_MAX", "3000000"), ("ROOMCAST_LIMITS_PING_INTERVAL_SECONDS", "2.5")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flag = Flag { name: "--set".into(), key: "memory.bytes_max".into(), value: "4000000".into() };
        let loaded = load(Some(document), environment, &[flag]);
        let config = loaded.config.expect("no faults");
        assert_eq!(config.memory.bytes_max, 4_000_000);
        assert_eq!(config.limits.ping_interval.as_millis(), 2_500);
        let origin = |key: &str| {
            let entry = loaded.entries.iter().find(|entry| entry.key == key).expect("a known key");
            entry.origin.describe(None)
        };
        assert_eq!(origin("memory.bytes_max"), "flag --set");
        assert_eq!(origin("limits.ping_interval_seconds"), "env ROOMCAST_LIMITS_PING_INTERVAL_SECONDS");
        assert_eq!(origin("limits.sends_burst"), "default");
    }

    #[test]
    fn every_fault_is_told_with_its_reason() {
        let check = |text: &str, expected: &[&str]| assert_eq!(errors(text), expected, "{text}");
        check(
            "[limits]\nsends_burst = \"many\"\nfragments_max = 0\n",
            &[
                "`limits.sends_burst` must be a whole number from 1 to 1000000, found \"many\"",
                "`limits.fragments_max` must be a whole number from 1 to 1000000, found 0",
            ],
        );
        check(
            "[[rooms]]\nusers = [\"jion\"]\n",
            &[
                "`rooms[0].pattern` is missing",
                "`rooms[0].users[0]` must be one of \"join\", \"send\", \"history\", \"presence\", \"*\", found \"jion\"",
            ],
        );
        check("x = 1", &["unknown key `x` at the top of the file"]);
        check("limits = 5", &["`limits` must be a table, found 5"]);
        check(
            "server.origins = \"*\"\nauth.cookie = \"token\"\n",
            &[
                "no cookie counts as a token while `server.origins` is \"*\": any page could have it sent along",
            ],
        );
    }

    #[test]
    fn variables_of_lists_are_split_at_commas_or_read_as_toml() {
        let environment = [
            ("ROOMCAST_SERVER_LISTEN", "127.0.0.1:1, [::1]:2"),
            ("ROOMCAST_ROOMS", "[{ pattern = \"a\", users = [\"*\"] }]"),
        ];
        let loaded = load(None, environment.map(|(name, value)| (name.into(), value.into())), &[]);
        let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report));
        assert_eq!(config.server.listen.len(), 2);
        assert_eq!(config.rooms[0].pattern.to_string(), "a");
    }

    #[test]
    fn a_misspelt_variable_is_a_warning_and_kubernetes_is_none() {
        let environment = ["ROOMCAST_LIMITS_SENDS_BURTS", "ROOMCAST_PORT", "ROOMCAST_SERVICE_HOST", "HOME"];
        let loaded = load(None, environment.map(|name| (name.into(), "1".into())), &[]);
        let [problem] = &loaded.report.problems[..] else { panic!("{}", loaded.report) };
        assert_eq!(problem.help.as_deref(), Some("did you mean ROOMCAST_LIMITS_SENDS_BURST?"));
        assert!(loaded.config.is_some());
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let settable = layers::settable(&keys(), "");
        let names: std::collections::BTreeSet<_> =
            settable.iter().map(|(path, _)| layers::variable(path)).collect();
        assert_eq!(names.len(), settable.len());
    }
}
