//! `/openapi.json`: the REST API as OpenAPI 3.1, derived from the endpoints and from the types of their requests and responses.

mod operation;

pub(crate) use operation::Op;
pub(super) use operation::{binary, object, string};

use super::call::Call;
use super::endpoint::{self, Endpoint, Verb};
use super::respond::{self, Reply};
use crate::limits::Budget;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use ibid_engine::{Lock, Pipeline};
use operation::{API_KEY, BEARER, Schemas};
use std::sync::OnceLock;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Server};
use utoipa::{PartialSchema, ToSchema};

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Get,
    path: "/openapi.json",
    scope: None,
    budget: Some(Budget::Request),
    handler: |call| Box::pin(async move { Ok(get(call)) }),
    operation: |op| {
        op.about(Tag::Operations, "This document")
            .answers(200, "OpenAPI 3.1.", "application/json", Some(object()))
    },
}];

const ABOUT: &str = "Ask your documents, and get answers that quote their sources.

Every path works bare and below `/api/v1`. A path with `GET` also has `HEAD`, except `/backup`, `/plugins/{name}/log` and the \
WebSockets. Every path has `OPTIONS`, which lists the path's methods; other methods are answered 405. Unknown fields and parameters \
are ignored. All offsets in texts count Unicode code points.";

/// `GET /openapi.json`.
fn get(_call: &Call) -> Reply {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let bytes = DOCUMENT.get_or_init(|| match serde_json::to_vec(&document()) {
        Ok(bytes) => bytes.into(),
        Err(error) => {
            tracing::error!(%error, "the OpenAPI document could not be written as JSON");
            Bytes::new()
        }
    });
    respond::full(StatusCode::OK, HeaderValue::from_static("application/json"), bytes.clone())
}

/// The group of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tag {
    /// Uploads and documents.
    Documents,
    /// Queries and searches.
    Asking,
    /// Collections and pipelines.
    Collections,
    /// Plugins.
    Plugins,
    /// The server itself.
    Operations,
    /// The API of OpenAI.
    OpenAi,
    /// The Model Context Protocol.
    Mcp,
    /// WebSockets.
    Sockets,
}

impl Tag {
    const ALL: [Self; 8] = [
        Self::Documents,
        Self::Asking,
        Self::Collections,
        Self::Plugins,
        Self::Operations,
        Self::OpenAi,
        Self::Mcp,
        Self::Sockets,
    ];

    /// Returns the tag's name in the document.
    fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Asking => "asking",
            Self::Collections => "collections",
            Self::Plugins => "plugins",
            Self::Operations => "operations",
            Self::OpenAi => "openai",
            Self::Mcp => "mcp",
            Self::Sockets => "sockets",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Documents => "Uploads, documents and their contents.",
            Self::Asking => "Answers with citations, and searches without answers.",
            Self::Collections => "Where documents are kept, and the pipelines that process them.",
            Self::Plugins => "What pipelines are made of.",
            Self::Operations => "The server itself.",
            Self::OpenAi => "For clients of OpenAI's API: a collection is a model to chat with. Errors also have `type` and `param`.",
            Self::Mcp => "For agents: the Model Context Protocol.",
            Self::Sockets => "WebSockets. The protocol's own documentation describes their messages.",
        }
    }
}

fn tags() -> Vec<utoipa::openapi::Tag> {
    let tag = |tag: Tag| TagBuilder::new().name(tag.name()).description(Some(tag.description())).build();
    Tag::ALL.map(tag).to_vec()
}

/// Returns the document of all endpoints.
pub(super) fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Paths::new();
    for endpoint in endpoint::all() {
        let Some(method) = operation::method(endpoint.method) else {
            continue;
        };
        let operation = (endpoint.operation)(Op::new(&mut schemas, endpoint)).end();
        paths
            .paths
            .entry(endpoint.path.to_owned())
            .or_default()
            .merge_operations(PathItem::new(method, operation));
    }
    // Schemas that no operation refers to by type.
    for (name, schema) in [(Pipeline::name(), Pipeline::schema()), (Lock::name(), Lock::schema())] {
        schemas.insert(name.into_owned(), schema);
    }
    let mut nested = Vec::new();
    Pipeline::schemas(&mut nested);
    Lock::schemas(&mut nested);
    schemas.extend(nested);
    let mut components = Components::new();
    components.schemas.extend(schemas);
    components.add_security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(
                    "A signed token (JWT), or an API key. If the server runs without authentication, none is needed.",
                ))
                .build(),
        ),
    );
    let key = ApiKeyValue::with_description("X-API-Key", "An API key, made by `ibid key new`.");
    components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Ibid")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(
                    LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                )),
        )
        .servers(Some([Server::new("/"), Server::new("/api/v1")]))
        .tags(Some(tags()))
        .paths(paths)
        .components(Some(components))
        .build()
}
