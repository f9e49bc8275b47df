//! A certificate that nobody had to ask for: the server makes it, and tells its hash. A browser takes such a one for
//! WebTransport if it is an ECDSA key on P-256 that is valid for two weeks at the most (W3C WebTransport, section
//! "custom certificate requirements"), so it is made anew in time. For `dev`.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair};
use sha2::{Digest as _, Sha256};

use crate::tls::{Known, Pin, Tls, TlsError};

/// For how long one is shown.
const SHOWN_FOR: Duration = Duration::from_secs(6 * 24 * 3600);
/// For how long it is valid: whoever connects may have asked for its hash a while ago.
const VALID_FOR: Duration = Duration::from_secs(13 * 24 * 3600);
/// How far a client's clock may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// A certificate, exchanged before it expires.
#[derive(Clone, Debug)]
pub struct ShortLived {
    tls: Tls,
    pin: Pin,
}

impl ShortLived {
    /// Makes one for this machine.
    pub fn new() -> Result<Self, TlsError> {
        let (certificate, key, known) = make()?;
        Ok(Self { tls: Tls::new(certificate.as_bytes(), key.as_bytes())?, pin: Pin::to(known) })
    }

    /// What shows it.
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// What clients must know of the one that is shown.
    pub fn pin(&self) -> Pin {
        self.pin.clone()
    }

    /// Shows another one whenever it is time, for ever.
    pub async fn keep_fresh(self) {
        loop {
            tokio::time::sleep(SHOWN_FOR).await;
            match self.renew() {
                Ok(()) => tracing::info!("shows a new certificate for WebTransport"),
                Err(error) => {
                    tracing::error!(%error, "no new certificate for WebTransport; the old one stays");
                }
            }
        }
    }

    fn renew(&self) -> Result<(), TlsError> {
        let (certificate, key, known) = make()?;
        self.tls.reload(certificate.as_bytes(), key.as_bytes())?;
        self.pin.renew(known);
        Ok(())
    }
}

/// A new certificate and its key as PEM, and what to tell of it.
fn make() -> Result<(String, String, Known), TlsError> {
    let now = SystemTime::now();
    let not_after = now + VALID_FOR;
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let made = || {
        let mut certificate = CertificateParams::new(names)?;
        certificate.distinguished_name.push(DnType::CommonName, "Roomcast dev");
        (certificate.not_before, certificate.not_after) = ((now - CLOCK_SKEW).into(), not_after.into());
        let key = KeyPair::generate()?;
        Ok((certificate.self_signed(&key)?, key))
    };
    let (certificate, key) = made()
        .map_err(|error: rcgen::Error| TlsError::new(format!("no certificate can be made: {error}")))?;
    let known = Known {
        hash: URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.der())),
        not_after: not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    Ok((certificate.pem(), key.serialize_pem(), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_takes_it_and_the_next_one_is_another() {
        assert!(CLOCK_SKEW + VALID_FOR <= Duration::from_secs(14 * 24 * 3600));
        let certificate = ShortLived::new().unwrap();
        let first = certificate.pin().known();
        certificate.renew().unwrap();
        assert_ne!(first.hash, certificate.pin().known().hash);
        assert_eq!(URL_SAFE_NO_PAD.decode(first.hash).unwrap().len(), 32);
    }
}
