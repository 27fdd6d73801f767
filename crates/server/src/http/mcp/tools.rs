//! The tools that agents may call: `search`, `ask` and `list_collections`.

use ibid_engine::{Read, Session};
use ibid_protocol::{
    self as protocol, Answer, ApiError, CollectionList, Filters, Mode, QueryOptions, SearchRequest, SearchResponse, Source,
};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Deserialize;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use utoipa::ToSchema;

const INSTRUCTIONS: &str = "Documents of this server, as a source that can be quoted. `list_collections` tells what there is; `ask` answers a question \
                            in statements of the documents, each with an exact quotation, its file and page; `search` finds passages to read. Quotations \
                            are the documents' own words: keep them as they are, and name file and page.";

/// The server that one request talks to.
#[derive(Clone)]
pub(super) struct Tools {
    session: Session,
}

/// Arguments of `ask`.
#[derive(Debug, Deserialize, ToSchema)]
struct AskArguments {
    /// The question: 1 to 8,192 characters after trimming.
    #[schema(min_length = 1, max_length = 8192, pattern = r"\S")]
    query: String,
    /// The collection to ask, as `list_collections` names it; absent takes the server's default.
    #[serde(default)]
    collection_name: Option<String>,
    /// What to spend.
    #[serde(default)]
    mode: Option<Mode>,
    /// Passages to retrieve: 1 to 100 (default 10).
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    max_results: Option<u32>,
    /// Language of the answer (BCP 47), for generators that can choose it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    language: Option<String>,
    /// Restricts the search.
    #[serde(default)]
    filters: Option<Filters>,
}

/// Arguments of `list_collections`: none.
#[derive(Debug, Deserialize, ToSchema)]
struct NoArguments {}

impl Tools {
    /// For a subject's session.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<CallToolResult, ApiError> {
        let granted = self.session.with::<Read>()?;
        match name {
            "search" => {
                let request: SearchRequest = protocol::parse(arguments)?;
                granted.require_collection(request.collection_name.as_deref())?;
                let found = granted.search(request).await?;
                Ok(result(&found, passages(&found)))
            }
            "ask" => {
                let asked: AskArguments = protocol::parse(arguments)?;
                granted.require_collection(asked.collection_name.as_deref())?;
                let options = QueryOptions {
                    query: Some(asked.query),
                    collection_name: asked.collection_name,
                    mode: asked.mode,
                    max_results: asked.max_results,
                    language: asked.language,
                    filters: asked.filters,
                    ..QueryOptions::default()
                };
                let answer = granted.answer(options).await?;
                Ok(result(&answer, with_sources(&answer)))
            }
            _ => {
                let NoArguments {} = protocol::parse(arguments)?;
                let list = granted.collections().await?;
                Ok(result(&list, names(&list)))
            }
        }
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("ibid", env!("CARGO_PKG_VERSION")).with_title("Ibid"))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools().to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        if self.get_tool(&request.name).is_none() {
            let known: Vec<&str> = tools().iter().map(|tool| tool.name.as_ref()).collect();
            let message = format!("there is no tool of that name; there are {}", known.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        }
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let work = self.call(&request.name, arguments);
        let outcome = tokio::select! {
            outcome = work => outcome,
            // Dropping the work stops it.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("the request was cancelled", None)),
        };
        Ok(outcome.unwrap_or_else(|error| failed(&error)).into())
    }
}

/// The descriptions of the tools, which agents read.
fn tools() -> &'static [Tool] {
    static TOOLS: OnceLock<Vec<Tool>> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let reads = || ToolAnnotations::new().read_only(true).open_world(false);
        vec![
            Tool::new(
                "ask",
                "Answers a question from the documents of a collection. Each statement has a citation: an exact quotation with its file and page.",
                schema::<AskArguments>(),
            )
            .with_title("Ask the documents")
            .with_raw_output_schema(schema::<Answer>())
            .with_annotations(reads()),
            Tool::new(
                "search",
                "Finds passages in the documents of a collection, most relevant first, each exactly as it stands, with its file and page.",
                schema::<SearchRequest>(),
            )
            .with_title("Search the documents")
            .with_raw_output_schema(schema::<SearchResponse>())
            .with_annotations(reads()),
            Tool::new(
                "list_collections",
                "Lists the collections that can be asked and searched, with how many documents each holds.",
                schema::<NoArguments>(),
            )
            .with_title("List collections")
            .with_raw_output_schema(schema::<CollectionList>())
            .with_annotations(reads()),
        ]
    })
}

