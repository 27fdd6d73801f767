//! Builds one operation of the document: a small language over `utoipa`'s builders.

use super::Tag;
use crate::http::endpoint::{Endpoint, Verb};
use ibid_auth::Scope;
use ibid_protocol::RestErrorBody;
use std::collections::BTreeMap;
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, HeaderBuilder, HttpMethod, Ref, RefOr, Required, Response, ResponseBuilder, Schema};
use utoipa::{IntoParams, ToSchema};

/// The names of the security schemes.
pub(super) const BEARER: &str = "bearer";
/// As above.
pub(super) const API_KEY: &str = "api_key";

/// Errors that any request may meet: without credentials, without the scope, too many, a defect, and a server that is full or
/// stopping.
const ANY: [u16; 5] = [401, 403, 429, 500, 503];

/// Schemas that were met, by name.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

/// An operation in the making.
pub(crate) struct Op<'a> {
    schemas: &'a mut Schemas,
    builder: OperationBuilder,
    errors: Vec<u16>,
    responses: BTreeMap<u16, Response>,
    /// Schemas of events' data.
    events: Vec<String>,
    scope: Option<Scope>,
}

impl<'a> Op<'a> {
    /// Begins the operation of an endpoint, with its id, its path parameter and its scope.
    pub(super) fn new(schemas: &'a mut Schemas, endpoint: &Endpoint) -> Self {
        let path = endpoint.path;
        let mut op = Self {
            schemas,
            builder: OperationBuilder::new().operation_id(Some(operation_id(endpoint.method, path))),
            errors: ANY.to_vec(),
            responses: BTreeMap::new(),
            events: Vec::new(),
            scope: endpoint.scope,
        };
        for name in path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
            let parameter = ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))));
            op.builder = op.builder.parameter(parameter);
            op = op.errors(&[400, 404]);
        }
        op
    }

    /// Sets the group and the one-line summary.
    pub fn about(mut self, tag: Tag, summary: &str) -> Self {
        self.builder = self.builder.tag(tag.name()).summary(Some(summary));
        self
    }

    /// Sets the description, in Markdown.
    pub fn description(mut self, text: &str) -> Self {
        self.builder = self.builder.description(Some(text));
        self
    }

    /// Parameters in the URL's query.
    pub fn query<P: IntoParams>(mut self) -> Self {
        for parameter in P::into_params(|| Some(ParameterIn::Query)) {
            self.builder = self.builder.parameter(parameter);
        }
        self.errors(&[400])
    }

    /// Adds an optional header field of the request.
    pub fn header(mut self, name: &str, description: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        self.builder = self.builder.parameter(parameter);
        self
    }

    /// A JSON body.
    pub fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.reference::<T>();
        self.takes_json(schema)
    }

    /// A JSON body of any schema.
    pub fn takes_json(self, schema: impl Into<RefOr<Schema>>) -> Self {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content("application/json", Content::new(Some(schema)))
            .build();
        self.body(body).errors(&[400, 408, 413, 415])
    }

    /// Another body.
    pub fn body(mut self, body: RequestBody) -> Self {
        self.builder = self.builder.request_body(Some(body));
        self
    }

    /// An answer of JSON.
    pub fn gives<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.reference::<T>();
        self.answers(status, description, "application/json", Some(schema))
    }

    /// An answer of JSON that may also be an error of that status.
    pub fn gives_or_fails<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let (schema, error) = (self.reference::<T>(), self.reference::<RestErrorBody>());
        let either = AnyOfBuilder::new().item(schema).item(error).build();
        self.answers(status, description, "application/json", Some(Schema::AnyOf(either).into()))
    }

    /// An answer as server-sent events; `T` is the data of one. Several calls tell of several.
    pub fn streams<T: ToSchema>(mut self, description: &str) -> Self {
        self.reference::<T>();
        self.events.push(T::name().into_owned());
        let data = format!("JSON: {}.", self.events.join(", "));
        let text = || ObjectBuilder::new().schema_type(Type::String);
        // The schema of one event, which is what tools take it for.
        let event = ObjectBuilder::new()
            .property("event", text())
            .property("data", text().description(Some(data)))
            .build();
        self.answers(200, description, "text/event-stream", Some(Schema::from(event).into()))
    }

    /// An answer of any type; without a schema its content is not described.
    pub fn answers(mut self, status: u16, description: &str, media_type: &str, schema: Option<RefOr<Schema>>) -> Self {
        let response = self.responses.entry(status).or_insert_with(|| described(description));
        response.content.insert(media_type.to_owned(), RefOr::T(Content::new(schema)));
        self
    }

    /// An answer without a body.
    pub fn empty(mut self, status: u16, description: &str) -> Self {
        self.responses.entry(status).or_insert_with(|| described(description));
        self
    }

    /// Errors that it may meet, beside those that any may.
    pub fn errors(mut self, statuses: &[u16]) -> Self {
        self.errors.extend(statuses);
        self
    }

    /// A schema by reference, kept among the document's.
    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        self.schemas.extend(found);
        Ref::from_schema_name(T::name()).into()
    }

    /// The operation, with what all have in common.
    pub(super) fn end(mut self) -> Operation {
        let error = self.reference::<RestErrorBody>();
        let Self {
            mut builder,
            errors,
            mut responses,
            scope,
            ..
        } = self;
        match scope {
            Some(scope) => {
                // Either will do.
                for scheme in [BEARER, API_KEY] {
                    builder = builder.security(SecurityRequirement::new(scheme, [scope.name()]));
                }
            }
            // Said explicitly: nothing is needed.
            None => builder = builder.securities(Some([])),
        }
        for status in errors {
            let response = responses.entry(status).or_insert_with(|| described(meaning(status)));
            let content = RefOr::T(Content::new(Some(error.clone())));
            response.content.entry("application/json".to_owned()).or_insert(content);
            if matches!(status, 429 | 503) {
                let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
                let header = HeaderBuilder::new()
                    .schema(Some(seconds))
                    .description(Some("Seconds after which to try again."));
                response.headers.insert("Retry-After".to_owned(), RefOr::T(header.build()));
            }
        }
        for (status, response) in responses {
            builder = builder.response(status.to_string(), response);
        }
        builder.build()
    }
}

