//! Where a request comes from when proxies stand in front. Believes `Forwarded` and `X-Forwarded-For` only as far as
//! each hop was added by a proxy that is trusted; decides nothing about who somebody is.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network whose machines are believed when they say for whom they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| {
            format!("\"{text}\" is neither an address nor a network, like \"10.0.0.7\", \"10.0.0.0/8\" or \"fd00::/8\"")
        })
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address of whoever asks, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(IpAddr);

impl Client {
    /// From the nearest hop outwards, for as long as the hop is trusted: what lies beyond a stranger is its own tale.
    pub(crate) fn of(proxies: &[TrustedProxy], peer: IpAddr, headers: &HeaderMap) -> Self {
        let trusted = |address: IpAddr| proxies.iter().any(|proxy| proxy.0.contains(&address));
        let mut client = peer.to_canonical();
        let mut hops = hops(headers);
        while trusted(client)
            && let Some(hop) = hops.pop().and_then(address)
        {
            client = hop.to_canonical();
        }
        Self(client)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hops told, the nearest last. A proxy adds to one of the two headers and may pass the other on as its client
/// sent it, so where there are both, neither is believed.
fn hops(headers: &HeaderMap) -> Vec<&str> {
    let values = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    match (headers.contains_key(header::FORWARDED), headers.contains_key(X_FORWARDED_FOR)) {
        (true, false) => values(header::FORWARDED).flat_map(|value| value.split(',')).map(for_of).collect(),
        (false, true) => values(X_FORWARDED_FOR).flat_map(|value| value.split(',')).collect(),
        _ => Vec::new(),
    }
}

/// The `for` of one element of `Forwarded` (RFC 7239).
fn for_of(element: &str) -> &str {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).map_or("", |(_, value)| value)
}

/// An address with or without port, quotes and brackets; `None` for `unknown` and hidden names.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim().trim_matches('"');
    let unbracketed = bare.trim_start_matches('[').trim_end_matches(']');
    unbracketed.parse().ok().or_else(|| bare.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose a request from `peer` is, where `10.0.0.0/8` and `::1` are trusted.
    fn check(peer: &str, headers: &[(&str, &str)], expected: &str) {
        let proxies = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = headers.collect::<Vec<(HeaderName, _)>>().into_iter().collect();
        let found = Client::of(&proxies, peer.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), expected, "{peer} {headers:?}");
    }

    #[test]
    fn only_a_trusted_hop_is_believed() {
        let told = |value| [("x-forwarded-for", value)];
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &told("198.51.100.1"), "203.0.113.9");
        check("10.0.0.1", &told("198.51.100.1"), "198.51.100.1");
        check("::ffff:10.0.0.1", &told("198.51.100.1"), "198.51.100.1");
        check("::1", &told("2001:db8::7"), "2001:db8::7");
        check("10.0.0.1", &told("6.6.6.6, 198.51.100.1"), "198.51.100.1");
        check("10.0.0.1", &told("6.6.6.6, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        check("10.0.0.1", &told("10.0.0.3, 10.0.0.2"), "10.0.0.3");
        check("10.0.0.1", &told("6.6.6.6, unknown"), "10.0.0.1");
        check("10.0.0.1", &told("198.51.100.1:4711"), "198.51.100.1");
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.1")],
            "198.51.100.1",
        );
    }

    #[test]
    fn the_standard_header_says_the_same() {
        let told = |value| [("forwarded", value)];
        check("203.0.113.9", &told("for=198.51.100.1"), "203.0.113.9");
        check("10.0.0.1", &told("for=6.6.6.6, for=198.51.100.1;proto=https"), "198.51.100.1");
        check("10.0.0.1", &told("proto=https;For=\"[2001:db8::7]:4711\""), "2001:db8::7");
        check("10.0.0.1", &told("for=_hidden"), "10.0.0.1");
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "198.51.100.1")];
        check("10.0.0.1", &both, "10.0.0.1");
    }

    #[test]
    fn a_network_or_an_address() {
        let parse = |text: &str| text.parse::<TrustedProxy>();
        assert_eq!(parse("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
        assert!(parse("10.0.0.0/33").unwrap_err().contains("10.0.0.0/33"));
        assert!(parse("proxy.example.com").is_err());
    }
}
