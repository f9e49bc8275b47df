//! `roomcast token verify`: whether the server would take a token, and if not, why.

use std::{io, sync::Arc};

use roomcast_protocol::{Grants, Timestamp};
use roomcast_server::auth::{AuthError, Authenticator, Keys, Verified};
use serde_json::{Value, json};

use crate::{
    assembly::{self, Mode},
    commands::{
        layers::{Layers, flag},
        token::{no_secret, unix_now},
    },
    config::{PlacedKey, rights_as_words},
    console,
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  roomcast token verify eyJhbGciOi…
  roomcast token verify - < token.txt
  roomcast token verify $TOKEN --json

The exit status is 1 if the server would refuse the token.";

/// Say whether the server would take a token, and if not, why
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The token; - reads it from standard input
    token: String,
    /// The secret to verify with, instead of a configured one; other users of this machine can see it
    #[arg(long, value_name = "TEXT")]
    secret: Option<String>,
    #[command(flatten)]
    layers: Layers,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints what the token says; fails if it isn't valid.
    pub(super) fn run(self) -> Result<(), Failure> {
        let flags = flag("--secret", "auth.secret", self.secret.as_ref());
        let (config, loaded) = self.layers.config(flags.into_iter().collect())?;
        let keys = loaded.token_keys(&config);
        if keys.is_empty() {
            return Err(no_secret("verify"));
        }
        let authenticator = assembly::authenticator(Mode::Serve, &config, &loaded)?;
        let token = if self.token == "-" { from_standard_input()? } else { self.token };
        let now = Timestamp(unix_now().as_millis() as u64);
        match (authenticator.verify(&token, now), self.json) {
            (Ok(verified), true) => {
                console::json(&as_json(&verified, &signed_with(keys, &authenticator, &token, now)))
            }
            (Ok(verified), false) => {
                console::line(as_text(&verified, &signed_with(keys, &authenticator, &token, now), now))
            }
            (Err(error), true) => console::json(&refusal(&error)).and(Err(Failure::Silent)),
            (Err(error), false) => Err(Failure::said(error.message())),
        }
    }
}

fn from_standard_input() -> Result<String, Failure> {
    let text = io::read_to_string(io::stdin());
    text.map(|text| text.trim().to_owned())
        .map_err(|error| Failure::said(format!("can't read the token: {error}")))
}

/// The place of the key that the token is signed with.
fn signed_with(keys: Vec<PlacedKey>, authenticator: &Authenticator, token: &str, now: Timestamp) -> String {
    let fits = |key| {
        let alone = Keys::new(vec![key]).map(|keys| Authenticator { keys, ..authenticator.clone() });
        alone.is_ok_and(|alone| alone.verify(token, now).is_ok())
    };
    keys.into_iter().find(|(_, key)| fits(key.clone())).map(|(place, _)| place).unwrap_or_default()
}

fn as_text(verified: &Verified, key: &str, now: Timestamp) -> String {
    let ends = verified.expires_at.map_or("never".into(), |end| {
        format!("in {} s, at {}", end.0.saturating_sub(now.0) / 1000, end.0 / 1000)
    });
    let info = verified.info.as_deref().unwrap_or("none");
    format!(
        "The token is valid.\n\n  user     {}\n  expires  {ends}\n  key      {key}\n  info     {info}\n  rooms    {}",
        verified.user,
        rooms_as_text(&verified.grants)
    )
}

fn rooms_as_text(grants: &Arc<Grants>) -> String {
    match &**grants {
        Grants::Rules(_) => "what the rules give every user".into(),
        Grants::Claims(claims) if claims.is_empty() => "none".into(),
        Grants::Claims(claims) => {
            let each = claims
                .iter()
                .map(|(pattern, rights)| format!("{pattern} = {}", rights_as_words(*rights).join(", ")));
            each.collect::<Vec<_>>().join("\n           ")
        }
    }
}

fn as_json(verified: &Verified, key: &str) -> Value {
    let rooms = match &*verified.grants {
        Grants::Rules(_) => Value::Null,
        Grants::Claims(claims) => claims
            .iter()
            .map(|(pattern, rights)| (pattern.to_string(), Value::from(rights_as_words(*rights))))
            .collect(),
    };
    // Read once by the server already, so it is JSON.
    let info: Option<Value> = verified.info.as_deref().and_then(|info| serde_json::from_str(info).ok());
    let expires_at = verified.expires_at.map(|end| end.0 as f64 / 1000.0);
    json!({
        "valid": true, "user": verified.user.to_string(), "key": key, "expires_at": expires_at, "info": info, "rooms": rooms,
    })
}

fn refusal(error: &AuthError) -> Value {
    json!({ "valid": false, "code": error.code().name(), "message": error.message() })
}
