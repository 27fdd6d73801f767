//! The operations of the REST surface, path by path.

use super::operation::{API_KEY, BEARER, Op, Schemas};
use crate::http::collections::{DeleteParams, PipelineParams, ReindexParams};
use crate::http::documents::{ChunkParams, TextParams};
use crate::http::file::FileParams;
use crate::http::metrics::MetricsParams;
use crate::http::multipart::UploadParams;
use crate::http::plugins::{InstallParams, RemoveParams};
use ibid_auth::Scope;
use ibid_engine::{DocumentQuery, Health, Lock, Pipeline};
use ibid_protocol::{
    AnalyzeRequest, AnalyzeResponse, Answer, ChatChunk, ChatCompletion, ChatRequest, ChunkList, Citation, CollectionInfo, CollectionList,
    CollectionPipeline, CollectionPlace, Complete, ConfigChanged, ConfigShown, CreateCollection, DeletedCollection, DeletedDocument,
    DocumentDetail, DocumentList, EmbeddingRequest, EmbeddingResponse, ErrorData, Me, ModelInfo, ModelList, MoveCollection,
    PipelineChanged, PipelineValid, PluginInstalled, PluginList, PluginLogDropped, PluginLogLine, PluginRemoved, QueryOptions, Readiness,
    ReindexInfo, ReindexPlan, SearchRequest, SearchResponse, ServerStatus, SimilarRequest, SimilarResponse, Status, Token, TryPlugin,
    TryResult, UploadAccepted, UploadInfo, UploadResponse,
};
use utoipa::openapi::path::{ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, Components, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Content, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Required, Schema, Server, Tag};
use utoipa::{PartialSchema, ToSchema};

use HttpMethod::{Delete, Get, Patch, Post, Put};

const DOCUMENTS: &str = "documents";
const ASKING: &str = "asking";
const COLLECTIONS: &str = "collections";
const PLUGINS: &str = "plugins";
const OPERATIONS: &str = "operations";
const OPENAI: &str = "openai";
const MCP: &str = "mcp";
const SOCKETS: &str = "sockets";

const ABOUT: &str = "Ask your documents, and get answers that quote their sources.

Every path works bare and below `/api/v1`. Every path with `GET` has `HEAD`, and every path has `OPTIONS`, which is answered with \
the methods that there are; a method that there is not is answered 405. Unknown fields and parameters are ignored. All offsets in \
texts count Unicode code points.";

/// The whole document.
pub(in crate::http) fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Paths::new();
    for (path, method, operation) in operations(&mut schemas) {
        paths
            .paths
            .entry(path.to_owned())
            .or_default()
            .merge_operations(PathItem::new(method, operation));
    }
    // Those that are known by their names alone.
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
                    "A signed token (JWT), or an API key. Where the server asks nobody who they are, none is needed.",
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

fn tags() -> Vec<Tag> {
    [
        (DOCUMENTS, "Uploads, and what became of them."),
        (ASKING, "Answers with citations, and searches without answers."),
        (COLLECTIONS, "Where documents are kept, and the pipelines that process them."),
        (PLUGINS, "What pipelines are made of."),
        (OPERATIONS, "The server itself."),
        (
            OPENAI,
            "For clients of OpenAI's API: a collection is a model to chat with. Errors have `type` and `param` as well.",
        ),
        (MCP, "For agents: the Model Context Protocol."),
        (
            SOCKETS,
            "WebSockets. Their messages are described in the protocol's own documentation.",
        ),
    ]
    .into_iter()
    .map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build())
    .collect()
}

type Operation = (&'static str, HttpMethod, utoipa::openapi::path::Operation);

/// Every method of every path.
fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut all = Vec::new();
    documents(schemas, &mut all);
    resumable(schemas, &mut all);
    asking(schemas, &mut all);
    collections(schemas, &mut all);
    pipelines(schemas, &mut all);
    plugins(schemas, &mut all);
    server(schemas, &mut all);
    openai(schemas, &mut all);
    others(schemas, &mut all);
    all
}

