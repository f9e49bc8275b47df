//! Whether values that are each right make sense together: keys that can't verify, rules never reached, limits
//! that contradict each other. Shapes and ranges of single values were judged before.

use std::{collections::BTreeMap, fs, path::Path};

use jsonwebtoken::DecodingKey;

use super::{
    problem::{Origin, Problem, Severity},
    settings::{Algorithm, ApiKey, Auth, Config, Rule, TokenKey},
};

/// The bytes of a secret below which HS256 is weaker than its hash (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;

/// Something doubtful about a key.
pub(super) struct Fault {
    key: String,
    severity: Severity,
    message: String,
    help: Option<String>,
}

impl Fault {
    fn error(key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key: key.into(), severity: Severity::Error, message: message.into(), help: Some(help.into()) }
    }

    fn warning(key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, message, help) }
    }

    /// As a problem, at the place of its key or of the table that lacks it.
    pub(super) fn at(self, origins: &BTreeMap<String, Origin>) -> Problem {
        let parent = self.key.rsplit_once('.').map_or("", |(parent, _)| parent);
        let origin =
            origins.get(&self.key).or_else(|| origins.get(parent)).cloned().unwrap_or(Origin::Default);
        Problem { severity: self.severity, key: self.key, message: self.message, help: self.help, origin }
    }
}

/// Everything doubtful; `directory` is what paths in the configuration are relative to.
pub(super) fn faults(config: &Config, directory: &Path) -> Vec<Fault> {
    let mut faults = secrets(&config.auth);
    faults.extend(
        config.auth.keys.iter().enumerate().filter_map(|(index, key)| token_key(index, key, directory)),
    );
    faults.extend(repeated("auth.keys", config.auth.keys.iter().map(|key| key.id.as_str())));
    faults.extend(config.auth.api_keys.iter().enumerate().filter_map(|(index, key)| api_key(index, key)));
    faults.extend(repeated("auth.api_keys", config.auth.api_keys.iter().map(|key| key.id.as_str())));
    faults.extend(unreachable_rules(&config.rooms));
    faults.extend(
        config.server.origins.iter().enumerate().filter_map(|(index, origin)| web_origin(index, origin)),
    );
    faults.extend(limits(config));
    faults
}

fn secrets(auth: &Auth) -> Vec<Fault> {
    let own = auth.secret.iter().map(|secret| ("auth.secret".to_owned(), secret));
    let named = auth.keys.iter().enumerate().filter_map(|(index, key)| {
        key.secret.as_ref().map(|secret| (format!("auth.keys[{index}].secret"), secret))
    });
    own.chain(named).filter_map(|(key, secret)| weak_secret(key, secret.expose().len())).collect()
}

fn weak_secret(key: String, length: usize) -> Option<Fault> {
    let help = "draw one with `roomcast init` or `openssl rand -base64 32`";
    match length {
        0 => Some(Fault::error(key.clone(), format!("`{key}` is empty; anybody could sign tokens"), help)),
        short if short < SECRET_BYTES => {
            let message = format!("`{key}` has only {short} bytes; it can be guessed from a single token");
            Some(Fault::warning(key, message, format!("{help}: {SECRET_BYTES} bytes or more")))
        }
        _ => None,
    }
}

