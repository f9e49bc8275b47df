//! What a verified token says (RFC 7519): who, until when, what may be done where. Every claim is checked by
//! type, `null` included; nothing is guessed from a value of another type.

use std::{sync::Arc, time::Duration};

use roomcast_protocol::{Data, Grants, Pattern, Rights, Timestamp, UserId};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, value::RawValue};

use super::{
    error::{AuthError, shown},
    keys::object,
};

/// Longest `info`, in bytes without white space.
const INFO_BYTES_MAX: usize = 1024;
/// Deepest `info`, in levels.
const INFO_DEPTH_MAX: usize = 64;
/// The end of the year 9999, in Unix seconds. Times beyond it are milliseconds by mistake.
const TIME_MAX: u64 = 253_402_300_799;

/// What every token must say besides its user.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// The `iss` it must have.
    pub issuer: Option<String>,
    /// The `aud` it must have, or hold in its list. Without this, `aud` is not looked at.
    pub audience: Option<String>,
    /// Whether it must end. Without this, a token without `exp` never does.
    pub require_exp: bool,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// `sub`: who.
    pub user: UserId,
    /// `rooms`: what may be done where; without the claim what the rules give every user.
    pub grants: Arc<Grants>,
    /// `info`: what presence tells of the user, a JSON object.
    pub info: Option<Arc<str>>,
    /// `exp`: when the token ends, rounded down to milliseconds.
    pub expires_at: Option<Timestamp>,
}

/// The claims as they stand; each is read once its turn comes. A claim that stands there twice is refused.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    sub: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    exp: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    nbf: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    iss: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    aud: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    rooms: Option<&'a RawValue>,
}

/// Keeps a `null` apart from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Requirements {
    /// Reads claims whose signature has been checked. There is no leeway: a token has ended at its `exp` and
    /// begins at its `nbf`.
    pub(super) fn read(
        &self,
        claims: &[u8],
        users: &Arc<Grants>,
        now: Timestamp,
    ) -> Result<Verified, AuthError> {
        let claims: Claims<'_> = object(claims).map_err(|error| {
            AuthError::unauthorized(format!(
                "the token's claims are no JSON object with each claim once: {}",
                cause(&error)
            ))
        })?;
        let expires_at = self.expiry(claims.exp, now)?;
        begun(claims.nbf, now)?;
        self.issuer(claims.iss)?;
        self.audience(claims.aud)?;
        Ok(Verified {
            user: user(claims.sub)?,
            grants: claims.rooms.map_or_else(|| Ok(Arc::clone(users)), grants)?,
            info: claims.info.map(info).transpose()?,
            expires_at,
        })
    }

    fn expiry(&self, exp: Option<&RawValue>, now: Timestamp) -> Result<Option<Timestamp>, AuthError> {
        match exp.map(|exp| time("exp", exp)).transpose()? {
            None if self.require_exp => Err(AuthError::unauthorized(
                "the token has no \"exp\", and auth.require_exp asks for it; say when it ends",
            )),
            Some(end) if end <= now => Err(AuthError::expired(format!(
                "the token ended {} s ago; fetch a fresh one and come back",
                (now.0 - end.0) / 1000
            ))),
            end => Ok(end),
        }
    }

    fn issuer(&self, iss: Option<&RawValue>) -> Result<(), AuthError> {
        let iss: Option<String> = iss.map(|iss| typed("iss", iss, "a string")).transpose()?;
        match (&self.issuer, iss) {
            (Some(expected), Some(iss)) if *expected != iss => Err(AuthError::unauthorized(format!(
                "the token's \"iss\" is {}, not the one in auth.issuer",
                shown(&iss)
            ))),
            (Some(_), None) => {
                Err(AuthError::unauthorized("the token has no \"iss\"; put the one in auth.issuer there"))
            }
            _ => Ok(()),
        }
    }

    fn audience(&self, aud: Option<&RawValue>) -> Result<(), AuthError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Audience {
            One(String),
            Several(Vec<String>),
        }
        let aud = match aud.map(|aud| typed("aud", aud, "a string or a list of strings")).transpose()? {
            Some(Audience::One(one)) => vec![one],
            Some(Audience::Several(several)) => several,
            None => Vec::new(),
        };
        match &self.audience {
            Some(expected) if !aud.contains(expected) => Err(AuthError::unauthorized(format!(
                "the token's \"aud\" is {}, which lacks the one in auth.audience",
                aud.first().map_or_else(|| "missing".to_owned(), |first| shown(first))
            ))),
            _ => Ok(()),
        }
    }
}

