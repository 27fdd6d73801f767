//! How much each client may ask of the server: so many requests in a minute, so many things at a time.
//!
//! Rates are kept by `governor` (GCRA: what is not used adds up to a minute's worth). A client is its subject, and its address.

mod address;
mod count;
mod rate;

pub use address::{Forwarding, Proxies};
pub(super) use count::Counted;
pub(super) use rate::Standing;

use count::Counts;
use ibid_auth::Subject;
use ibid_protocol::{ApiError, ErrorCode};
use ibid_settings::settings;
use ibid_telemetry::catalogue::{self, limit};
use ipnet::IpNet;
use rate::Rate;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

settings! {
    /// What each client may ask: section `limits`. A rate or a number of 0 is no limit.
    pub struct LimitSettings {
        keys {
            /// Addresses or networks that no limit by address holds for. A reverse proxy on this machine belongs into
            /// server.trusted_proxies, else all that it passes on is exempt.
            "limits.exempt_addresses" [live()] => exempt: Vec<IpNet> = loopback(),
            /// Requests of one subject in a minute, beside queries and uploads; what is not used adds up to a minute's worth. 0: no
            /// limit.
            "limits.subject_requests_per_minute" [range(0, 1_000_000), live()] => subject_requests: u32 = 12_000,
            /// The same of one address (of IPv6 the /64 network), whoever asks from there. 0: no limit.
            "limits.address_requests_per_minute" [range(0, 1_000_000), live()] => address_requests: u32 = 24_000,
            /// Queries and searches of one subject in a minute. 0: no limit.
            "limits.subject_queries_per_minute" [range(0, 1_000_000), live()] => subject_queries: u32 = 1_200,
            /// The same of one address. 0: no limit.
            "limits.address_queries_per_minute" [range(0, 1_000_000), live()] => address_queries: u32 = 2_400,
            /// Upload requests of one subject in a minute. 0: no limit.
            "limits.subject_uploads_per_minute" [range(0, 1_000_000), live()] => subject_uploads: u32 = 3_000,
            /// The same of one address. 0: no limit.
            "limits.address_uploads_per_minute" [range(0, 1_000_000), live()] => address_uploads: u32 = 6_000,
            /// Wrong credentials from one address in a minute, after which none are looked at for a moment. 0: no limit.
            "limits.address_failed_authentications_per_minute" [range(0, 1_000_000), live()] => failed_authentications: u32 = 60,
            /// Queries in flight of one subject, or of one address where nobody is asked who they are. Less than query.max_concurrent, so
            /// that one cannot take every place. 0: no limit.
            // Less than all places for queries, so that one subject cannot take every one.
            "limits.queries_at_once" [range(0, 1_000_000), live()] => queries_at_once: usize = 60,
            /// Connections from one address at a time; one more is answered 503. 0: no limit.
            "limits.address_connections" [range(0, 1_000_000), live()] => connections: usize = 256,
            /// Subjects and addresses of which each rate is kept by itself; beyond that, clients share.
            "limits.tracked_clients" [range(1000, 10_000_000)] => tracked_clients: usize = 100_000,
        }
        parts {
            /// Reverse proxies, which are believed when they name the client.
            proxies: Proxies,
        }
    }
}

/// The addresses of this machine, where the operator's own programs are.
fn loopback() -> Vec<IpNet> {
    [(IpAddr::from([127, 0, 0, 0]), 8), (IpAddr::from(Ipv6Addr::LOCALHOST), 128)]
        .into_iter()
        .filter_map(|(address, length)| IpNet::new(address, length).ok())
        .collect()
}

impl LimitSettings {
    /// Returns how many requests count in a minute, queries and uploads not among them.
    fn requests(&self) -> PerMinute {
        PerMinute {
            subject: self.subject_requests,
            address: self.address_requests,
        }
    }

    /// Returns how many queries and searches may begin in a minute.
    fn queries(&self) -> PerMinute {
        PerMinute {
            subject: self.subject_queries,
            address: self.address_queries,
        }
    }