fn documents(s: &mut Schemas, all: &mut Vec<Operation>) {
    all.push(
        Op::new(s, Post, "/documents/upload", DOCUMENTS, "Upload files")
            .says(
                "Waits until the files can be found, and answers 201; with `wait=false` 202 at once. Fields that say where the files \
                 belong must stand before them in the form.",
            )
            .needs(Some(Scope::Write))
            .query::<UploadParams>()
            .body(form())
            .gives::<UploadResponse>(201, "What became of each file; one at least can be found.")
            .gives::<UploadAccepted>(202, "The files are on disk and will be processed.")
            .errors(&[404, 408, 409, 413, 415, 422, 504])
            .end(),
    );
    all.push(
        Op::new(s, Get, "/documents", DOCUMENTS, "List documents")
            .query::<DocumentQuery>()
            .gives::<DocumentList>(200, "A page of documents.")
            .errors(&[404])
            .end(),
    );
    all.push(
        Op::new(s, Get, "/documents/{id}", DOCUMENTS, "All that is known of a document")
            .gives::<DocumentDetail>(200, "The document.")
            .end(),
    );
    all.push(
        Op::new(
            s,
            Delete,
            "/documents/{id}",
            DOCUMENTS,
            "Delete a document and all that was made of it",
        )
        .needs(Some(Scope::Delete))
        .gives::<DeletedDocument>(200, "What was removed.")
        .end(),
    );
    all.push(
        Op::new(s, Get, "/documents/{id}/chunks", DOCUMENTS, "The chunks of a document")
            .query::<ChunkParams>()
            .gives::<ChunkList>(200, "A page of chunks.")
            .end(),
    );
    all.push(
        Op::new(
            s,
            Get,
            "/documents/{id}/text",
            DOCUMENTS,
            "The extracted text, which citations quote",
        )
        .query::<TextParams>()
        .answers(200, "The text, or the part asked for.", "text/plain; charset=utf-8", Some(string()))
        .errors(&[409])
        .end(),
    );
    all.push(
        Op::new(s, Get, "/documents/{id}/file", DOCUMENTS, "The file as it was uploaded")
            .query::<FileParams>()
            .parameter(
                ParameterBuilder::new()
                    .name("Range")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::False)
                    .description(Some("One range of bytes (RFC 9110, 14)."))
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
            )
            .answers(200, "The bytes, of the file's own type.", "*/*", None)
            .answers(206, "Those asked for.", "*/*", None)
            .empty(304, "The client has it.")
            .errors(&[416])
            .end(),
    );
}

fn asking(s: &mut Schemas, all: &mut Vec<Operation>) {
    const ENGINE: &[u16] = &[404, 502, 504];
    all.push(
        Op::new(s, Post, "/query", ASKING, "Ask, and get the whole answer with its citations")
            .takes::<QueryOptions>()
            .gives::<Answer>(200, "The answer.")
            .errors(ENGINE)
            .end(),
    );
    all.push(
        Op::new(s, Post, "/query/stream", ASKING, "Ask, and get the answer as it is made")
            .says("The events `status`, `token`, `citation`, `complete` and `error` of `/ws/query`, as server-sent events.")
            .takes::<QueryOptions>()
            .streams::<Status>("Events, the last of them `complete` or `error`.")
            .streams::<Token>("")
            .streams::<Citation>("")
            .streams::<Complete>("")
            .streams::<ErrorData>("")
            .errors(ENGINE)
            .end(),
    );
    all.push(
        Op::new(s, Post, "/search", ASKING, "Find passages, without an answer")
            .takes::<SearchRequest>()
            .gives::<SearchResponse>(200, "Passages, most relevant first.")
            .errors(ENGINE)
            .end(),
    );
    all.push(
        Op::new(s, Post, "/search/similar", ASKING, "Find documents like a given one")
            .takes::<SimilarRequest>()
            .gives::<SimilarResponse>(200, "Documents, most alike first.")
            .errors(&[404, 409, 504])
            .end(),
    );
    all.push(
        Op::new(s, Post, "/analyze", ASKING, "What is understood of a question, without a search")
            .takes::<AnalyzeRequest>()
            .gives::<AnalyzeResponse>(200, "What was understood, and the searches that would be run.")
            .errors(&[404, 504])
            .end(),
    );
}

