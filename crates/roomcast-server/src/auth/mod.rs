//! Who is at the other end: from what a request brings to an [`Identity`]. Tokens, API keys, guests, sessions
//! and origins are judged here, for every transport alike.
//!
//! Pure: the time is passed in, no token leads to an outbound call, and no token or key is ever shown.

mod api_keys;
mod claims;
mod credentials;
mod error;
mod keys;
mod mint;
mod origins;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use roomcast_protocol::{Grants, SessionId, Timestamp, UserId};
use roomcast_session::{Identity, Principal};
use sha2::{Digest, Sha256};

pub use self::{
    api_keys::ApiKeys,
    claims::{Requirements, Verified},
    credentials::{Credentials, Place, Presented, SESSION_HEADER, session},
    error::{AuthError, SetupError},
    keys::{Algorithm, Key, Keys},
    mint::Signer,
    origins::Origins,
};

/// What guests are named, before the part that is made from their session.
const GUEST_PREFIX: &str = "guest_";
/// Characters of a guest's name that are made from the session: 50 bits.
const GUEST_CHARACTERS: usize = 10;

/// Judges credentials. Made once from the configuration.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// What verifies tokens. Empty in `dev`.
    pub keys: Keys,
    /// What tokens must say.
    pub requirements: Requirements,
    /// The keys of back ends.
    pub api_keys: ApiKeys,
    /// What the rules give every user whose token has no `rooms` claim.
    pub users: Arc<Grants>,
    /// What the rules give those without a token.
    pub anonymous: Arc<Grants>,
    /// What an API key gives: everything.
    pub backend: Arc<Grants>,
    /// Whether a guest may choose a name with `?user=`; for `dev`.
    pub named_guests: bool,
    /// Bytes of a token, at most.
    pub token_bytes_max: usize,
}

impl Default for Authenticator {
    /// Lets nobody in.
    fn default() -> Self {
        let nobody = Arc::new(Grants::Rules(Vec::new()));
        Self {
            keys: Keys::default(),
            requirements: Requirements::default(),
            api_keys: ApiKeys::default(),
            users: nobody.clone(),
            anonymous: nobody,
            backend: Arc::new(Grants::all()),
            named_guests: false,
            token_bytes_max: 8 * 1024,
        }
    }
}

impl Authenticator {
    /// Says who is behind these credentials, or why they are not taken.
    ///
    /// A token counts before a name, and a token that is refused never makes a guest.
    pub fn identify(
        &self,
        credentials: &Credentials,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Identity, AuthError> {
        match &credentials.token {
            Some((place, key)) if key.starts_with(api_keys::PREFIX) => self.backend_of(*place, key, session),
            Some((_, token)) => self.verify(token, now).map(|verified| user(verified, session)),
            None => self.guest(credentials.name.as_deref(), session),
        }
    }

    /// Checks a token: its signature, then its claims. For `auth` on an open connection as well.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, AuthError> {
        if token.len() > self.token_bytes_max {
            return Err(AuthError::unauthorized(format!(
                "the token has {} bytes; {} are the most, so put less into its claims",
                token.len(),
                self.token_bytes_max
            )));
        }
        self.requirements.read(&self.keys.open(token)?, &self.users, now)
    }

    /// Says who a token that comes in place, on an open connection, is from.
    pub fn reauthenticate(
        &self,
        token: &str,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Identity, AuthError> {
        self.verify(token, now).map(|verified| user(verified, session))
    }

    fn backend_of(&self, place: Place, key: &str, session: &SessionId) -> Result<Identity, AuthError> {
        if place != Place::Header {
            return Err(AuthError::unauthorized(
                "an API key came in a URL or cookie; send it as \"Authorization: Bearer rk_…\"",
            ));
        }
        let user = self.api_keys.find(key).ok_or_else(|| {
            AuthError::unauthorized("the API key is none of auth.api_keys; check it, or add it there")
        })?;
        Ok(self.endless(user.clone(), Principal::Backend, session))
    }

    fn guest(&self, name: Option<&str>, session: &SessionId) -> Result<Identity, AuthError> {
        if !self.anonymous.any() {
            return Err(AuthError::unauthorized(
                "there is no token, and no rule lets guests in; send ?token= or \"Authorization: Bearer\"",
            ));
        }
        let user = match name.filter(|_| self.named_guests) {
            Some(name) => UserId::new(name).map_err(|_| {
                AuthError::unauthorized(format!(
                    "the name in ?user= is not 1-{} bytes without control characters",
                    UserId::BYTES_MAX
                ))
            })?,
            None => guest_name(session),
        };
        Ok(self.endless(user, Principal::User, session))
    }

    fn endless(&self, user: UserId, principal: Principal, session: &SessionId) -> Identity {
        let grants = match principal {
            Principal::User => &self.anonymous,
            Principal::Backend => &self.backend,
        };
        let (session, grants) = (session.clone(), Arc::clone(grants));
        Identity { user, principal, session, grants, info: None, expires_at: None }
    }
}

fn user(verified: Verified, session: &SessionId) -> Identity {
    Identity {
        user: verified.user,
        principal: Principal::User,
        session: session.clone(),
        grants: verified.grants,
        info: verified.info,
        expires_at: verified.expires_at,
    }
}

/// The same name for the same session, after a restart and on every node; it doesn't lead back to the session.
fn guest_name(session: &SessionId) -> UserId {
    const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest: [u8; 32] = Sha256::digest(session.as_bytes()).into();
    let bits = digest[..8].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let character = |i: usize| char::from(BASE32[(bits >> (59 - 5 * i)) as usize & 31]);
    let mut name = String::from(GUEST_PREFIX);
    name.extend((0..GUEST_CHARACTERS).map(character));
    UserId::new(&name).expect("letters and digits are a user id")
}
