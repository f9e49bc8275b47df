//! The keys that tokens are verified with, and the check of a signature (RFC 7515). Each key has one algorithm,
//! fixed by the configuration. Of a token's header only `alg` and `kid` are read: neither names a key that is
//! not configured, and nothing in it (`jwk`, `jku`, `x5u`) is ever followed.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto};
use serde::Deserialize;

use super::error::{AuthError, SetupError, shown};

/// Shortest secret of an HMAC key, in bytes: beyond guessing for every algorithm of the family.
const SECRET_BYTES_MIN: usize = 32;
/// Shortest modulus of an RSA key, in bytes: 2048 bits (RFC 7518 section 3.3).
const RSA_BYTES_MIN: usize = 256;
/// An uncompressed point on P-256.
const P256_POINT_BYTES: usize = 65;
/// A public key of Ed25519.
const ED25519_KEY_BYTES: usize = 32;

/// A signature algorithm of tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 6] = [Self::Hs256, Self::Hs384, Self::Hs512, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether one shared secret both signs and verifies.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    pub(super) const fn signature(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl FromStr for Algorithm {
    type Err = SetupError;

    fn from_str(name: &str) -> Result<Self, SetupError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            SetupError(format!(
                "{} is no algorithm for tokens; take HS256, HS384, HS512, RS256, ES256 or EdDSA",
                shown(name)
            ))
        })
    }
}

/// One key that verifies tokens.
#[derive(Clone)]
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: DecodingKey,
}

impl Key {
    /// A shared secret: its UTF-8 bytes as they are, 32 or more.
    pub fn secret(algorithm: Algorithm, secret: &str) -> Result<Self, SetupError> {
        if !algorithm.is_symmetric() {
            let message = format!("{} takes a public key in PEM, not a secret", algorithm.name());
            return Err(SetupError(message));
        }
        if secret.contains("-----BEGIN") {
            return Err(SetupError(format!(
                "the secret for {} is a PEM file: whoever has the public key could sign with it; name RS256, \
                 ES256 or EdDSA as its algorithm",
                algorithm.name()
            )));
        }
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SetupError(format!(
                "the secret has {} bytes, and {SECRET_BYTES_MIN} are the least; make one with `openssl rand \
                 -base64 48`",
                secret.len()
            )));
        }
        Ok(Self { id: None, algorithm, material: DecodingKey::from_secret(secret.as_bytes()) })
    }

    /// A public key as PEM: `PUBLIC KEY` (RFC 5280), for RS256 also `RSA PUBLIC KEY`.
    pub fn public(algorithm: Algorithm, pem: &str) -> Result<Self, SetupError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(SetupError(
                "this is a private key, which the server must not have; give it the public one (`openssl pkey \
                 -in private.pem -pubout`)"
                    .into(),
            ));
        }
        let material = public_material(algorithm, pem).ok_or_else(|| {
            SetupError(format!(
                "this is no public key for {} in PEM (RS256: RSA of 2048 bits or more; ES256: P-256; EdDSA: \
                 Ed25519)",
                algorithm.name()
            ))
        })?;
        Ok(Self { id: None, algorithm, material })
    }

    /// The same key with a name, for the `kid` of tokens.
    #[must_use]
    pub fn named(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.algorithm.name(), self.id.as_deref().unwrap_or("without a name"))
    }
}

/// Reads a public key and checks that it is one of the algorithm's kind and size.
fn public_material(algorithm: Algorithm, pem: &str) -> Option<DecodingKey> {
    let pem = pem.as_bytes();
    match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
        Algorithm::Rs256 => {
            let key = DecodingKey::from_rsa_pem(pem).ok()?;
            let parts = crypto::aws_lc::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
            let (modulus, _) = parts(key.try_get_as_bytes().ok()?).ok()?;
            (modulus.len() >= RSA_BYTES_MIN).then_some(key)
        }
        Algorithm::Es256 => {
            let key = DecodingKey::from_ec_pem(pem).ok()?;
            (key.try_get_as_bytes().ok()?.len() == P256_POINT_BYTES).then_some(key)
        }
        Algorithm::EdDsa => {
            let key = DecodingKey::from_ed_pem(pem).ok()?;
            (key.try_get_as_bytes().ok()?.len() == ED25519_KEY_BYTES).then_some(key)
        }
    }
}

/// Every key that a token may be signed with.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

/// What is read of a token's header.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl Keys {
    /// These keys; no two may have one name.
    pub fn new(keys: Vec<Key>) -> Result<Self, SetupError> {
        for (i, key) in keys.iter().enumerate() {
            let twin = keys[i + 1..].iter().any(|other| other.id.is_some() && other.id == key.id);
            if let (true, Some(id)) = (twin, &key.id) {
                return Err(SetupError(format!("two keys are named {id:?}; give each a name of its own")));
            }
        }
        Ok(Self(keys))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the signature of a token and gives its claims, as JSON that nobody has read yet.
    pub(super) fn open(&self, token: &str) -> Result<Vec<u8>, AuthError> {
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [header, payload, signature] = parts[..] else { return Err(malformed()) };
        let signed = &token[..header.len() + 1 + payload.len()];
        let header: Header = object(&decoded(header)?).map_err(|_| malformed())?;
        if header.crit.is_some() {
            return Err(AuthError::unauthorized(
                "the token's header asks for an extension (crit); leave it out",
            ));
        }
        let keys = self.candidates(&header)?;
        let matches = |key: &&Key| {
            let algorithm = key.algorithm.signature();
            crypto::verify(signature, signed.as_bytes(), &key.material, algorithm).unwrap_or(false)
        };
        match keys.iter().find(|key| matches(key)) {
            Some(_) => decoded(payload),
            None => Err(AuthError::unauthorized(format!(
                "the signature matches no configured key{}; sign with the server's secret or key",
                named(&header)
            ))),
        }
    }

    /// The keys that the token may be signed with: the one its `kid` names and no other; without a `kid` all.
    /// Only keys of the header's algorithm can match.
    fn candidates(&self, header: &Header) -> Result<Vec<&Key>, AuthError> {
        if self.is_empty() {
            return Err(AuthError::unauthorized(
                "this server verifies no tokens; leave the token out or set [auth] secret",
            ));
        }
        let mut keys: Vec<&Key> = self.0.iter().collect();
        if let Some(kid) = header.kid.as_deref() {
            keys.retain(|key| key.id.as_deref() == Some(kid));
            if keys.is_empty() {
                return Err(AuthError::unauthorized(format!(
                    "no key in auth.keys is named {}, as the token's kid is; leave kid out or add it",
                    shown(kid)
                )));
            }
        }
        keys.retain(|key| key.algorithm.name() == header.alg);
        if keys.is_empty() {
            return Err(AuthError::unauthorized(format!(
                "no configured key{} is for the token's algorithm {}; sign with the one configured",
                named(header),
                shown(&header.alg)
            )));
        }
        Ok(keys)
    }
}

fn named(header: &Header) -> String {
    header.kid.as_deref().map_or_else(String::new, |kid| format!(" (kid {})", shown(kid)))
}

fn malformed() -> AuthError {
    AuthError::unauthorized("the token is no signed JWT (three base64url parts); send it as it was minted")
}

/// Reads an object. (Serde would take a list of the fields' values as well.)
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    match json.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(json),
        _ => Err(serde::de::Error::custom("it begins with no {")),
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())
}
