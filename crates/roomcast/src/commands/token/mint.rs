//! `roomcast token mint`: signs a token with a secret of the configuration.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use roomcast_protocol::{Pattern, Rights, Timestamp};
use roomcast_server::auth::{Algorithm, Signer};
use serde_json::{Map, Value, json};

use crate::{
    assembly::{self, Mode},
    commands::{
        layers::{Layers, flag},
        token::{no_secret, unix_now},
    },
    config::Auth,
    console,
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  roomcast token mint --user ada
  roomcast token mint --user ada --ttl 60 --info '{\"name\":\"Ada\"}'
  roomcast token mint --user ada --room 'chat:*=join,send,history' --room 'news=join'
  TOKEN=$(roomcast token mint --user ada) && roomcast sub general --token $TOKEN

Without --room the token has no `rooms` claim: the rules of the configuration say what the user may do.";

/// Sign a token for a user
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The user it is for (claim `sub`)
    #[arg(long, value_name = "USER")]
    user: String,
    /// Rights in the rooms of a pattern: any of join, send, history, presence, or *; may be repeated
    #[arg(long = "room", value_name = "PATTERN=RIGHTS", value_parser = grant)]
    rooms: Vec<(String, Vec<String>)>,
    /// Seconds until it expires
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = seconds)]
    ttl: u64,
    /// An object that others see in presence
    #[arg(long, value_name = "JSON", value_parser = object)]
    info: Option<Map<String, Value>>,
    /// The id of the one of `auth.keys` to sign with [default: `auth.secret`]
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The PEM file of that key's private half, where the configuration has only the public one
    #[arg(long, value_name = "FILE", requires = "key")]
    private_key: Option<PathBuf>,
    /// The secret to sign with, instead of a configured one; other users of this machine can see it
    #[arg(long, value_name = "TEXT", conflicts_with = "key")]
    secret: Option<String>,
    #[command(flatten)]
    layers: Layers,
    /// Print JSON: the token, its claims and when it expires
    #[arg(long)]
    json: bool,
}

/// `chat:*=join,send`.
fn grant(text: &str) -> Result<(String, Vec<String>), String> {
    let (pattern, rights) =
        text.rsplit_once('=').ok_or("write PATTERN=RIGHTS, such as 'chat:*=join,send'")?;
    Pattern::new(pattern).map_err(|error| error.to_string())?;
    let rights: Vec<_> = rights.split(',').map(|right| right.trim().to_owned()).collect();
    match rights.iter().find(|right| Rights::named(right).is_none()) {
        Some(unknown) => {
            Err(format!("\"{unknown}\" is no right; there are join, send, history, presence and *"))
        }
        None => Ok((pattern.into(), rights)),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write whole seconds, such as 3600 for an hour".into())
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it must be an object, such as '{\"name\":\"Ada\"}'".into()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

impl Args {
    /// Prints a token and nothing else, so that a script can use it.
    pub(super) fn run(self) -> Result<(), Failure> {
        let flags = flag("--secret", "auth.secret", self.secret.as_ref());
        let (config, loaded) = self.layers.config(flags.into_iter().collect())?;
        let claims = self.claims(&config.auth)?;
        let token = self.signer(&config.auth)?.mint(&claims)?;
        // As it is when it is minted: one that ends at once may be asked for.
        let minted = Timestamp((claims["iat"].as_u64().unwrap_or_default() * 1_000).saturating_sub(1));
        assembly::authenticator(Mode::Serve, &config, &loaded)?.verify(&token, minted).map_err(|error| {
            Failure::said(format!("the server would not take this token: {}", error.message()))
        })?;
        if self.json {
            console::json(&json!({ "token": token, "expires_at": claims["exp"], "claims": claims }))
        } else {
            console::line(token)
        }
    }

    fn claims(&self, auth: &Auth) -> Result<Value, Failure> {
        let now = unix_now().as_secs();
        let expires =
            now.checked_add(self.ttl).ok_or_else(|| Failure::said("--ttl is too far in the future"))?;
        let mut claims = json!({ "sub": self.user, "iat": now, "exp": expires });
        let optional = [
            ("iss", auth.issuer.as_ref().map(|issuer| json!(issuer))),
            ("aud", auth.audience.as_ref().map(|audience| json!(audience))),
            ("info", self.info.as_ref().map(|info| json!(info))),
            ("rooms", (!self.rooms.is_empty()).then(|| json!(self.rights()))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                claims[name] = value;
            }
        }
        Ok(claims)
    }

    /// All rights of each pattern, however often it is named.
    fn rights(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut rooms: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (pattern, rights) in &self.rooms {
            rooms.entry(pattern.as_str()).or_default().extend(rights.iter().map(String::as_str));
        }
        rooms
    }

    fn signer(&self, auth: &Auth) -> Result<Signer, Failure> {
        let Some(id) = &self.key else {
            let secret = auth.secret.as_ref().ok_or_else(|| no_secret("sign"))?;
            return Ok(Signer::secret(Algorithm::Hs256, secret.expose())?);
        };
        let Some(key) = auth.keys.iter().find(|key| key.id == *id) else {
            let known: Vec<_> = auth.keys.iter().map(|key| key.id.as_str()).collect();
            let help = if known.is_empty() {
                "leave --key out to sign with `auth.secret`, or add the key to the configuration".into()
            } else {
                format!("there are {}", known.join(", "))
            };
            return Err(Failure::with_help(format!("no [[auth.keys]] has the id \"{id}\""), help));
        };
        let signer = match (&key.secret, &self.private_key) {
            (Some(secret), _) => Signer::secret(key.algorithm, secret.expose())?,
            (None, Some(path)) => Signer::private(key.algorithm, &read(path)?)?,
            (None, None) => {
                return Err(Failure::with_help(
                    format!(
                        "the configuration has only the public half of \"{id}\" ({})",
                        key.algorithm.name()
                    ),
                    "name the file of its private half with --private-key FILE",
                ));
            }
        };
        Ok(signer.named(id))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::said(format!("can't read {}: {error}", path.display())))
}
