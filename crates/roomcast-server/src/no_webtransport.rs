//! What stands in for WebTransport in a build without it: nothing, and it says so to whoever wants it.

use std::{io, net::UdpSocket, sync::Arc};

use tokio::{sync::watch, task::JoinSet};

use crate::{app::App, server::Doors};

/// Refuses to listen for QUIC.
pub(crate) fn listen(
    sockets: Vec<UdpSocket>,
    _: (&Arc<App>, &Arc<Doors>, &watch::Receiver<()>),
    _: &mut JoinSet<()>,
) -> io::Result<()> {
    match sockets.into_iter().next() {
        None => Ok(()),
        Some(_) => Err(io::Error::other("this server was built without the feature `webtransport`")),
    }
}