/// Returns the id of an operation: that of `GET /documents/{id}/text` is `get_documents_id_text`.
fn operation_id(verb: Verb, path: &str) -> String {
    let method = verb.methods().first().copied().unwrap_or_default().to_ascii_lowercase();
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

/// Returns the method as the document's builder knows it; `None` for OPTIONS, which the document's introduction describes.
pub(super) fn method(verb: Verb) -> Option<HttpMethod> {
    Some(match verb {
        Verb::Get | Verb::GetWithoutHead => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Put => HttpMethod::Put,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
        Verb::Options => return None,
    })
}

/// Returns the schema of bytes.
pub(in crate::http) fn binary() -> RefOr<Schema> {
    let format = SchemaFormat::Custom("binary".to_owned());
    Schema::from(ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build()).into()
}

/// Returns the schema of any text.
pub(in crate::http) fn string() -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(Type::String).build()).into()
}

/// Returns the schema of any JSON object.
pub(in crate::http) fn object() -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(Type::Object).build()).into()
}

/// An answer without a body so far.
fn described(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .header("X-Request-Id", request_id())
        .build()
}

fn request_id() -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(128)),
        ))
        .description(Some("The request's name: taken from the request's own `X-Request-Id`, or made."))
        .build()
}

/// What a status means, wherever it is met. The codes that go with it are in the body.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => {
            "`INVALID_MESSAGE`: not what the operation reads at all; or `VALIDATION_ERROR`: a value is wrong, and `details` has its `field` and the `issue`."
        }
        401 => "`AUTHENTICATION_REQUIRED`: no credentials, or ones that do not hold.",
        403 => "`INSUFFICIENT_SCOPE`, `AUTHORIZATION_FAILED`: the credentials do not allow it.",
        404 => "`RESOURCE_NOT_FOUND`, `COLLECTION_NOT_FOUND`: there is none, or none that the credentials let see.",
        406 => "The `Accept` field leaves out what the operation answers with.",
        408 => "`TIMEOUT_ERROR`: the body did not arrive in time.",
        409 => "`CONFLICT`: the state of the resource does not allow it now.",
        413 => "`PAYLOAD_TOO_LARGE`: `details.max_bytes` says what is taken.",
        415 => "`UNSUPPORTED_MEDIA_TYPE`.",
        416 => "`RANGE_NOT_SATISFIABLE`: `details.size` says how long the file is.",
        422 => "Well-formed, but it cannot be processed.",
        429 => "`RATE_LIMIT_EXCEEDED`.",
        500 => "`PROCESSING_ERROR`, `PLUGIN_ERROR`, or `INTERNAL_ERROR`, a defect of which the server's log has more.",
        502 => "`LLM_CONNECTION_ERROR`: the language model cannot be reached or broke off.",
        503 => "`SERVICE_UNAVAILABLE`, `VECTOR_STORE_ERROR`: full, starting, stopping, or without its index.",
        504 => "`TIMEOUT_ERROR`: a stage took longer than it may.",
        _ => "An error.",
    }
}