    /// Returns how many uploads may begin in a minute.
    fn uploads(&self) -> PerMinute {
        PerMinute {
            subject: self.subject_uploads,
            address: self.address_uploads,
        }
    }
}

/// A rate, for a subject and for an address.
#[derive(Debug, Clone, Copy)]
struct PerMinute {
    /// Of one subject.
    subject: u32,
    /// Of one address, whoever asks from there.
    address: u32,
}

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    /// Anything that costs little.
    Request,
    /// A question or a search: the model and the index work.
    Query,
    /// A file.
    Upload,
}

/// One whom limits are kept for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// By name.
    Subject(String),
    /// By address; of IPv6 the network of 64 bits, since a host has all of it to choose from.
    Address(IpAddr),
    /// One of those for whom there is no place of their own.
    Shared(u16),
}

impl Key {
    fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
            v4 => v4,
        })
    }

    /// Whoever it is: by name, or else by address.
    fn of(subject: &Subject, address: IpAddr) -> Self {
        if subject.id.is_empty() {
            Self::of_address(address)
        } else {
            Self::Subject(subject.id.clone())
        }
    }
}

/// A refusal, and where its client stands.
#[derive(Debug)]
pub(super) struct Refused {
    /// `RATE_LIMIT_EXCEEDED` with `details.retry_after`.
    pub error: Box<ApiError>,
    /// What the header fields tell; none for limits of what is done at a time.
    pub standing: Option<Standing>,
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        *refused.error
    }
}

/// The limits, and what of them is used.
pub(super) struct Limits {
    exempt: RwLock<Vec<IpNet>>,
    proxies: Proxies,
    requests: ByClient,
    queries: ByClient,
    uploads: ByClient,
    failures: Rate,
    /// Until when addresses may not authenticate.
    barred: Mutex<HashMap<Key, Instant>>,
    at_once: Counts,
    connections: Counts,
}

/// A budget's two rates.
struct ByClient {
    subject: Rate,
    address: Rate,
}

impl Limits {
    /// Limits of which nothing is used.
    pub fn new(settings: &LimitSettings) -> Self {
        let most = settings.tracked_clients;
        let by_client = |per_minute: PerMinute, subject, address| ByClient {
            subject: Rate::per_minute(per_minute.subject, subject, most),
            address: Rate::per_minute(per_minute.address, address, most),
        };
        Self {
            exempt: RwLock::new(settings.exempt.clone()),
            proxies: settings.proxies.clone(),
            requests: by_client(settings.requests(), limit::SUBJECT_REQUESTS, limit::ADDRESS_REQUESTS),
            queries: by_client(settings.queries(), limit::SUBJECT_QUERIES, limit::ADDRESS_QUERIES),
            uploads: by_client(settings.uploads(), limit::SUBJECT_UPLOADS, limit::ADDRESS_UPLOADS),
            failures: Rate::per_minute(settings.failed_authentications, limit::FAILED_AUTHENTICATIONS, most),
            barred: Mutex::default(),
            at_once: Counts::new(settings.queries_at_once),
            connections: Counts::new(settings.connections),
        }
    }

    /// Takes other limits. Whose rate changes has its whole budget again. Who is believed to be a proxy, and how many clients are
    /// tracked, stays.
    pub fn set(&self, settings: &LimitSettings) {
        *self.exempt.write().unwrap_or_else(PoisonError::into_inner) = settings.exempt.clone();
        for (by_client, rate) in [
            (&self.requests, settings.requests()),
            (&self.queries, settings.queries()),
            (&self.uploads, settings.uploads()),
        ] {
            by_client.subject.set_per_minute(rate.subject);
            by_client.address.set_per_minute(rate.address);
        }
        self.failures.set_per_minute(settings.failed_authentications);
        self.at_once.set_most(settings.queries_at_once);
        self.connections.set_most(settings.connections);
    }

