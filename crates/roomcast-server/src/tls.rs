//! TLS at the door: one certificate, which can be exchanged while the server runs. Reads no files.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;
#[cfg(feature = "webtransport")]
use web_transport_quinn::quinn::crypto::rustls::QuicServerConfig;

/// What is spoken inside, the favourite first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate can't be used.
#[derive(Debug)]
pub struct TlsError(String);

impl TlsError {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// What a client must know of a certificate that nobody vouches for.
#[derive(Clone, Debug)]
pub struct Pin(Arc<RwLock<Known>>);

#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// SHA-256 of its DER, base64url.
    pub(crate) hash: String,
    /// When it expires, in seconds since the Unix epoch.
    pub(crate) not_after: u64,
}

impl Pin {
    pub(crate) fn to(known: Known) -> Self {
        Self(Arc::new(RwLock::new(known)))
    }

    pub(crate) fn renew(&self, known: Known) {
        *self.0.write() = known;
    }

    /// What is to be known now.
    pub(crate) fn known(&self) -> Known {
        self.0.read().clone()
    }
}

/// A door with TLS.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// What handshakes show from now on.
#[derive(Debug)]
struct Certificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl Tls {
    /// Takes a certificate, with the chain that leads to it, and its key, both as PEM.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = certified(certificate, key, &provider)?;
        let certificate = Arc::new(Certificate(RwLock::new(Arc::new(certified))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(format!("TLS can't be set up: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = PROTOCOLS.map(Vec::from).to_vec();
        Ok(Self { acceptor: Arc::new(config).into(), certificate })
    }

    /// Shows another certificate from now on. Connections that stand go on; after an error the old one stays.
    pub fn reload(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let provider = aws_lc_rs::default_provider();
        *self.certificate.0.write() = Arc::new(certified(certificate, key, &provider)?);
        Ok(())
    }

    /// The same certificate for QUIC, on which HTTP/3 is spoken. Nothing is taken before the handshake is done
    /// (0-RTT): it could be sent again by anybody.
    #[cfg(feature = "webtransport")]
    pub(crate) fn quic(&self) -> Result<QuicServerConfig, TlsError> {
        let quic = |error: &dyn fmt::Display| TlsError(format!("QUIC can't be set up: {error}"));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| quic(&error))?
            .with_no_client_auth()
            .with_cert_resolver(self.certificate.clone());
        config.alpn_protocols = vec![web_transport_quinn::ALPN.into()];
        config.max_early_data_size = 0;
        config.try_into().map_err(|error| quic(&error))
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

fn certified(certificate: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError(format!("the certificate is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(TlsError("the certificate file holds no BEGIN CERTIFICATE".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| TlsError(format!("the key is no PEM of a private key: {error}")))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| TlsError(format!("certificate and key don't make a pair: {error}")))
}
