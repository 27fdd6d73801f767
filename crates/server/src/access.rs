//! Who may use a server that asks nobody who they are: decides by `Host` and `Origin` alone.
//!
//! Browsers let any page send requests to, and open sockets on, a loopback address. Without authentication the only
//! thing that tells such a page from the operator's own is its `Origin`; and a name that an attacker points at loopback
//! (DNS rebinding) is told by its `Host`. Both are closed by default. Clients that are no browsers send no `Origin`.

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};
use ibid_protocol::{ApiError, ErrorCode};
use std::net::{IpAddr, SocketAddr};

/// What is allowed beside the server's own origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessRules<'a> {
    /// Where the server listens.
    pub local: SocketAddr,
    /// Host names beside loopback ones and IP addresses.
    pub hosts: &'a [String],
    /// Origins beside the server's own.
    pub origins: &'a [String],
}

impl AccessRules<'_> {
    /// Refuses a request that is addressed to a name that is not this server's. Only on a loopback address, or where
    /// names are given: elsewhere the server cannot know what it is called.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(value) = headers.get(HOST) else { return Ok(()) };
        let authority = value.to_str().ok().and_then(Authority::parse);
        let known = match &authority {
            None => false,
            Some(authority) => {
                authority.is_loopback()
                    || authority.ip().is_some()
                    || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(authority.host))
                    || (!self.local.ip().is_loopback() && self.hosts.is_empty())
            }
        };
        if known {
            Ok(())
        } else {
            Err(ApiError::new(
                ErrorCode::AuthorizationFailed,
                "This server does not answer under that host name. Use localhost or an IP address, or add the name to the allowed hosts.",
            ))
        }
    }

    /// Refuses a request that a page of another origin makes.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(value) = origins.next() else { return Ok(()) };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let allowed = origins.next().is_none() && value.to_str().is_ok_and(|origin| self.allows(origin, host));
        if allowed {
            Ok(())
        } else {
            Err(ApiError::new(
                ErrorCode::AuthorizationFailed,
                "Pages of that origin may not use this server. Serve the page from this server, or add its origin to the allowed origins.",
            ))
        }
    }

    fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        if self
            .origins
            .iter()
            .any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
        {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let Some(page) = Authority::parse(authority) else { return false };
        let page_port = page.port.unwrap_or(default_port);
        // localhost, 127.0.0.1 and [::1] are one machine, but only this port of it is ours.
        if page.is_loopback() && page_port == self.local.port() {
            return true;
        }
        // A reverse proxy that ends TLS passes the page's own host on.
        host.and_then(Authority::parse)
            .is_some_and(|own| own.host.eq_ignore_ascii_case(page.host) && own.port.unwrap_or(default_port) == page_port)
    }
}

/// `host[:port]`, the host of an IPv6 address without its brackets.
#[derive(Debug, PartialEq, Eq)]
struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if rest.is_empty() => None,
            _ => return None,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        (!host.is_empty() && host.bytes().all(plain)).then_some(Self { host, port })
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.ip().is_some_and(|ip| ip.to_canonical().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn headers(host: Option<&str>, origin: Option<&str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        if let Some(host) = host {
            map.insert(HOST, HeaderValue::from_str(host).expect("host"));
        }
        if let Some(origin) = origin {
            map.insert(ORIGIN, HeaderValue::from_str(origin).expect("origin"));
        }
        map
    }

    fn loopback() -> AccessRules<'static> {
        AccessRules {
            local: "127.0.0.1:8000".parse().expect("address"),
            hosts: &[],
            origins: &[],
        }
    }

    #[test]
    fn origins() {
        let check = |host, origin| loopback().check_origin(&headers(Some(host), origin)).is_ok();
        assert!(check("localhost:8000", None));
        assert!(check("localhost:8000", Some("http://localhost:8000")));
        assert!(check("localhost:8000", Some("http://127.0.0.1:8000")));
        assert!(check("127.0.0.1:8000", Some("http://[::1]:8000")));
        assert!(check("docs.example.org", Some("https://docs.example.org")));
        assert!(check("docs.example.org:443", Some("https://DOCS.example.org")));
        for other in [
            "null",
            "",
            "http://localhost:3000",
            "http://localhost",
            "https://evil.example",
            "http://localhost:8000.evil.example",
            "file://",
            "http://evil@localhost:8000",
        ] {
            assert!(!check("localhost:8000", Some(other)), "{other}");
        }
        let mut twice = headers(Some("localhost:8000"), Some("http://localhost:8000"));
        twice.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(loopback().check_origin(&twice).is_err());
        let origins = ["https://app.example.org".to_owned()];
        let rules = AccessRules {
            origins: &origins,
            ..loopback()
        };
        assert!(
            rules
                .check_origin(&headers(Some("localhost:8000"), Some("https://app.example.org")))
                .is_ok()
        );
        assert!(
            rules
                .check_origin(&headers(Some("localhost:8000"), Some("http://app.example.org")))
                .is_err()
        );
    }

    #[test]
    fn hosts() {
        let check = |host: &str| loopback().check_host(&headers(Some(host), None)).is_ok();
        for own in [
            "localhost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "LOCALHOST",
            "localhost.",
            "ibid.localhost:8000",
            "192.168.1.5:8000",
        ] {
            assert!(check(own), "{own}");
        }
        for other in ["evil.example:8000", "localhost.evil.example", "", "localhost:x", "[::1", "a b"] {
            assert!(!check(other), "{other}");
        }
        assert!(loopback().check_host(&HeaderMap::new()).is_ok());
        let hosts = ["rag.example.org".to_owned()];
        assert!(
            AccessRules {
                hosts: &hosts,
                ..loopback()
            }
            .check_host(&headers(Some("rag.example.org"), None))
            .is_ok()
        );
        let remote = AccessRules {
            local: "0.0.0.0:8000".parse().expect("address"),
            ..loopback()
        };
        assert!(remote.check_host(&headers(Some("box.lan:8000"), None)).is_ok());
        assert!(
            AccessRules { hosts: &hosts, ..remote }
                .check_host(&headers(Some("box.lan:8000"), None))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(host in ".{0,40}", origin in ".{0,40}") {
            let _ = loopback().allows(&origin, Some(&host));
        }

        #[test]
        fn no_foreign_name_is_let_in(name in "[a-z]{1,8}\\.(example|test)", port in 1u16..) {
            let origin = format!("http://{name}:{port}");
            prop_assert!(!loopback().allows(&origin, Some("localhost:8000")));
        }
    }
}