fn begun(nbf: Option<&RawValue>, now: Timestamp) -> Result<(), AuthError> {
    match nbf.map(|nbf| time("nbf", nbf)).transpose()? {
        Some(start) if start > now => Err(AuthError::unauthorized(format!(
            "the token begins in {} s (nbf); wait, or set the clock of who mints it",
            (start.0 - now.0).div_ceil(1000)
        ))),
        _ => Ok(()),
    }
}

fn user(sub: Option<&RawValue>) -> Result<UserId, AuthError> {
    let sub =
        sub.ok_or_else(|| AuthError::unauthorized("the token has no \"sub\"; put the id of its user there"))?;
    let sub: String = typed("sub", sub, "a string")?;
    UserId::new(&sub).map_err(|_| {
        AuthError::unauthorized(format!(
            "the token's \"sub\" {} is not 1-{} bytes without control characters",
            shown(&sub),
            UserId::BYTES_MAX
        ))
    })
}

/// A `NumericDate` (RFC 7519 section 2): Unix seconds, whole or with a fraction.
fn time(name: &str, raw: &RawValue) -> Result<Timestamp, AuthError> {
    let seconds: f64 = typed(name, raw, "a number of Unix seconds")?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|since_epoch| since_epoch.as_secs() <= TIME_MAX)
        .map(|since_epoch| Timestamp(since_epoch.as_millis() as u64))
        .ok_or_else(|| {
            AuthError::unauthorized(format!(
                "the token's {name:?} is {}; it must be Unix seconds, not milliseconds",
                shown(raw.get())
            ))
        })
}

fn grants(rooms: &RawValue) -> Result<Arc<Grants>, AuthError> {
    const SHAPE: &str = "an object from patterns to lists of rights";
    let rooms: Map<String, Value> = typed("rooms", rooms, SHAPE)?;
    let mut grants = Vec::with_capacity(rooms.len());
    for (pattern, list) in rooms {
        let rights = rights(&pattern, &list)?;
        let pattern = Pattern::new(&pattern).map_err(|_| {
            AuthError::unauthorized(format!(
                "the token's \"rooms\" has the pattern {}, which is none; it takes a room name with *",
                shown(&pattern)
            ))
        })?;
        grants.push((pattern, rights));
    }
    Ok(Arc::new(Grants::Claims(grants)))
}

fn rights(pattern: &str, list: &Value) -> Result<Rights, AuthError> {
    let named = |right: &Value| {
        right.as_str().and_then(Rights::named).ok_or_else(|| {
            AuthError::unauthorized(format!(
                "{} in the token's \"rooms\" is no right: join, send, history, presence, *",
                shown(&right.to_string())
            ))
        })
    };
    let Some(list) = list.as_array() else {
        return Err(AuthError::unauthorized(format!(
            "the token's \"rooms\" gives {} no list of rights, such as [\"join\"]",
            shown(pattern)
        )));
    };
    list.iter().try_fold(Rights::NONE, |sum, right| Ok(sum | named(right)?))
}

fn info(raw: &RawValue) -> Result<Arc<str>, AuthError> {
    let object = Data::read(raw, INFO_DEPTH_MAX)
        .map_err(|_| wrong_type("info", raw, "an object with each key once"))?;
    let mut compact = Vec::with_capacity(raw.get().len());
    object.write(&mut compact);
    match String::from_utf8(compact) {
        Ok(info) if info.len() <= INFO_BYTES_MAX => Ok(info.into()),
        Ok(info) => Err(AuthError::unauthorized(format!(
            "the token's \"info\" has {} bytes; {INFO_BYTES_MAX} are the most",
            info.len()
        ))),
        Err(_) => Err(wrong_type("info", raw, "an object")),
    }
}

fn typed<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue, expected: &str) -> Result<T, AuthError> {
    serde_json::from_str(raw.get()).map_err(|_| wrong_type(name, raw, expected))
}

fn wrong_type(name: &str, raw: &RawValue, expected: &str) -> AuthError {
    let seen = shown(raw.get());
    AuthError::unauthorized(format!("the token's {name:?} is {seen}; it must be {expected}"))
}

/// What serde says, without the line and column of text that nobody has seen.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
