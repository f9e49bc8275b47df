//! Opens the sockets to listen on, both address families on one port where both are wanted. Accepts nothing.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use roomcast_server::Listeners;
use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::Failure;

/// Connections that the kernel keeps while we are not accepting.
const BACKLOG: i32 = 4_096;

/// Bytes that the kernel is asked to keep for a UDP socket.
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How often a port that is free in one family may be taken in the other before we give up.
const PORT_TRIES: usize = 16;

/// Sockets that listen, and what they lack.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Ready to accept; never without one for TCP.
    pub(crate) sockets: Listeners,
    /// Where they listen, in the order asked for.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Families that were left out because this machine lacks them: `IPv6`.
    pub(crate) without: Vec<&'static str>,
}

impl Listening {
    /// The first address, for a browser or a command.
    pub(crate) fn url(&self, scheme: &str) -> String {
        self.addresses.first().map(|address| format!("{scheme}://{address}")).unwrap_or_default()
    }

    /// `http://127.0.0.1:8000 (also http://[::1]:8000)`, and what is lacking.
    pub(crate) fn describe(&self, scheme: &str) -> String {
        let also = self.addresses.iter().skip(1).map(|address| format!("also {scheme}://{address}"));
        let without = self.without.iter().map(|family| format!("no {family} on this machine"));
        let remarks: Vec<_> = also.chain(without).collect();
        let url = self.url(scheme);
        if remarks.is_empty() { url } else { format!("{url} ({})", remarks.join(", ")) }
    }
}

/// Both loopback addresses on one port; 0 lets the system choose.
pub(crate) fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// What `--listen` takes: addresses with a port, separated by commas; `localhost:PORT` is both loopbacks.
pub(crate) fn flag_value(text: &str) -> Result<String, String> {
    let expand = |address: &str| match address.strip_prefix("localhost:") {
        Some(port) => Ok(format!("127.0.0.1:{port},[::1]:{port}")),
        None => address.parse().map(|address: SocketAddr| address.to_string()).map_err(|_| hint(address)),
    };
    text.split(',')
        .map(str::trim)
        .map(expand)
        .collect::<Result<Vec<_>, _>>()
        .map(|addresses| addresses.join(","))
}

fn hint(address: &str) -> String {
    let example = address
        .trim_start_matches(':')
        .parse::<u16>()
        .map_or("127.0.0.1:8000".into(), |port| format!("127.0.0.1:{port}"));
    format!("write an address and a port, like {example}")
}

/// What to listen for, and what may be missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// An address whose family this machine lacks is left out.
    pub(crate) families_optional: bool,
    /// QUIC too, on the UDP ports of the same numbers.
    pub(crate) quic: bool,
}

/// Listens on all of `addresses`. Addresses with port 0 all get one port, the same.
pub(crate) fn bind(addresses: &[SocketAddr], wanted: Wanted) -> Result<Listening, Failure> {
    for _ in 1..PORT_TRIES {
        match try_bind(addresses, wanted) {
            Err(fault) if fault.is_taken() && addresses.iter().all(|address| address.port() == 0) => {}
            outcome => return outcome.map_err(Fault::explain),
        }
    }
    try_bind(addresses, wanted).map_err(Fault::explain)
}

fn try_bind(addresses: &[SocketAddr], wanted: Wanted) -> Result<Listening, Fault> {
    let mut listening =
        Listening { sockets: Listeners::default(), addresses: Vec::new(), without: Vec::new() };
    let mut missing = None;
    for &address in addresses {
        let shared = listening.addresses.first().map(SocketAddr::port).filter(|_| address.port() == 0);
        let address = SocketAddr::new(address.ip(), shared.unwrap_or(address.port()));
        match bind_tcp(address) {
            Ok((socket, bound)) => {
                listening.sockets.tcp.push(socket);
                listening.addresses.push(bound);
                if wanted.quic {
                    listening.sockets.udp.push(bind_udp(bound)?);
                }
            }
            Err(fault) if wanted.families_optional && fault.is_missing_family() => {
                listening.without.push(if address.is_ipv6() { "IPv6" } else { "IPv4" });
                missing = Some(fault);
            }
            Err(fault) => return Err(fault),
        }
    }
    match missing {
        Some(fault) if listening.sockets.tcp.is_empty() => Err(fault),
        _ => Ok(listening),
    }
}

fn bind_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Fault> {
    let fault = |step| move |error| Fault { address, protocol: "TCP", step, error };
    let socket = open(address, (Type::STREAM, Protocol::TCP)).map_err(fault(Step::Open))?;
    let ready = || {
        // A restart must not wait for the connections of the last run to fade away.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        bind_one(&socket, address)
    };
    ready().map_err(fault(Step::Bind))?;
    socket.listen(BACKLOG).map_err(fault(Step::Bind))?;
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr().map_err(fault(Step::Bind))?;
    Ok((listener, bound))
}