/// The JSON Schema of a type, whole in itself.
fn schema<T: ToSchema>() -> Arc<JsonObject> {
    let mut nested = Vec::new();
    T::schemas(&mut nested);
    let mut whole = match serde_json::to_value(T::schema()) {
        Ok(Value::Object(whole)) => whole,
        _ => Map::new(),
    };
    let defs: Map<String, Value> = nested
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    whole.entry("type").or_insert_with(|| "object".into());
    if !defs.is_empty() {
        whole.insert("$defs".to_owned(), defs.clone().into());
    }
    let mut whole = Value::Object(whole);
    point_inwards(&mut whole, &defs);
    match whole {
        Value::Object(whole) => Arc::new(whole),
        _ => Arc::default(),
    }
}

/// Turns references into those of the OpenAPI document to references into the schema itself. One to what is not here says nothing.
fn point_inwards(value: &mut Value, defs: &Map<String, Value>) {
    match value {
        Value::Object(object) => {
            let name = object
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|to| to.strip_prefix("#/components/schemas/"));
            if let Some(name) = name.map(str::to_owned) {
                object.remove("$ref");
                if defs.contains_key(&name) {
                    object.insert("$ref".to_owned(), format!("#/$defs/{name}").into());
                }
            }
            object.values_mut().for_each(|value| point_inwards(value, defs));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| point_inwards(value, defs)),
        _ => {}
    }
}

/// A result for programs, and the same for whoever reads.
fn result(structured: &impl Serialize, text: String) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = serde_json::to_value(structured).ok();
    result
}

/// Returns the text of an error for the agent, so that it can correct its call.
fn failed(error: &ApiError) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(format!("{}: {}", error.code, error.message))])
}

fn with_sources(answer: &Answer) -> String {
    let mut text = answer.response.clone();
    for Source {
        citation_id,
        content,
        metadata,
        ..
    } in &answer.sources
    {
        let page = metadata.page.map(|page| format!(", page {page}")).unwrap_or_default();
        let _ = write!(text, "\n\n[{citation_id}] {}{page}: \u{201c}{content}\u{201d}", metadata.source);
    }
    text
}

fn passages(found: &SearchResponse) -> String {
    if found.results.is_empty() {
        return "Nothing was found.".to_owned();
    }
    let mut text = String::new();
    for hit in &found.results {
        let page = hit.metadata.page.map(|page| format!(", page {page}")).unwrap_or_default();
        let _ = write!(text, "{}. {}{page}:\n{}\n\n", hit.rank, hit.metadata.source, hit.content);
    }
    text.truncate(text.trim_end().len());
    text
}

fn names(list: &CollectionList) -> String {
    if list.collections.is_empty() {
        return "There is no collection.".to_owned();
    }
    let lines = list
        .collections
        .iter()
        .map(|c| format!("{} ({} documents)", c.name, c.stats.total_documents));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value) -> Vec<String> {
        match value {
            Value::Object(object) => object
                .iter()
                .flat_map(|(key, value)| match value.as_str() {
                    Some(to) if key == "$ref" => vec![to.to_owned()],
                    _ => references(value),
                })
                .collect(),
            Value::Array(values) => values.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_schema_is_whole_in_itself() {
        for tool in tools() {
            for schema in [Some(&tool.input_schema), tool.output_schema.as_ref()].into_iter().flatten() {
                let schema = Value::Object((**schema).clone());
                assert_eq!(schema["type"], "object", "{}", tool.name);
                for reference in references(&schema) {
                    let name = reference.strip_prefix("#/$defs/").expect("inwards");
                    assert!(schema["$defs"][name].is_object(), "{}: {reference}", tool.name);
                }
                assert!(jsonschema::validator_for(&schema).is_ok(), "{}: {schema}", tool.name);
            }
        }
    }
}
