//! The way to a server: TCP, with TLS where the address has it. What is spoken on it is not its business.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{address::Address, builder::SetupError};

/// How long an address of a name is tried before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);

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
        let addresses = lookup_host(self.address.host_and_port()).await.map_err(unreachable)?;
        let stream = connect(in_turn(addresses)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some((connector, name)) = &self.tls else { return Ok(Socket::Plain(stream)) };
        let secured = connector.connect(name.clone(), stream).await;
        secured
            .map(|stream| Socket::Tls(Box::new(stream)))
            .map_err(|error| format!("no TLS with {to}: {error}"))
    }
}

/// A name's addresses, those of IPv6 and of IPv4 in turn: where one of the two leads nowhere, the other comes soon.
fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = [0; 2];
    let rank = |address: SocketAddr| {
        let seen = &mut seen[usize::from(address.is_ipv6())];
        *seen += 1;
        (*seen, address)
    };
    let mut ranked: Vec<_> = addresses.map(rank).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// Connects to the address that answers first (RFC 8305). The next one is tried when those before have failed or had
/// their start.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let (mut addresses, mut tries) = (addresses.into_iter(), FuturesUnordered::new());
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        tries.extend(addresses.next().map(TcpStream::connect));
        let patience = if addresses.len() == 0 { Duration::MAX } else { HEAD_START };
        match timeout(patience, tries.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => failed = error,
            Ok(None) => return Err(failed),
            Err(_) => {}
        }
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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn families_take_turns() {
        let (a, b, c) = (address("[::1]:1"), address("[::2]:1"), address("1.2.3.4:1"));
        assert_eq!(in_turn([a, b, c].into_iter()), [a, c, b]);
        assert_eq!(in_turn([c, a, b].into_iter()), [c, a, b]);
        assert_eq!(in_turn([b, a].into_iter()), [b, a]);
    }

    /// An address that takes no connection and refuses none, as long as these are kept: its queue is full.
    #[cfg(target_os = "linux")]
    async fn hole(at: &str) -> io::Result<(SocketAddr, TcpListener, TcpStream)> {
        let at = address(at);
        let socket = if at.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
        socket.bind(at)?;
        let listener = socket.listen(0)?;
        let at = listener.local_addr()?;
        Ok((at, listener, TcpStream::connect(at).await?))
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_does_not_answer_holds_up_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let live = listener.local_addr().expect("its address");
        let mut dead = vec![hole("127.0.0.1:0").await.expect("a port")];
        // Where there is IPv6.
        dead.extend(hole("[::1]:0").await);
        for (dead, ..) in &dead {
            let connected = timeout(Duration::from_secs(20), connect(vec![*dead, live])).await;
            let connected = connected.expect("within the head start, and some").expect("a connection");
            assert_eq!(connected.peer_addr().expect("its address"), live);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_all_is_told() {
        let nobody = TcpSocket::new_v4().expect("a socket");
        nobody.bind(address("127.0.0.1:0")).expect("a port");
        let refusing = nobody.local_addr().expect("its address");
        let error = connect(vec![refusing, refusing]).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect(Vec::new()).await.is_err());
    }
}