fn token_key(index: usize, key: &TokenKey, directory: &Path) -> Option<Fault> {
    let path = |name: &str| format!("auth.keys[{index}].{name}");
    let algorithm = key.algorithm.word();
    match (key.algorithm.is_symmetric(), &key.secret, &key.public_key) {
        (true, Some(_), None) => None,
        (true, _, Some(_)) => Some(Fault::error(
            path("public_key"),
            format!("{algorithm} is signed with a shared secret, not with a key pair"),
            "set `secret` instead, or name the algorithm of the key pair",
        )),
        (true, None, None) => Some(Fault::error(
            path("secret"),
            format!("key \"{}\" ({algorithm}) has no `secret`", key.id),
            "add the shared secret as `secret`",
        )),
        (false, Some(_), _) => Some(Fault::error(
            path("secret"),
            format!("{algorithm} is verified with a public key; a secret doesn't belong here"),
            "set `public_key` to the PEM text or file instead",
        )),
        (false, None, None) => Some(Fault::error(
            path("public_key"),
            format!("key \"{}\" ({algorithm}) has no `public_key`", key.id),
            "add the PEM text, or the path of a PEM file, as `public_key`",
        )),
        (false, None, Some(pem)) => public_key(key.algorithm, pem, directory).err().map(|fault| {
            Fault::error(
                path("public_key"),
                fault,
                "`openssl pkey -pubin -in FILE -text` shows what a file holds",
            )
        }),
    }
}

fn public_key(algorithm: Algorithm, written: &str, directory: &Path) -> Result<(), String> {
    let pem = pem(written, directory)?;
    let parsed = match algorithm {
        Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()),
        _ => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    parsed
        .map(drop)
        .map_err(|error| format!("not a public key for {} in PEM form: {error}", algorithm.word()))
}

/// The PEM text that is meant: itself, or what the file of that name holds.
pub(crate) fn pem(written: &str, directory: &Path) -> Result<String, String> {
    if written.trim_start().starts_with("-----BEGIN") {
        return Ok(written.to_owned());
    }
    let path = directory.join(written);
    fs::read_to_string(&path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

fn api_key(index: usize, key: &ApiKey) -> Option<Fault> {
    const CHARACTERS: usize = 25;
    let path = format!("auth.api_keys[{index}].key");
    let text = key.key.expose();
    let help = "`rk_` followed by the output of `openssl rand -hex 16` makes a good one";
    if !text.starts_with("rk_") {
        return Some(Fault::error(path, format!("the key of \"{}\" doesn't begin with `rk_`", key.id), help));
    }
    let short = text.len() < CHARACTERS;
    short.then(|| {
        Fault::warning(path, format!("the key of \"{}\" is short enough to be guessed", key.id), help)
    })
}

fn repeated<'k>(list: &str, ids: impl Iterator<Item = &'k str>) -> Vec<Fault> {
    let mut seen = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, id) in ids.enumerate() {
        if let Some(first) = seen.insert(id, index) {
            let message = format!("\"{id}\" is the id of `{list}[{first}]` too");
            faults.push(Fault::error(format!("{list}[{index}].id"), message, "give each its own"));
        }
    }
    faults
}

fn unreachable_rules(rules: &[Rule]) -> Option<Fault> {
    let all = rules.iter().position(|rule| rule.pattern.to_string() == "*")?;
    let lost = rules.get(all + 1)?;
    let message =
        format!("the rule for \"{}\" is never reached: `rooms[{all}]` matches every room", lost.pattern);
    Some(Fault::warning(format!("rooms[{}].pattern", all + 1), message, "move the rule for \"*\" to the end"))
}

fn web_origin(index: usize, origin: &str) -> Option<Fault> {
    let (scheme, host) = origin.split_once("://").unwrap_or(("", origin));
    let good = matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('/');
    (!good && origin != "*").then(|| {
        let message = format!("\"{origin}\" is not an origin as browsers send it");
        let host = host.split('/').next().unwrap_or_default();
        Fault::error(
            format!("server.origins[{index}]"),
            message,
            format!("write \"https://{host}\", without a path"),
        )
    })
}

fn limits(config: &Config) -> Option<Fault> {
    let limits = &config.limits;
    (limits.history_page_default > limits.history_page_max).then(|| {
        let message = format!(
            "a page of history has {} messages by default but {} at most",
            limits.history_page_default, limits.history_page_max
        );
        Fault::error(
            "limits.history_page_default",
            message,
            "raise `limits.history_page_max`, or lower this one",
        )
    })
}
