//! `/plugins`.

use super::body;
use super::call::Call;
use super::documents::to_the_end;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, binary};
use super::respond::{BodyError, Failure, Reply, json};
use super::sse;
use crate::limits::Budget;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use hyper::body::Frame;
use ibid_auth::Scope;
use ibid_auth::Subject;
use ibid_engine::Config;
use ibid_engine::{MAX_PLUGIN_BYTES, PluginLogEvent};
use ibid_protocol::{ApiError, ErrorCode, PluginList, TryPlugin};
use ibid_protocol::{PluginInstalled, PluginLogDropped, PluginLogLine, PluginRemoved, TryResult};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{Content, Required};

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/plugins",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(list(call)),
        operation: |op| {
            op.about(Tag::Plugins, "List installed plugins")
                .gives::<PluginList>(200, "By name, then the newest version first.")
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/plugins",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(install(call)),
        operation: |op| {
            op.about(Tag::Plugins, "Install a plugin")
                .query::<InstallParams>()
                .body(component())
                .gives::<PluginInstalled>(201, "It is installed.")
                .gives::<PluginInstalled>(200, "The same bytes were installed before.")
                .errors(&[400, 408, 409, 413, 415, 422])
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/plugins/{name}",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(get(call)),
        operation: |op| {
            op.about(Tag::Plugins, "A plugin, in all installed versions")
                .gives::<PluginList>(200, "The newest version first.")
        },
    },
    Endpoint {
        method: Verb::Delete,
        path: "/plugins/{name}",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(remove(call)),
        operation: |op| {
            op.about(Tag::Plugins, "Remove a plugin")
                .query::<RemoveParams>()
                .gives::<PluginRemoved>(200, "What was removed, and the collections whose pipelines continue without it.")
                .errors(&[409])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/plugins/{name}/try",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(try_out(call)),
        operation: |op| {
            op.about(Tag::Plugins, "Try a plugin on a text")
            .description("Nothing is stored. A chunker is given the text as a Markdown document, an analyzer as a question, a formatter as an answer whose lines each cite themselves.")
            .takes::<TryPlugin>()
            .gives::<TryResult>(200, "The output of the plugin.")
            .errors(&[404, 500, 503, 504])
        },
    },
    Endpoint {
        method: Verb::GetWithoutHead,
        path: "/plugins/{name}/log",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(log(call)),
        operation: |op| {
            op.about(Tag::Plugins, "Follow what a plugin writes to the log")
                .streams::<PluginLogLine>("Events `line` and `dropped`, until the client leaves.")
                .streams::<PluginLogDropped>("")
        },
    },
];

/// Describes the body of `POST /plugins`.
fn component() -> RequestBody {
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .description(Some("A component."))
        .content("application/wasm", Content::new(Some(binary())))
        .content("application/octet-stream", Content::new(Some(binary())))
        .build()
}

/// `GET /plugins`.
async fn list(call: &Call) -> Result<Reply, Failure> {
    let plugins = call.with::<Config>()?.plugins().await?;
    Ok(json(StatusCode::OK, &shown(plugins, &call.subject)))
}

/// What a subject may know of plugins: of collections that it does not see nothing, nor of what was done in them.
fn shown(mut list: PluginList, subject: &Subject) -> PluginList {
    if subject.sees_all() {
        return list;
    }
    for plugin in &mut list.plugins {
        plugin.used_by.retain(|collection| subject.sees(collection));
        plugin.stats = None;
        if let Some(quarantine) = &mut plugin.quarantine {
            quarantine.reason.clear();
        }
    }
    list
}

/// `GET /plugins/{name}`.
async fn get(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    let versions = call.with::<Config>()?.plugin(name).await?;
    Ok(json(StatusCode::OK, &shown(versions, &call.subject)))
}

/// Parameters of `POST /plugins`.
#[derive(Deserialize, IntoParams)]
pub(super) struct InstallParams {
    /// Take the place of other bytes of the same name and version.
    replace: Option<bool>,
}

/// `POST /plugins?replace=`: the body is a component. 201, or 200 where the same bytes are installed.
async fn install(call: &mut Call) -> Result<Reply, Failure> {
    call.require_all_collections()?;
    let InstallParams { replace } = call.params()?;
    let granted = call.with::<Config>()?;
    let change = granted.plugin_change().await?;
    let bytes = body::bytes(call, MAX_PLUGIN_BYTES).await?;
    if bytes.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidMessage, "The body is empty: send the component's bytes.").into());
    }
    let work = async move { granted.install_plugin(change, bytes, replace.unwrap_or(false)).await };
    match to_the_end(work).await {
        Ok((installed, new)) => Ok(json(if new { StatusCode::CREATED } else { StatusCode::OK }, &installed)),
        // What is wrong is the component, not the server.
        Err(error) if error.code == ErrorCode::PluginError => Err(Failure::with_status(error, StatusCode::UNPROCESSABLE_ENTITY)),
        Err(error) => Err(error.into()),
    }
}

/// Parameters of `DELETE /plugins/{name}`.
#[derive(Deserialize, IntoParams)]
pub(super) struct RemoveParams {
    /// Of several installed versions, the one that is meant.
    version: Option<String>,
    /// Remove it although pipelines need it.
    force: Option<bool>,
}

/// `DELETE /plugins/{name}?version=&force=`.
async fn remove(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
    call.require_all_collections()?;
    let RemoveParams { version, force } = call.params()?;
    let granted = call.with::<Config>()?;
    let change = granted.plugin_change().await?;
    let work = async move {
        granted
            .remove_plugin(change, &name, version.as_deref(), force.unwrap_or(false))
            .await
    };
    Ok(json(StatusCode::OK, &to_the_end(work).await?))
}

/// `POST /plugins/{name}/try`: what the plugin makes of a text. Nothing is stored.
async fn try_out(call: &mut Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
    let request: TryPlugin = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Config>()?.try_plugin(&name, request).await?))
}

/// `GET /plugins/{name}/log`: what the plugin writes to the server's log from now on, as server-sent events: `line`, and `dropped`
/// where the client reads too slowly. Ends when the client leaves, its credentials end, or the server stops.
async fn log(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    call.require_all_collections()?;
    let grant = call.known()?.clone();
    let log = call.with::<Config>()?.plugin_log(name)?;
    let stopping = call.shared.stopping.clone();
    // The head of the answer is sent with the first bytes of its body.
    let begin = stream::once(async { Bytes::from_static(b": following\n\n") });
    let lines = stream::unfold((log, stopping, grant), |(mut log, stopping, grant)| async {
        let event = tokio::select! {
            event = tokio::time::timeout(sse::KEEP_ALIVE, log.next()) => event,
            () = stopping.cancelled() => return None,
            _ = grant.ended() => return None,
        };
        let bytes = match event {
            Err(_) => sse::still_here(),
            Ok(None) => return None,
            Ok(Some(PluginLogEvent::Line(line))) => sse::event("line", serde_json::to_string(&line)),
            Ok(Some(PluginLogEvent::Dropped(dropped))) => sse::event("dropped", serde_json::to_string(&dropped)),
        };
        Some((bytes, (log, stopping, grant)))
    });
    Ok(sse::reply(begin.chain(lines).map(|bytes| Ok::<_, BodyError>(Frame::data(bytes)))))
}
