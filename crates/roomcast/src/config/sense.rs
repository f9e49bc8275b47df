//! Whether values that are each right make sense together: keys that can't verify, rules never reached, limits
//! that contradict each other. Shapes and ranges of single values were judged before.

use std::path::Path;

use roomcast_server::auth::Origins;

use super::{
    credentials,
    fault::Fault,
    secret::Secret,
    settings::{Auth, Config, Engine, Rule, TokenKey},
};
use crate::{certificate::Certificate, failure::Failure};

/// Everything doubtful; `directory` is what paths in the configuration are relative to.
pub(super) fn faults(config: &Config, directory: &Path) -> Vec<Fault> {
    let (_, mut faults) = credentials::token_keys(&config.auth, directory);
    faults.extend(credentials::api_keys(&config.auth).1);
    faults.extend(repeated_ids(&config.auth.keys));
    faults.extend(
        config.server.origins.iter().enumerate().filter_map(|(index, origin)| web_origin(index, origin)),
    );
    faults.extend(useless_cookie(config));
    faults.extend(unreachable_rule(&config.rooms));
    faults.extend(limits(config));
    faults.extend(durability_without_disk(config));
    faults.extend(half_of_tls(config));
    faults.extend(webtransport_left_out(config));
    faults
}

/// What is wrong with serving others without any key, and the lines that put it right.
pub(super) fn keyless(auth: &Auth) -> Option<Fault> {
    if auth.secret.is_some() || !auth.keys.is_empty() || !auth.api_keys.is_empty() {
        return None;
    }
    let secret = Secret::fresh().ok();
    let secret = secret.as_ref().map_or("32 random bytes", Secret::expose);
    let message =
        "there is no key in [auth]: nobody could prove who they are, so `serve` would be open to the world";
    let help = format!(
        "add these lines, or let `roomcast init` write a whole file; `roomcast dev` needs no keys\n\n\
         [auth]\nsecret = \"{secret}\""
    );
    Some(Fault::error("auth", message).help(help))
}

fn half_of_tls(config: &Config) -> Option<Fault> {
    let (present, missing) = match (&config.server.tls_certificate, &config.server.tls_key) {
        (Some(_), None) => ("server.tls_certificate", "server.tls_key"),
        (None, Some(_)) => ("server.tls_key", "server.tls_certificate"),
        _ => return None,
    };
    let message = format!("TLS needs both a certificate and its key, and `{missing}` is missing");
    Some(Fault::error(present, message).help("name both files, or neither to speak without TLS"))
}

/// What is wrong with the certificate that is to be shown. Only who serves need be able to read it.
pub(super) fn unusable_certificate(config: &Config, directory: &Path) -> Option<Fault> {
    let Err(Failure::Said { message, help }) = Certificate::of(config, directory) else { return None };
    let fault = Fault::error("server.tls_certificate", message);
    Some(match help {
        Some(help) => fault.help(help),
        None => fault,
    })
}

fn webtransport_left_out(config: &Config) -> Option<Fault> {
    (config.server.webtransport && !cfg!(feature = "webtransport")).then(|| {
        let message = "this `roomcast` was built without WebTransport";
        Fault::error("server.webtransport", message)
            .help("take this line out, or build with the feature `webtransport`")
    })
}

fn repeated_ids(keys: &[TokenKey]) -> impl Iterator<Item = Fault> {
    keys.iter().enumerate().filter_map(|(index, key)| {
        let first = keys[..index].iter().position(|other| other.id == key.id)?;
        let message = format!("\"{}\" is the id of `auth.keys[{first}]` too; give each key its own", key.id);
        Some(Fault::error(format!("auth.keys[{index}].id"), message))
    })
}

fn web_origin(index: usize, origin: &str) -> Option<Fault> {
    let error = Origins::new([origin]).err()?;
    Some(Fault::error(format!("server.origins[{index}]"), error.to_string()))
}

fn useless_cookie(config: &Config) -> Option<Fault> {
    let any_page = config.server.origins.iter().any(|origin| origin == "*");
    (any_page && config.auth.cookie.is_some()).then(|| {
        let message =
            "no cookie counts as a token while `server.origins` is \"*\": any page could have it sent along";
        Fault::error("auth.cookie", message).help("list the pages that may connect in `server.origins`")
    })
}

fn unreachable_rule(rules: &[Rule]) -> Option<Fault> {
    let all = rules.iter().position(|rule| rule.pattern.to_string() == "*")?;
    let lost = rules.get(all + 1)?;
    let message =
        format!("the rule for \"{}\" is never reached: `rooms[{all}]` matches every room", lost.pattern);
    Some(
        Fault::warning(format!("rooms[{}].pattern", all + 1), message)
            .help("move the rule for \"*\" to the end"),
    )
}

fn durability_without_disk(config: &Config) -> Option<Fault> {
    if config.engine == Engine::Disk {
        return None;
    }
    let index = config.rooms.iter().position(|rule| rule.durability.is_some())?;
    let message = "the memory engine keeps nothing beyond this process, however durable a room is to be";
    Some(
        Fault::error(format!("rooms[{index}].durability"), message)
            .help("take this line out, or set `engine = \"disk\"`"),
    )
}

fn limits(config: &Config) -> Option<Fault> {
    let limits = &config.limits;
    (limits.history_page_default > limits.history_page_max).then(|| {
        let message = format!(
            "a page of history has {} messages by default but {} at most",
            limits.history_page_default, limits.history_page_max
        );
        Fault::error("limits.history_page_default", message)
            .help("raise `limits.history_page_max`, or lower this one")
    })
}
