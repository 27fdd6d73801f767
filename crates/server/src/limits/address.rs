//! Where a request comes from, also when a reverse proxy passes it on.

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ibid_settings::{choice, settings};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The header field in which proxies name the client. One of them and not the other: a proxy that writes the one passes
/// the other on as the client sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// `X-Forwarded-For: client, proxy`
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239)
    Forwarded,
}

choice!(Forwarding { "x-forwarded-for" => XForwardedFor, "forwarded" => Forwarded });

settings! {
    /// Reverse proxies that are believed.
    pub struct Proxies {
        keys {
            /// Addresses or networks ("10.0.0.0/8") of reverse proxies, which are believed when they say in a header field whose request
            /// they pass on.
            "server.trusted_proxies" => trusted: Vec<IpNet> = Vec::new(),
            /// The header field in which trusted proxies name the client. Only this one is read: a proxy passes the other on as the
            /// client wrote it.
            "server.forwarded_header" => forwarding: Forwarding = Forwarding::XForwardedFor,
        }
    }
}

impl Proxies {
    /// Whether what comes from this address is a proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The client of a request that `peer` sent: `peer`, or, if that is a trusted proxy, whom it names. Names are read
    /// from the last one, which the nearest proxy wrote, to the first that is no trusted proxy's; what stands before
    /// that anyone may have written. A name that is no address ends it, at the proxy that gave it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let values = match self.forwarding {
            Forwarding::XForwardedFor => headers.get_all(X_FORWARDED_FOR),
            Forwarding::Forwarded => headers.get_all(FORWARDED),
        };
        let values: Vec<&str> = values.iter().map(|value| value.to_str().unwrap_or_default()).collect();
        for element in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            let name = match self.forwarding {
                Forwarding::XForwardedFor => Some(element),
                Forwarding::Forwarded => forwarded_for(element),
            };
            let Some(address) = name.and_then(parse) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// The value of `for` in an element of `Forwarded`. (A comma in a quoted value would break an element in two; addresses
/// have none.)
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse(name: &str) -> Option<IpAddr> {
    let name = name.trim();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| name.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn proxies(forwarding: Forwarding) -> Proxies {
        Proxies {
            trusted: vec!["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")],
            forwarding,
        }
    }

    fn client(forwarding: Forwarding, peer: &str, values: &[&str]) -> String {
        let name = match forwarding {
            Forwarding::XForwardedFor => X_FORWARDED_FOR,
            Forwarding::Forwarded => FORWARDED,
        };
        let headers = values
            .iter()
            .map(|value| (name.clone(), HeaderValue::from_str(value).expect("a value")))
            .collect();
        proxies(forwarding).client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_proxies_are_believed_and_only_from_the_right() {
        let seen = |peer, values: &[&str]| client(Forwarding::XForwardedFor, peer, values);
        assert_eq!(seen("203.0.113.9", &["198.51.100.7"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        // The client wrote the first one itself.
        assert_eq!(seen("10.0.0.1", &["127.0.0.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1", "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["10.9.9.9, 10.0.0.2"]), "10.9.9.9");
        assert_eq!(seen("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen("fd00::1", &["[2001:db8::17]:80"]), "2001:db8::17");
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_shows_it() {
        let seen = |values: &[&str]| client(Forwarding::Forwarded, "10.0.0.1", values);
        assert_eq!(seen(&["for=192.0.2.60;proto=http;by=203.0.113.43"]), "192.0.2.60");
        assert_eq!(seen(&["For=\"[2001:db8:cafe::17]:4711\""]), "2001:db8:cafe::17");
        assert_eq!(
            seen(&["for=192.0.2.43, for=198.51.100.17;by=10.0.0.3, for=10.0.0.2"]),
            "198.51.100.17"
        );
        assert_eq!(seen(&["for=_hidden"]), "10.0.0.1");
        assert_eq!(seen(&["proto=https"]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn no_header_panics_or_makes_a_trusted_client_of_a_stranger(text in "[ -~]{0,60}", forwarded in any::<bool>()) {
            let forwarding = if forwarded { Forwarding::Forwarded } else { Forwarding::XForwardedFor };
            prop_assert_eq!(client(forwarding, "203.0.113.9", &[&text]), "203.0.113.9");
            client(forwarding, "10.0.0.1", &[&text]);
        }
    }
}
