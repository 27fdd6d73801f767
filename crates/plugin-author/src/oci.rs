//! Plugins in OCI registries: the implementation of `ibid plugin push` and `pull`.
//!
//! A component is an artifact in the form of the CNCF's guidance for WebAssembly, which `wkg` and Spin read and write: a config of type
//! `application/vnd.wasm.config.v0+json`, and one layer of type `application/wasm`. The same component has the same digest each time it is
//! pushed. Credentials are those of `docker login`.

use super::AuthorError;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use ibid_plugin_host::MAX_COMPONENT_BYTES;
use ibid_plugin_host::Manifest;
use ibid_plugin_host::digest_of;
use ibid_plugin_host::{Contract, inspect};
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
const LAYER_TYPE: &str = "application/wasm";
const CONNECT: Duration = Duration::from_secs(10);
/// How long a registry may send nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// A component from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// Its source, pinned by digest: `registry/name@sha256:...`.
    pub pinned: String,
}

/// Pushes a component, which must be a plugin. `reference` is `registry/name:tag`; without a tag, the plugin's version is the tag. Returns
/// the pinned reference.
///
/// `plain_http` connects to the registry without TLS, which is the default for one on this machine.
///
/// # Errors
/// A component that is not a plugin, a malformed reference, or an error of the registry.
pub async fn push(component: Vec<u8>, reference: &str, plain_http: bool) -> Result<String, AuthorError> {
    let manifest = Manifest::of_component(&component)?;
    let contract = inspect(&component).map_err(|message| AuthorError::NotAPlugin {
        name: manifest.name.clone(),
        message,
    })?;
    let mut target = parse(reference)?;
    if target.digest().is_some() {
        let message = "a digest names existing content; name a tag to push to";
        return Err(failed(reference, message.to_owned()));
    }
    if !names_tag(reference) {
        target = Reference::with_tag(
            target.registry().to_owned(),
            target.repository().to_owned(),
            // A tag must not contain `+`.
            manifest.version.to_string().replace('+', "-"),
        );
    }
    let config = Config::new(config(&component, &contract).to_string().into_bytes(), CONFIG_TYPE.to_owned(), None);
    let layer = ImageLayer::new(component, LAYER_TYPE.to_owned(), None);
    let mut image = OciImageManifest::build(std::slice::from_ref(&layer), &config, Some(annotations(&manifest)));
    image.media_type = Some("application/vnd.oci.image.manifest.v1+json".to_owned());
    let (client, auth) = client(&target, plain_http)?;
    let told = |error| registry_error(&target, error);
    client.auth(&target, &auth, RegistryOperation::Push).await.map_err(told)?;
    client.push(&target, &[layer], config, &auth, Some(image)).await.map_err(told)?;
    let digest = client.fetch_manifest_digest(&target, &auth).await.map_err(told)?;
    Ok(format!("{}/{}@{digest}", target.registry(), target.repository()))
}

/// Pulls a component by `registry/name:tag` or `registry/name@sha256:...`, and checks it against its digests.
///
/// # Errors
/// A malformed reference, an error of the registry, or an artifact that is not a component.
pub async fn pull(reference: &str, plain_http: bool) -> Result<Pulled, AuthorError> {
    let source = parse(reference)?;
    let (client, auth) = client(&source, plain_http)?;
    let told = |error| registry_error(&source, error);
    let (image, digest) = client.pull_image_manifest(&source, &auth).await.map_err(told)?;
    let mut layers = image.layers.iter().filter(|layer| layer.media_type == LAYER_TYPE);
    let (Some(layer), None) = (layers.next(), layers.next()) else {
        let types: Vec<&str> = image.layers.iter().map(|layer| layer.media_type.as_str()).collect();
        let message = format!(
            "it is not a component: it has layers of types {}, not one of {LAYER_TYPE}",
            types.join(", ")
        );
        return Err(failed(reference, message));
    };
    let too_large = || failed(reference, format!("it is larger than {} MiB", MAX_COMPONENT_BYTES >> 20));
    let size = usize::try_from(layer.size).ok().filter(|size| *size <= MAX_COMPONENT_BYTES);
    let mut component = Bounded(Vec::with_capacity(size.ok_or_else(too_large)?));
    match client.pull_blob(&source, layer, &mut component).await {
        Err(OciDistributionError::IoError(error)) if error.kind() == std::io::ErrorKind::FileTooLarge => return Err(too_large()),
        done => done.map_err(told)?,
    }
    Ok(Pulled {
        component: component.0,
        pinned: format!("{}/{}@{digest}", source.registry(), source.repository()),
    })
}

/// A buffer for a layer that enforces the size limit, whatever size the registry claims.
struct Bounded(Vec<u8>);

