//! Makes of `[auth]` what the server verifies with, and says which keys can't be used. The rules for keys are
//! the server's; files of keys are read here.

use std::{fs, path::Path};

use roomcast_server::auth::{Algorithm, ApiKeys, Key};

use super::{
    fault::Fault,
    settings::{Auth, TokenKey},
};

/// A key that verifies tokens, and where it stands: `auth.secret`, `auth.keys[0]`.
pub(crate) type PlacedKey = (String, Key);

/// The keys for tokens, and what is wrong with the others.
pub(super) fn token_keys(auth: &Auth, directory: &Path) -> (Vec<PlacedKey>, Vec<Fault>) {
    let own = auth.secret.iter().map(|secret| {
        let key = Key::secret(Algorithm::Hs256, secret.expose());
        key.map(|key| ("auth.secret".to_owned(), key))
            .map_err(|error| Fault::error("auth.secret", error.to_string()))
    });
    let named = auth.keys.iter().enumerate().map(|(index, settings)| {
        let path = format!("auth.keys[{index}]");
        let key = token_key(settings, directory);
        key.map(|key| (path.clone(), key))
            .map_err(|(name, message)| Fault::error(format!("{path}.{name}"), message))
    });
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for key in own.chain(named) {
        match key {
            Ok(key) => keys.push(key),
            Err(fault) => faults.push(fault),
        }
    }
    (keys, faults)
}

/// The key, or which of its settings is wrong and why.
fn token_key(settings: &TokenKey, directory: &Path) -> Result<Key, (&'static str, String)> {
    let (algorithm, name) = (settings.algorithm, settings.algorithm.name());
    let key = match (algorithm.is_symmetric(), &settings.secret, &settings.public_key) {
        (true, Some(secret), None) => {
            Key::secret(algorithm, secret.expose()).map_err(|error| ("secret", error.to_string()))
        }
        (false, None, Some(written)) => pem(written, directory)
            .and_then(|pem| Key::public(algorithm, &pem).map_err(|error| error.to_string()))
            .map_err(|message| ("public_key", message)),
        (true, None, None) => Err(("secret", format!("{name} needs the shared secret as `secret`"))),
        (true, ..) => {
            Err(("public_key", format!("{name} is verified with `secret` alone: remove `public_key`")))
        }
        (false, None, None) => Err((
            "public_key",
            format!("{name} needs a PEM text, or the path of a PEM file, as `public_key`"),
        )),
        (false, ..) => {
            Err(("secret", format!("{name} is verified with `public_key` alone: remove `secret`")))
        }
    };
    key.map(|key| key.named(&settings.id))
}

/// The PEM text that is meant: itself, or what the file of that name holds.
fn pem(written: &str, directory: &Path) -> Result<String, String> {
    if written.trim_start().starts_with("-----BEGIN") {
        return Ok(written.to_owned());
    }
    let path = directory.join(written);
    fs::read_to_string(&path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

/// The keys of back ends, and what is wrong with the others.
pub(super) fn api_keys(auth: &Auth) -> (ApiKeys, Vec<Fault>) {
    let (mut keys, mut faults) = (ApiKeys::default(), Vec::new());
    for (index, settings) in auth.api_keys.iter().enumerate() {
        if let Err(error) = keys.add(&settings.id, settings.key.expose()) {
            let help = "`rk_` followed by the output of `openssl rand -hex 16` makes a good one";
            faults.push(Fault::error(format!("auth.api_keys[{index}].key"), error.to_string()).help(help));
        }
    }
    (keys, faults)
}