fn collections(s: &mut Schemas, all: &mut Vec<Operation>) {
    all.push(
        Op::new(s, Get, "/collections", COLLECTIONS, "List collections")
            .gives::<CollectionList>(200, "Those that the credentials let see, by name.")
            .end(),
    );
    all.push(
        Op::new(s, Post, "/collections", COLLECTIONS, "Make a collection")
            .needs(Some(Scope::Write))
            .takes::<CreateCollection>()
            .gives::<CollectionInfo>(201, "The collection.")
            .errors(&[404, 409])
            .end(),
    );
    for path in ["/collections/{name}", "/collections/{name}/info"] {
        all.push(
            Op::new(s, Get, path, COLLECTIONS, "A collection, its counts and its pipeline")
                .gives::<CollectionInfo>(200, "The collection.")
                .end(),
        );
    }
    all.push(
        Op::new(
            s,
            Delete,
            "/collections/{name}",
            COLLECTIONS,
            "Delete a collection with all its documents",
        )
        .needs(Some(Scope::Delete))
        .query::<DeleteParams>()
        .gives::<DeletedCollection>(200, "What was removed.")
        .errors(&[409])
        .end(),
    );
    all.push(
        Op::new(
            s,
            Get,
            "/collections/{name}/index",
            COLLECTIONS,
            "Where a collection's vectors are kept",
        )
        .gives::<CollectionPlace>(200, "The place, and how far its last move is.")
        .end(),
    );
    all.push(
        Op::new(
            s,
            Put,
            "/collections/{name}/index",
            COLLECTIONS,
            "Move a collection between indexes",
        )
        .says(
            "Copies its vectors between the server's own index and a Qdrant server, without embedding anything again, while the \
                 collection is in use; `GET` tells how far that is. Naming the place where it is stops a move.",
        )
        .needs(Some(Scope::Admin))
        .takes::<MoveCollection>()
        .gives::<CollectionPlace>(200, "It is there.")
        .gives::<CollectionPlace>(202, "It is being moved.")
        .errors(&[409, 503])
        .end(),
    );
    all.push(
        Op::new(s, Get, "/collections/{name}/pipeline", COLLECTIONS, "The pipeline of a collection")
            .gives::<CollectionPipeline>(200, "The pipeline, and what it resolved to.")
            .end(),
    );
    all.push(
        Op::new(s, Put, "/collections/{name}/pipeline", COLLECTIONS, "Put another pipeline in place")
            .says(
                "All of it is checked before anything changes. What is left out takes the default. Where documents that are there have to \
                 be made again, a re-index does that in the background, and then puts it in place: the answer is 202. `dry_run=true` \
                 tells before. While a collection is re-indexed, another pipeline is refused with 409.",
            )
            .needs(Some(Scope::Config))
            .query::<PipelineParams>()
            .takes::<Pipeline>()
            .gives::<PipelineChanged>(200, "The pipeline that holds, or would hold.")
            .gives::<PipelineChanged>(202, "The pipeline that will hold, once the re-index is done.")
            .errors(&[409])
            .end(),
    );
    all.push(
        Op::new(
            s,
            Post,
            "/collections/{name}/reindex",
            COLLECTIONS,
            "Make the documents of a collection again",
        )
        .says(
            "By its pipeline and what is installed now, in the background; queries see the old index until the new one is whole. Each \
                 document has made again what its lock says it needs, or what `redo` asks for. `GET /collections/{name}/info` and \
                 `/ws/collections` tell how far it is.",
        )
        .needs(Some(Scope::Config))
        .query::<ReindexParams>()
        .gives::<ReindexPlan>(202, "It has begun.")
        .gives::<ReindexPlan>(200, "What it would take.")
        .errors(&[409])
        .end(),
    );
    all.push(
        Op::new(s, Delete, "/collections/{name}/reindex", COLLECTIONS, "Stop a re-index")
            .says("The collection stays as it was.")
            .needs(Some(Scope::Config))
            .gives::<ReindexInfo>(200, "How it ended.")
            .errors(&[409])
            .end(),
    );
}

fn pipelines(s: &mut Schemas, all: &mut Vec<Operation>) {
    let any = Schema::from(ObjectBuilder::new().schema_type(Type::Object).build());
    all.push(
        Op::new(
            s,
            Get,
            "/pipelines/schema",
            COLLECTIONS,
            "The JSON Schema of pipelines, for editors",
        )
        .needs(None)
        .answers(200, "A JSON Schema (2020-12).", "application/json", Some(any.into()))
        .end(),
    );
    all.push(
        Op::new(
            s,
            Post,
            "/pipelines/validate",
            COLLECTIONS,
            "Check a pipeline against what is installed",
        )
        .says("Nothing changes. A pipeline that would not run is answered 400, and `details.field` names the key.")
        .needs(Some(Scope::Write))
        .takes::<Pipeline>()
        .gives::<PipelineValid>(200, "It would run.")
        .end(),
    );
}

