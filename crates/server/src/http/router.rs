//! Finds the endpoint of a request, and calls its handler with what its entry requires.

use super::admit::Admitted;
use super::call::Call;
use super::endpoint::{self, Endpoint, Verb};
use super::health;
use super::respond::{Failure, Reply, empty};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode};
use ibid_protocol::{ApiError, ErrorCode};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::sync::LazyLock;

/// The most segments that a path has.
const MAX_SEGMENTS: usize = 4;

/// The file that `/` serves.
const INDEX: &str = "/ui/index.html";

/// The endpoints of all paths.
static ROUTES: LazyLock<Routes> = LazyLock::new(|| Routes::new(endpoint::all()));

/// The endpoints by path.
struct Routes {
    paths: Vec<PathEndpoints>,
    /// Finds an index in `paths`.
    matcher: matchit::Router<usize>,
}

/// The endpoints of one path.
struct PathEndpoints {
    template: &'static str,
    endpoints: Vec<&'static Endpoint>,
}

/// A path that has endpoints.
struct Matched<'a> {
    path: &'a PathEndpoints,
    /// The decoded value of the template's parameter; empty if it has none.
    parameter: String,
}

impl Routes {
    fn new(endpoints: impl Iterator<Item = &'static Endpoint>) -> Self {
        let mut paths: Vec<PathEndpoints> = Vec::new();
        for endpoint in endpoints {
            match paths.iter_mut().find(|path| path.template == endpoint.path) {
                Some(path) => path.endpoints.push(endpoint),
                None => paths.push(PathEndpoints {
                    template: endpoint.path,
                    endpoints: vec![endpoint],
                }),
            }
        }
        let mut matcher = matchit::Router::new();
        for (index, path) in paths.iter().enumerate() {
            if let Err(error) = matcher.insert(path.template, index) {
                tracing::error!(%error, path = path.template, "two endpoints have conflicting paths");
            }
        }
        Self { paths, matcher }
    }

    /// Finds the endpoints of a path, bare or under `/api/v1`; `None` if there are none.
    fn find(&self, path: &str) -> Result<Option<Matched<'_>>, ApiError> {
        let path = path.strip_prefix("/api/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let Some(path) = path.strip_prefix('/') else { return Ok(None) };
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(self.find_normalized(INDEX));
        }
        // A client may escape any character, so a fixed segment is compared decoded. An escaped slash stays part of its segment.
        let mut normalized = String::with_capacity(path.len() + 1);
        for (index, segment) in path.split('/').enumerate() {
            // No path has an empty segment, and `matchit` would match one with a parameter.
            if index == MAX_SEGMENTS || segment.is_empty() {
                return Ok(None);
            }
            let decoded = percent_decode_str(segment)
                .decode_utf8()
                .map_err(|_| ApiError::new(ErrorCode::InvalidMessage, "The path is not UTF-8 when its %-escapes are decoded."))?;
            normalized.push('/');
            normalized.push_str(&escape(decoded));
        }
        Ok(self.find_normalized(&normalized))
    }

    /// Finds the endpoints of a path in which only `%` and the slashes within segments are escaped.
    fn find_normalized(&self, path: &str) -> Option<Matched<'_>> {
        let matched = self.matcher.at(path).ok()?;
        let parameter = matched.params.iter().next().map_or("", |(_, value)| value);
        Some(Matched {
            path: self.paths.get(*matched.value)?,
            parameter: percent_decode_str(parameter).decode_utf8_lossy().into_owned(),
        })
    }
}

/// Escapes the characters of a decoded segment that would change the structure of the path.
fn escape(segment: Cow<'_, str>) -> Cow<'_, str> {
    if segment.contains(['%', '/']) {
        return segment.replace('%', "%25").replace('/', "%2F").into();
    }
    segment
}

impl PathEndpoints {
    /// Finds the endpoint that serves a method.
    fn endpoint(&self, method: &Method) -> Option<&'static Endpoint> {
        let method = method.as_str();
        self.endpoints
            .iter()
            .copied()
            .find(|endpoint| endpoint.method.methods().contains(&method))
    }

    /// Returns the methods of the path, as `Allow` lists them. Every path has OPTIONS.
    fn allow(&self) -> String {
        let of_endpoints = self.endpoints.iter().map(|endpoint| endpoint.method);
        let mut methods: Vec<&str> = of_endpoints
            .filter(|verb| *verb != Verb::Options)
            .flat_map(|verb| verb.methods().iter().copied())
            .collect();
        methods.push("OPTIONS");
        methods.join(", ")
    }
}

/// Answers a request through its endpoint's handler.
pub(super) async fn dispatch(call: &mut Call) -> Result<Reply, Failure> {
    let Matched { path, parameter } = ROUTES.find(call.request.uri().path())?.ok_or_else(|| {
        ApiError::new(ErrorCode::ResourceNotFound, "There is nothing at this path.").with("path", call.about.path.as_str())
    })?;
    let Some(endpoint) = path.endpoint(call.request.method()) else {
        return no_endpoint(path, call.request.method());
    };
    call.path_parameter = parameter;
    // The budget comes before the scope, so that a request that is refused for its scope is counted too.
    let admitted = endpoint.budget.map(|budget| Admitted::new(call, budget)).transpose()?;
    let reply = handle(call, endpoint).await;
    match admitted {
        Some(admitted) => admitted.pass(reply),
        None => reply,
    }
}

/// Answers OPTIONS with the methods of the path, and refuses every other method.
fn no_endpoint(path: &PathEndpoints, method: &Method) -> Result<Reply, Failure> {
    let methods = path.allow();
    let allow = HeaderValue::from_str(&methods).unwrap_or(HeaderValue::from_static("OPTIONS"));
    if method == Method::OPTIONS {
        let mut reply = empty(StatusCode::NO_CONTENT);
        reply.headers_mut().insert(ALLOW, allow);
        return Ok(reply);
    }
    let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("This path has {methods}."));
    Err(Failure::from(error).header(ALLOW, allow))
}

async fn handle(call: &mut Call, endpoint: &Endpoint) -> Result<Reply, Failure> {
    if let Some(scope) = endpoint.scope {
        call.known()?;
        call.subject.require(scope)?;
    }
    (endpoint.handler)(call).await
}

/// Returns the name of a path in metrics and traces: the template of its endpoints, or `unmatched`.
pub(super) fn template(path: &str) -> &'static str {
    match ROUTES.find(path) {
        Ok(Some(matched)) => matched.path.template,
        Ok(None) | Err(_) => "unmatched",
    }
}

/// Whether monitors and orchestrators poll a path all the time.
pub(super) fn is_polled(template: &str) -> bool {
    template == "/metrics" || health::ENDPOINTS.iter().any(|endpoint| endpoint.path == template)
}

/// Whether a path is answered without a look at the credentials that come along.
pub(super) fn is_open(path: &str) -> bool {
    let template = template(path);
    health::ENDPOINTS.iter().any(|endpoint| endpoint.path == template)
}

/// Whether a request only asks if the server is alive.
pub(super) fn is_liveness(method: &str, path: &str) -> bool {
    matches!(method, "GET" | "HEAD") && template(path) == "/health/live"
}

#[cfg(test)]
mod tests;
