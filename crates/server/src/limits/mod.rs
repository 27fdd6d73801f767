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
use ibid_telemetry::catalogue::{self, limit};
use ipnet::IpNet;
use rate::Rate;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// What an operator can set. A rate or a number of 0 is no limit.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Addresses that no limit by address holds for: where the operator's own programs are.
    pub exempt: Vec<IpNet>,
    /// Reverse proxies, which are believed when they name the client.
    pub proxies: Proxies,
    /// Requests in a minute, queries and uploads not counted.
    pub requests: PerMinute,
    /// Queries and searches in a minute.
    pub queries: PerMinute,
    /// Uploads in a minute.
    pub uploads: PerMinute,
    /// Failed authentications of an address in a minute.
    pub failed_authentications: u32,
    /// Queries of one subject at a time; of one address where nobody is asked who they are.
    pub queries_at_once: usize,
    /// Connections of one address at a time.
    pub connections: usize,
    /// Clients of which each rate is kept; others share.
    pub tracked_clients: usize,
}

/// A rate, for a subject and for an address.
#[derive(Debug, Clone, Copy)]
pub struct PerMinute {
    /// Of one subject.
    pub subject: u32,
    /// Of one address, whoever asks from there.
    pub address: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            exempt: [IpAddr::from([127, 0, 0, 0]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]
                .into_iter()
                .filter_map(|address| IpNet::new(address, if address.is_ipv4() { 8 } else { 128 }).ok())
                .collect(),
            proxies: Proxies::default(),
            requests: PerMinute {
                subject: 12_000,
                address: 24_000,
            },
            queries: PerMinute {
                subject: 1_200,
                address: 2_400,
            },
            uploads: PerMinute {
                subject: 3_000,
                address: 6_000,
            },
            failed_authentications: 60,
            // Less than all places for queries, so that one subject cannot take every one.
            queries_at_once: 60,
            connections: 256,
            tracked_clients: 100_000,
        }
    }
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
            requests: by_client(settings.requests, limit::SUBJECT_REQUESTS, limit::ADDRESS_REQUESTS),
            queries: by_client(settings.queries, limit::SUBJECT_QUERIES, limit::ADDRESS_QUERIES),
            uploads: by_client(settings.uploads, limit::SUBJECT_UPLOADS, limit::ADDRESS_UPLOADS),
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
            (&self.requests, settings.requests),
            (&self.queries, settings.queries),
            (&self.uploads, settings.uploads),
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