fn plugins(s: &mut Schemas, all: &mut Vec<Operation>) {
    let config = Some(Scope::Config);
    all.push(
        Op::new(s, Get, "/plugins", PLUGINS, "List installed plugins")
            .needs(config)
            .gives::<PluginList>(200, "By name, then the newest version first.")
            .end(),
    );
    let component = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .description(Some("A component."))
        .content("application/wasm", Content::new(Some(binary())))
        .content("application/octet-stream", Content::new(Some(binary())));
    all.push(
        Op::new(s, Post, "/plugins", PLUGINS, "Install a plugin")
            .needs(config)
            .query::<InstallParams>()
            .body(component.build())
            .gives::<PluginInstalled>(201, "It is installed.")
            .gives::<PluginInstalled>(200, "The same bytes were installed before.")
            .errors(&[400, 408, 409, 413, 415, 422])
            .end(),
    );
    all.push(
        Op::new(s, Get, "/plugins/{name}", PLUGINS, "A plugin, in all installed versions")
            .needs(config)
            .gives::<PluginList>(200, "The newest version first.")
            .end(),
    );
    all.push(
        Op::new(s, Delete, "/plugins/{name}", PLUGINS, "Remove a plugin")
            .needs(config)
            .query::<RemoveParams>()
            .gives::<PluginRemoved>(200, "What was removed, and whose pipelines go on without it.")
            .errors(&[409])
            .end(),
    );
    all.push(
        Op::new(s, Post, "/plugins/{name}/try", PLUGINS, "Try a plugin on a text")
            .needs(config)
            .says("Nothing is stored. A chunker is given the text as a Markdown document, an analyzer as a question, a formatter as an answer whose lines each cite themselves.")
            .takes::<TryPlugin>()
            .gives::<TryResult>(200, "What it made of the text.")
            .errors(&[404, 500, 503, 504])
            .end(),
    );
    all.push(
        Op::new(s, Get, "/plugins/{name}/log", PLUGINS, "Follow what a plugin writes to the log")
            .needs(config)
            .streams::<PluginLogLine>("Events `line` and `dropped`, until the client leaves.")
            .streams::<PluginLogDropped>("")
            .end(),
    );
}