impl tokio::io::AsyncWrite for Bounded {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.0.len().saturating_add(bytes.len()) > MAX_COMPONENT_BYTES {
            return std::task::Poll::Ready(Err(std::io::ErrorKind::FileTooLarge.into()));
        }
        self.0.extend_from_slice(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// Returns the config of a component. Its time is the epoch: the current time would make each push another artifact.
fn config(component: &[u8], contract: &Contract) -> serde_json::Value {
    let names = |interfaces: &[ibid_plugin_host::Interface]| interfaces.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest_of(component)],
        "component": { "exports": names(&contract.exports), "imports": names(&contract.imports), "target": null },
    })
}

/// Returns the annotations that registries show.
fn annotations(manifest: &Manifest) -> BTreeMap<String, String> {
    let title = format!("{} ({})", manifest.name, manifest.kind);
    [
        ("title", title),
        ("version", manifest.version.to_string()),
        ("description", manifest.description.clone()),
        ("licenses", manifest.license.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value))
    .collect()
}

fn parse(reference: &str) -> Result<Reference, AuthorError> {
    let parsed = reference.parse::<Reference>().map_err(|error| error.to_string());
    // The default would be Docker's registry, which holds no plugins.
    let names_registry = reference
        .split_once('/')
        .is_some_and(|(registry, _)| registry.contains(['.', ':']) || registry == "localhost");
    match parsed {
        Ok(parsed) if names_registry => Ok(parsed),
        Ok(_) => Err(failed(
            reference,
            "it names no registry; write it like ghcr.io/name/plugin:1.0.0".to_owned(),
        )),
        Err(error) => Err(failed(reference, format!("{error}; write it like ghcr.io/name/plugin:1.0.0"))),
    }
}

fn names_tag(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|name| name.contains(':'))
}

fn client(reference: &Reference, plain_http: bool) -> Result<(Client, RegistryAuth), AuthorError> {
    ibid_system::tls::install_provider();
    let registry = reference.resolve_registry();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let is_local = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let config = ClientConfig {
        protocol: if plain_http || is_local {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        connect_timeout: Some(CONNECT),
        read_timeout: Some(SILENCE),
        user_agent: concat!("ibid/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    let client = Client::try_from(config).map_err(|error| failed(&reference.whole(), causes(&error)))?;
    let auth = match credential(registry).map_err(|message| failed(&reference.whole(), message))? {
        Some(DockerCredential::UsernamePassword(user, password)) => RegistryAuth::Basic(user, password),
        Some(DockerCredential::IdentityToken(token)) => RegistryAuth::Bearer(token),
        None => RegistryAuth::Anonymous,
    };
    Ok((client, auth))
}

/// Returns the credentials of `docker login` or `podman login` for a registry.
fn credential(registry: &str) -> Result<Option<DockerCredential>, String> {
    for kept in [
        docker_credential::get_credential(registry),
        docker_credential::get_podman_credential(registry),
    ] {
        match kept {
            Ok(credential) => return Ok(Some(credential)),
            // There is no login, or no file of logins.
            Err(
                CredentialRetrievalError::ConfigNotFound
                | CredentialRetrievalError::ConfigReadError
                | CredentialRetrievalError::NoCredentialConfigured,
            ) => {}
            Err(error) => return Err(format!("the credentials of `docker login` cannot be used: {error}")),
        }
    }
    Ok(None)
}

/// Converts a registry's error, and adds the remedy.
fn registry_error(reference: &Reference, error: OciDistributionError) -> AuthorError {
    let registry = reference.resolve_registry();
    let has = |error: &OciDistributionError, wanted: &[OciErrorCode]| match error {
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| wanted.contains(&error.code)),
        _ => false,
    };
    let missing = [
        OciErrorCode::ManifestUnknown,
        OciErrorCode::NameUnknown,
        OciErrorCode::NotFound,
        OciErrorCode::BlobUnknown,
    ];
    let closed = [OciErrorCode::Unauthorized, OciErrorCode::Denied];
    let login = || format!("the registry asks for other credentials: run `docker login {registry}` (or podman's)");
    let message = match &error {
        OciDistributionError::ImageManifestNotFoundError(_) => "there is no such artifact".to_owned(),
        error if has(error, &missing) => "there is no such artifact".to_owned(),
        OciDistributionError::ServerError { code: 404, .. } => "there is no such artifact".to_owned(),
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::ServerError { code: 401 | 403, .. } => login(),
        error if has(error, &closed) => login(),
        OciDistributionError::RequestError(error) if error.is_connect() => {
            format!("{registry} cannot be reached: {}", causes(error))
        }
        OciDistributionError::DigestError(error) => format!("the registry sent content with another digest: {error}"),
        error => causes(error),
    };
    failed(&reference.whole(), message)
}

fn failed(reference: &str, message: String) -> AuthorError {
    AuthorError::Oci {
        reference: reference.to_owned(),
        message,
    }
}

/// Returns an error with its causes, each once.
fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        next = cause.source();
    }
    said
}
