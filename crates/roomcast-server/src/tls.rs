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

/// What is spoken inside, the favourite first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate can't be used.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

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