fn bind_udp(address: SocketAddr) -> Result<UdpSocket, Fault> {
    let fault = |step| move |error| Fault { address, protocol: "UDP", step, error };
    let socket = open(address, (Type::DGRAM, Protocol::UDP)).map_err(fault(Step::Open))?;
    bind_one(&socket, address).map_err(fault(Step::Bind))?;
    // All sessions share it, so it must hold a burst of them. The system may give less.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
    Ok(socket.into())
}

fn open(address: SocketAddr, (kind, protocol): (Type, Protocol)) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), kind, Some(protocol))
}

fn bind_one(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Bind,
}

struct Fault {
    address: SocketAddr,
    protocol: &'static str,
    step: Step,
    error: io::Error,
}

impl Fault {
    fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }

    /// A kernel without the family refuses the socket; one that has it switched off refuses its addresses.
    fn is_missing_family(&self) -> bool {
        self.step == Step::Open || self.error.kind() == io::ErrorKind::AddrNotAvailable
    }

    fn explain(self) -> Failure {
        let Self { address, protocol, error, .. } = &self;
        let other = SocketAddr::new(address.ip(), if address.port() == 8000 { 8001 } else { 0 });
        match error.kind() {
            io::ErrorKind::AddrInUse => Failure::with_help(
                format!(
                    "{protocol} port {} is in use on {}: perhaps another Roomcast still runs there",
                    address.port(),
                    address.ip()
                ),
                match *protocol {
                    "UDP" => format!(
                        "stop it, listen elsewhere with --listen {other}, or do without WebTransport: server.webtransport = false"
                    ),
                    _ => format!("stop it, or listen elsewhere with --listen {other}"),
                },
            ),
            io::ErrorKind::PermissionDenied => Failure::with_help(
                format!("not allowed to listen on {address}: ports below 1024 need a privilege"),
                "use a higher port and a reverse proxy, or grant CAP_NET_BIND_SERVICE",
            ),
            io::ErrorKind::AddrNotAvailable => Failure::with_help(
                format!("can't listen on {address}: no interface of this machine has that address"),
                "0.0.0.0 and [::] stand for all addresses of this machine",
            ),
            _ => Failure::said(format!("can't listen on {address}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Wanted = Wanted { families_optional: false, quic: false };

    #[test]
    fn addresses_with_port_0_get_one_port() {
        let listening = bind(&loopback(0), Wanted { families_optional: true, quic: true }).unwrap();
        let of_udp = listening.sockets.udp.iter().map(|socket| socket.local_addr().unwrap());
        let ports: Vec<_> =
            listening.addresses.iter().copied().chain(of_udp).map(|address| address.port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
        assert_eq!(listening.sockets.tcp.len() + listening.without.len(), 2);
        assert_eq!(listening.sockets.udp.len(), listening.sockets.tcp.len());
    }

    #[test]
    fn a_taken_port_is_named_with_a_way_out() {
        let refusal = |addresses: &[SocketAddr], quic| match bind(addresses, Wanted { quic, ..TCP }) {
            Err(Failure::Said { message, help: Some(help) }) => (message, help),
            other => panic!("bound twice: {other:?}"),
        };
        let mut first = bind(&loopback(0)[..1], Wanted { quic: true, ..TCP }).unwrap();
        let port = first.addresses[0].port();
        let (message, help) = refusal(&first.addresses, true);
        assert!(message.starts_with(&format!("TCP port {port} is in use")), "{message}");
        assert!(help.contains("--listen 127.0.0.1:"));
        first.sockets.tcp.clear();
        let (message, help) = refusal(&first.addresses, true);
        assert!(message.starts_with(&format!("UDP port {port} is in use")), "{message}");
        assert!(help.contains("server.webtransport = false"));
        assert!(bind(&first.addresses, TCP).is_ok(), "without QUIC nothing is in the way");
    }

    #[test]
    fn what_the_flag_takes() {
        let check = |text: &str, expected: Result<&str, &str>| {
            assert_eq!(flag_value(text), expected.map(String::from).map_err(String::from), "{text}");
        };
        check("127.0.0.1:80", Ok("127.0.0.1:80"));
        check("localhost:0", Ok("127.0.0.1:0,[::1]:0"));
        check("0.0.0.0:1, [::]:1", Ok("0.0.0.0:1,[::]:1"));
        check(":9000", Err("write an address and a port, like 127.0.0.1:9000"));
        check("example.com:1", Err("write an address and a port, like 127.0.0.1:8000"));
    }
}
