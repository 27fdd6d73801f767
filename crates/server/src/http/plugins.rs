//! `/plugins`.

use super::body;
use super::call::Call;
use super::documents::to_the_end;
use super::respond::{BodyError, Failure, Reply, json};
use super::sse;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use hyper::body::Frame;
use ibid_auth::Subject;
use ibid_engine::Config;
use ibid_engine::{MAX_PLUGIN_BYTES, PluginLogEvent};
use ibid_protocol::{ApiError, ErrorCode, PluginList, TryPlugin};
use serde::Deserialize;
use utoipa::IntoParams;

/// `GET /plugins`.
pub(super) async fn list(call: &Call) -> Result<Reply, Failure> {
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
pub(super) async fn get(call: &Call, name: &str) -> Result<Reply, Failure> {
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
pub(super) async fn install(call: &mut Call) -> Result<Reply, Failure> {
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
pub(super) async fn remove(call: &Call, name: String) -> Result<Reply, Failure> {
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
pub(super) async fn try_out(call: &mut Call, name: &str) -> Result<Reply, Failure> {
    let request: TryPlugin = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Config>()?.try_plugin(name, request).await?))
}

/// `GET /plugins/{name}/log`: what the plugin writes to the server's log from now on, as server-sent events: `line`, and `dropped`
/// where the client reads too slowly. Ends when the client leaves, its credentials end, or the server stops.
pub(super) async fn log(call: &Call, name: &str) -> Result<Reply, Failure> {
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
