//! Where credentials stand in a request. What they are worth is for [`ibid_auth`] to say.

use fastwebsockets::upgrade::is_upgrade_request;
use hyper::header::{AUTHORIZATION, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use hyper::{HeaderMap, Method, Request};
use ibid_auth::Denial;
use ibid_types::secret::Secret;
use percent_encoding::percent_decode_str;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The token or API key of a request: of `Authorization: Bearer`, else of `X-API-Key`; of a WebSocket handshake, where browsers can set
/// no header field, also of the subprotocols `bearer, <token>`; and of `?token=`, there and where something is only read.
pub(super) fn of<B>(request: &Request<B>) -> Result<Option<Secret>, Denial> {
    let headers = request.headers();
    if let Some(token) = bearer(headers)? {
        return Ok(Some(token));
    }
    if let Some(key) = api_key(headers)? {
        return Ok(Some(key));
    }
    if is_upgrade_request(request)
        && let Some(token) = subprotocol(headers)?
    {
        return Ok(Some(token));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return parameter(request.uri().query().unwrap_or_default());
    }
    Ok(None)
}

fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::InvalidToken("there are two `Authorization` fields"));
    }
    let text = value
        .to_str()
        .map_err(|_| Denial::InvalidToken("`Authorization` is no text"))?
        .trim();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => secret(token.trim()).map(Some),
        None if text.eq_ignore_ascii_case("bearer") => Err(Denial::InvalidToken("`Authorization` holds no token")),
        // Of a proxy in front, perhaps: nothing that could let anybody in here.
        _ => Ok(None),
    }
}

fn api_key(headers: &HeaderMap) -> Result<Option<Secret>, Denial> {
    let mut values = headers.get_all(API_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::InvalidToken("there are two `X-API-Key` fields"));
    }
    let text = value.to_str().map_err(|_| Denial::InvalidToken("`X-API-Key` is no text"))?;
    secret(text.trim()).map(Some)
}

/// The protocol after `bearer`.
fn subprotocol(headers: &HeaderMap) -> Result<Option<Secret>, Denial> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut protocols = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    match protocols.find(|protocol| *protocol == "bearer") {
        None => Ok(None),
        Some(_) => match protocols.next() {
            Some(token) => secret(token).map(Some),
            None => Err(Denial::InvalidToken("the subprotocol `bearer` is not followed by a token")),
        },
    }
}

fn parameter(query: &str) -> Result<Option<Secret>, Denial> {
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, value)| *name == "token" && !value.is_empty());
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::InvalidToken("there are two parameters `token`"));
    }
    let token = percent_decode_str(value)
        .decode_utf8()
        .map_err(|_| Denial::InvalidToken("the parameter `token` is no text"))?;
    secret(&token).map(Some)
}

/// What could be a token or a key at all.
fn secret(text: &str) -> Result<Secret, Denial> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Denial::InvalidToken("there is no token where one should be"));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_auth::DenialCode;

    fn found(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<Option<String>, DenialCode> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        of(&request)
            .map(|secret| secret.map(|secret| secret.expose().to_owned()))
            .map_err(Denial::code)
    }

    #[test]
    fn the_first_place_wins_and_others_are_passed_over() {
        let token = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(found("GET", "/", &[]), Ok(None));
        assert_eq!(found("POST", "/", &[("authorization", "Bearer a.b.c")]), token("a.b.c"));
        assert_eq!(found("POST", "/", &[("authorization", "bearer  a.b.c ")]), token("a.b.c"));
        assert_eq!(found("POST", "/", &[("x-api-key", "ibid_1_2")]), token("ibid_1_2"));
        assert_eq!(
            found("GET", "/?token=c", &[("x-api-key", "b"), ("authorization", "Bearer a")]),
            token("a")
        );
        assert_eq!(found("GET", "/?x=1&token=a%2Eb", &[]), token("a.b"));
        assert_eq!(found("GET", "/?token=&tokens=x", &[]), Ok(None));
        // A form on another page could send it.
        assert_eq!(found("POST", "/?token=a", &[]), Ok(None));
        assert_eq!(found("GET", "/?token=a", &[("authorization", "Basic dTpw")]), token("a"));
        let socket = [("upgrade", "websocket"), ("connection", "Upgrade")];
        let offering = |protocols| [socket[0], socket[1], ("sec-websocket-protocol", protocols)];
        assert_eq!(found("GET", "/ws/query", &offering("bearer, a.b.c")), token("a.b.c"));
        assert_eq!(found("GET", "/ws/query", &offering("chat, bearer,a.b.c, other")), token("a.b.c"));
        assert_eq!(found("GET", "/ws/query", &offering("chat")), Ok(None));
        assert_eq!(found("GET", "/health", &[("sec-websocket-protocol", "bearer, a")]), Ok(None));
    }

    #[test]
    fn what_can_be_no_token_is_refused() {
        for (uri, fields) in [
            ("/", vec![("authorization", "Bearer ")]),
            ("/", vec![("authorization", "Bearer a b")]),
            ("/", vec![("authorization", "Bearer a"), ("authorization", "Bearer a")]),
            ("/", vec![("x-api-key", "")]),
            ("/", vec![("x-api-key", "a"), ("x-api-key", "b")]),
            ("/?token=a&token=b", vec![]),
            ("/?token=%ff", vec![]),
            (
                "/",
                vec![
                    ("upgrade", "websocket"),
                    ("connection", "Upgrade"),
                    ("sec-websocket-protocol", "bearer"),
                ],
            ),
        ] {
            assert_eq!(found("GET", uri, &fields), Err(DenialCode::InvalidToken), "{uri} {fields:?}");
        }
    }
}