fn server(s: &mut Schemas, all: &mut Vec<Operation>) {
    all.push(
        Op::new(s, Get, "/health", OPERATIONS, "How the services are")
            .needs(None)
            .gives::<Health>(200, "All that is needed works.")
            .gives_or_fails::<Health>(503, "Something that is needed does not.")
            .end(),
    );
    all.push(
        Op::new(s, Get, "/health/live", OPERATIONS, "Whether the process answers")
            .needs(None)
            .gives::<Readiness>(200, "It does.")
            .end(),
    );
    all.push(
        Op::new(s, Get, "/health/ready", OPERATIONS, "Whether to send requests here")
            .needs(None)
            .gives::<Readiness>(200, "Yes.")
            .gives_or_fails::<Readiness>(503, "No.")
            .end(),
    );
    all.push(
        Op::new(
            s,
            Get,
            "/status",
            OPERATIONS,
            "How the server and its machine are, and what is held",
        )
        .gives::<ServerStatus>(200, "As it is now.")
        .end(),
    );
    all.push(
        Op::new(s, Get, "/metrics", OPERATIONS, "What is counted and measured, for Prometheus")
            .needs(Some(Scope::Monitor))
            .query::<MetricsParams>()
            .answers(200, "In Prometheus' text format, or as JSON.", "text/plain", Some(string()))
            .answers(200, "", "application/json", Some(object()))
            .end(),
    );
    all.push(
        Op::new(s, Get, "/config", OPERATIONS, "The settings that hold")
            .needs(Some(Scope::Config))
            .gives::<ConfigShown>(200, "By key; secrets are hidden.")
            .errors(&[404])
            .end(),
    );
    all.push(
        Op::new(s, Get, "/backup", OPERATIONS, "All that the server keeps, as a tar archive")
            .needs(Some(Scope::Admin))
            .says("Made while the server serves, as of one moment; for credentials of all collections. The last entry, `manifest.json`, has the SHA-256 of every other: an archive without it is not whole. `ibid backup` reads this, and `ibid restore` puts it back.")
            .answers(200, "The archive.", "application/x-tar", None)
            .errors(&[409])
            .end(),
    );
    let changes = ObjectBuilder::new().schema_type(Type::Object).build();
    all.push(
        Op::new(s, Put, "/config", OPERATIONS, "Change settings while the server runs")
            .says("Values by key, such as `{\"query.timeout_seconds\": 30}`: all of them are taken, or none. Forgotten when the server stops.")
            .needs(Some(Scope::Config))
            .takes_json(Schema::from(changes))
            .gives::<ConfigChanged>(200, "What changed, and all that holds now.")
            .errors(&[404])
            .end(),
    );
    all.push(
        Op::new(
            s,
            Get,
            "/auth/me",
            OPERATIONS,
            "Who the credentials say that one is, and what one may do",
        )
        .needs(None)
        .gives::<Me>(200, "The subject.")
        .errors(&[401])
        .end(),
    );
    all.push(
        Op::new(s, Get, "/openapi.json", OPERATIONS, "This document")
            .needs(None)
            .answers(200, "OpenAPI 3.1.", "application/json", Some(object()))
            .end(),
    );
    all.push(
        Op::new(s, Get, "/docs", OPERATIONS, "A page to read this document")
            .needs(None)
            .answers(200, "HTML.", "text/html; charset=utf-8", Some(string()))
            .end(),
    );
    all.push(
        Op::new(s, Get, "/docs/{name}", OPERATIONS, "A part of that page")
            .needs(None)
            .answers(200, "A script or a style sheet.", "*/*", None)
            .end(),
    );
    all.push(
        Op::new(s, Get, "/ui/{name}", OPERATIONS, "A part of the page for people, which is at `/`")
            .needs(None)
            .answers(200, "HTML, a script, a style sheet or an icon.", "*/*", None)
            .errors(&[404])
            .end(),
    );
}

fn openai(s: &mut Schemas, all: &mut Vec<Operation>) {
    all.push(
        Op::new(s, Post, "/v1/embeddings", OPENAI, "Embed texts")
            .takes::<EmbeddingRequest>()
            .gives::<EmbeddingResponse>(200, "A vector for each text.")
            .errors(&[404, 504])
            .end(),
    );
    all.push(
        Op::new(
            s,
            Post,
            "/v1/chat/completions",
            OPENAI,
            "Ask the collection that is named as the model",
        )
        .says("The last message of the user is the question. Citations are the answer's `annotations`, in full in `sources`.")
        .takes::<ChatRequest>()
        .gives::<ChatCompletion>(200, "The answer; with `stream` in pieces, as server-sent events.")
        .streams::<ChatChunk>("")
        .errors(&[404, 502, 504])
        .end(),
    );
    all.push(
        Op::new(s, Get, "/v1/models", OPENAI, "What may be named as model")
            .gives::<ModelList>(200, "Collections, and the embedding model.")
            .end(),
    );
    all.push(
        Op::new(s, Get, "/v1/models/{id}", OPENAI, "One of them")
            .gives::<ModelInfo>(200, "The model.")
            .end(),
    );
}

