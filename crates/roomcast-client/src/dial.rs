//! The way to a server: TCP, with TLS where the address has it. What is spoken on it is not its business.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{address::Address, builder::SetupError};

/// Opens connections to one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialer").field(&self.address).finish()
    }
}

impl Dialer {
    /// Trusts whom the system trusts, and these certificates (PEM).
    pub(crate) fn new(address: Address, roots: &[Vec<u8>]) -> Result<Self, SetupError> {
        if !address.is_secure() {
            return Ok(Self { address, tls: None });
        }
        let (host, _) = address.host_and_port();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            SetupError::Tls(format!("no certificate can name the host {host:?}: {error}"))
        })?;
        Ok(Self { tls: Some((connector(roots)?, name)), address })
    }

    /// Connects. The error is for a person.
    pub(crate) async fn dial(&self) -> Result<Socket, String> {
        let to = self.address.authority();
        let unreachable = |error: io::Error| format!("can't connect to {to}: {error}");
        let stream = TcpStream::connect(self.address.host_and_port()).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some((connector, name)) = &self.tls else { return Ok(Socket::Plain(stream)) };
        let secured = connector.connect(name.clone(), stream).await;
        secured
            .map(|stream| Socket::Tls(Box::new(stream)))
            .map_err(|error| format!("no TLS with {to}: {error}"))
    }
}

fn connector(roots: &[Vec<u8>]) -> Result<TlsConnector, SetupError> {
    let unusable = |error: rustls::Error| SetupError::Tls(error.to_string());
    let mut extra = Vec::new();
    for pem in roots {
        for root in CertificateDer::pem_slice_iter(pem) {
            extra.push(
                root.map_err(|error| SetupError::Tls(format!("a root certificate is no PEM: {error}")))?,
            );
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone()).map_err(unusable)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // A WebSocket needs it, and requests are few.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