    /// The reverse proxies that are believed.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let exempt = self.exempt.read().unwrap_or_else(PoisonError::into_inner);
        exempt.iter().any(|net| net.contains(&address))
    }

    /// Takes one of a budget, of the subject and of the address. What is nearer to its end is told.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED`.
    pub fn take(&self, budget: Budget, subject: &Subject, address: IpAddr) -> Result<Option<Standing>, Refused> {
        let rates = match budget {
            Budget::Request => &self.requests,
            Budget::Query => &self.queries,
            Budget::Upload => &self.uploads,
        };
        let by_subject = match subject.id.is_empty() {
            true => None,
            false => rates.subject.take(&Key::Subject(subject.id.clone()))?,
        };
        let by_address = match self.is_exempt(address) {
            true => None,
            false => rates.address.take(&Key::of_address(address))?,
        };
        Ok(by_subject.into_iter().chain(by_address).min_by_key(|standing| standing.remaining))
    }

    /// A place for a query of this subject, to be held until its end.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED` if it has as many already as one may have.
    pub fn query(&self, subject: &Subject, address: IpAddr) -> Result<Option<Counted>, Refused> {
        if subject.id.is_empty() && self.is_exempt(address) {
            return Ok(None);
        }
        self.at_once.one_more(Key::of(subject, address)).map_err(|most| {
            catalogue::refused(limit::QUERIES_AT_ONCE);
            let error = ApiError::new(ErrorCode::RateLimitExceeded, format!("You have {most} queries in flight already."));
            Refused {
                error: Box::new(error.with("retry_after", 1).with("limit", most)),
                standing: None,
            }
        })
    }

    /// A place for a connection from this address, to be held until its end.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if it has as many already as one may have.
    pub fn connection(&self, address: IpAddr) -> Result<Option<Counted>, ApiError> {
        // Those of a proxy are its clients', and are counted when it has told whose they are.
        if self.is_exempt(address) || self.proxies.trusts(address) {
            return Ok(None);
        }
        self.connections.one_more(Key::of_address(address)).map_err(|most| {
            catalogue::refused(limit::ADDRESS_CONNECTIONS);
            let message = format!("Your address has {most} connections to this server already.");
            ApiError::new(ErrorCode::ServiceUnavailable, message).with("retry_after", 2)
        })
    }

    /// Whether credentials from this address are looked at.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED` while too many of them were wrong.
    pub fn may_authenticate(&self, address: IpAddr) -> Result<(), ApiError> {
        let key = Key::of_address(address);
        let until = self.barred.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            None => Ok(()),
            Some(left) => {
                catalogue::refused(limit::FAILED_AUTHENTICATIONS);
                let message = "Too many wrong credentials came from your address.";
                Err(ApiError::new(ErrorCode::RateLimitExceeded, message).with("retry_after", rate::seconds(left)))
            }
        }
    }

    /// Credentials from this address were wrong.
    pub fn authentication_failed(&self, address: IpAddr) {
        if self.is_exempt(address) {
            return;
        }
        let key = Key::of_address(address);
        let Err(wait) = self.failures.spend(&key) else { return };
        let mut barred = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        // It is bounded as the rates are: beyond that, those that come are refused one by one only.
        if barred.len() < self.failures.most() {
            barred.insert(key, Instant::now() + wait);
        }
    }

    /// Forgets clients who have not asked for long enough to have their whole budgets again.
    pub fn forget_idle(&self) {
        let rates = [&self.requests, &self.queries, &self.uploads];
        let kept: usize = rates
            .into_iter()
            .flat_map(|rates| [&rates.subject, &rates.address])
            .chain([&self.failures])
            .map(Rate::forget_idle)
            .sum();
        let now = Instant::now();
        self.barred
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, until| *until > now);
        catalogue::TRACKED_CLIENTS.only().set(kept as f64);
    }
}

/// How often idle clients are forgotten.
pub(super) const FORGET_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