/// Resumable uploads, by tus.
fn resumable(s: &mut Schemas, all: &mut Vec<Operation>) {
    let header = |name: &str, what: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(what))
            .schema(Some(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())))
            .build()
    };
    let version = || header("Tus-Resumable", "`1.0.0`; without it the answer is 412.");
    let bytes = || {
        RequestBodyBuilder::new()
            .content("application/offset+octet-stream", Content::new(None::<Schema>))
            .build()
    };
    all.push(
        Op::new(s, Post, "/uploads", DOCUMENTS, "Begin a resumable upload")
            .says("tus 1.0.0 with creation, creation-with-upload, termination and expiration. `Location` tells where it is.")
            .needs(Some(Scope::Write))
            .parameter(version())
            .parameter(header("Upload-Length", "Bytes of the file."))
            .parameter(header(
                "Upload-Metadata",
                "Pairs of a key and a value in base64: `filename`, and perhaps `filetype`, `collection_name`, `chunk_size`, \
                 `chunk_overlap`; others are kept with the document.",
            ))
            .body(bytes())
            .empty(201, "The upload waits for its bytes.")
            .errors(&[404, 408, 409, 412, 413, 415])
            .end(),
    );
    all.push(
        Op::new(s, Get, "/uploads/{id}", DOCUMENTS, "How far an upload is, or how it ended")
            .needs(Some(Scope::Write))
            .gives::<UploadInfo>(200, "The upload.")
            .errors(&[404, 409, 410, 412])
            .end(),
    );
    all.push(
        Op::new(s, Patch, "/uploads/{id}", DOCUMENTS, "Go on with an upload")
            .needs(Some(Scope::Write))
            .parameter(version())
            .parameter(header("Upload-Offset", "Where the bytes go: as many as are there."))
            .body(bytes())
            .empty(204, "The bytes are durable.")
            .errors(&[404, 408, 409, 410, 412, 413, 415])
            .end(),
    );
    all.push(
        Op::new(
            s,
            Post,
            "/uploads/{id}",
            DOCUMENTS,
            "As the method that `X-HTTP-Method-Override` names",
        )
        .needs(Some(Scope::Write))
        .parameter(version())
        .parameter(header("X-HTTP-Method-Override", "PATCH or DELETE."))
        .body(bytes())
        .empty(204, "It is done.")
        .errors(&[404, 405, 408, 409, 410, 412, 413, 415])
        .end(),
    );
    all.push(
        Op::new(s, Delete, "/uploads/{id}", DOCUMENTS, "Cancel an upload")
            .needs(Some(Scope::Write))
            .parameter(version())
            .empty(204, "Nothing of it is left.")
            .errors(&[404, 409, 412])
            .end(),
    );
}

fn others(s: &mut Schemas, all: &mut Vec<Operation>) {
    all.push(
        Op::new(s, Post, "/mcp", MCP, "One message of the Model Context Protocol")
            .says("Streamable HTTP without sessions. Tools: `search`, `ask` and `list_collections`.")
            .takes_json(object())
            .answers(200, "The answer to a request.", "application/json", Some(object()))
            .answers(200, "", "text/event-stream", Some(string()))
            .empty(202, "A notification was taken.")
            .errors(&[404, 406])
            .end(),
    );
    for (path, summary) in [
        ("/ws/query", "Ask, many questions at a time"),
        ("/ws/upload", "Watch uploads, and upload"),
        ("/ws/collections", "Watch collections"),
        ("/ws/monitor", "Watch the server"),
    ] {
        all.push(
            Op::new(s, Get, path, SOCKETS, summary)
                .needs(None)
                .empty(101, "The WebSocket is open.")
                .errors(&[400, 426])
                .end(),
        );
    }
}

/// The form of an upload.
fn form() -> RequestBody {
    let files = ArrayBuilder::new()
        .items(utoipa::openapi::RefOr::T(file()))
        .min_items(Some(1))
        .description(Some("The files."));
    let number = |what: &str| {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .description(Some(what.to_owned()))
    };
    let text = |what: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(what.to_owned()));
    let form = ObjectBuilder::new()
        .property(
            "collection_name",
            text("Where they go; made if there is none. Default from the settings."),
        )
        .property("metadata", text("A JSON object of texts, numbers and booleans, for every file."))
        .property(
            "chunk_size",
            number("Size of the chunks, if not the collection's; in its chunker's unit."),
        )
        .property("chunk_overlap", number("Overlap of the chunks, likewise."))
        .property(
            "processing_mode",
            text("`speed`, `balanced` or `comprehensive`: accepted, every document is processed in full."),
        )
        .property(
            "wait",
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .description(Some("Whether to wait (default true).")),
        )
        .property("files", files)
        .required("files");
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("multipart/form-data", Content::new(Some(Schema::from(form.build()))))
        .build()
}

fn file() -> Schema {
    let format = SchemaFormat::Custom("binary".to_owned());
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
}

fn binary() -> utoipa::openapi::RefOr<Schema> {
    file().into()
}

fn string() -> utoipa::openapi::RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(Type::String).build()).into()
}

fn object() -> utoipa::openapi::RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(Type::Object).build()).into()
}
