//! Installation of agents: scripts, the control plane's CA, and the artefacts. Nothing of it is
//! secret, so no credential is asked for.

mod artefacts;
mod quote;
mod settings;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderName, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use control::Rates;
use domain::{Error, Reason};
use futures::stream;
use pem::{EncodeConfig, LineEnding};
use sha2::{Digest as _, Sha256};

pub use self::settings::{GivenScriptSettings, InstallOptions, ScriptSettings};
use self::{
    artefacts::{Artefacts, NotSent, SUMS, read_text},
    quote::{Language, fill},
};
use crate::error::ApiError;

/// Requests per second of one address, and its burst: many machines may share an address.
const RATE_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
const RATE_BURST: NonZeroU32 = NonZeroU32::new(500).unwrap();
/// Maximum number of certificates in the CA file.
const MAX_CAS: usize = 16;

const TEXT: &str = "text/plain; charset=utf-8";

/// State of the handlers.
#[derive(Debug)]
struct Installer {
    scripts: Option<ScriptSettings>,
    artefacts: Option<Artefacts>,
    rates: Rates,
}

/// Routes of the scripts and of the artefacts.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(options: InstallOptions) -> Router<S> {
    let installer = Arc::new(Installer {
        scripts: options.scripts,
        artefacts: options.artefacts_dir.map(Artefacts::new),
        rates: Rates::new(RATE_PER_SECOND, RATE_BURST),
    });
    Router::new()
        .route("/install.sh", get(shell))
        .route("/install.ps1", get(powershell))
        .route("/ca.crt", get(ca))
        .route("/artefacts/{name}", get(artefact))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&installer), limited))
        .with_state(installer)
}

/// Limits the requests of one address.
async fn limited(State(installer): State<Arc<Installer>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = peer.map(|info| info.0.ip().to_string()).unwrap_or_default();
    match installer.rates.take(&address) {
        Ok(()) => next.run(request).await,
        Err(wait) => ApiError::rate_limited(wait.max(Duration::from_secs(1))).into_response(),
    }
}

async fn shell(State(installer): State<Arc<Installer>>) -> Result<Response, ApiError> {
    installer.script(include_str!("install.sh"), Language::Shell).await
}

async fn powershell(State(installer): State<Arc<Installer>>) -> Result<Response, ApiError> {
    installer.script(include_str!("install.ps1"), Language::PowerShell).await
}

async fn ca(State(installer): State<Arc<Installer>>) -> Result<Response, ApiError> {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    Ok(plain(TEXT, pem::encode_many_config(&installer.certificates().await?, lines)))
}

async fn artefact(
    State(installer): State<Arc<Installer>>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let unknown =
        || Error::new(Reason::PathNotFound, "no such artefact; /artefacts/SHA256SUMS lists all of them");
    let artefacts = installer.artefacts.as_ref().ok_or_else(|| {
        Error::new(
            Reason::PathNotFound,
            "this API serves no artefacts: set api.artefacts_dir, or use another source",
        )
    })?;
    if name == SUMS {
        return Ok(plain(TEXT, artefacts.sums().await.map_err(broken)?));
    }
    let download = artefacts.open(&name).await.map_err(|not_sent| match not_sent {
        NotSent::Unknown => unknown().into(),
        NotSent::Busy => ApiError::overloaded(),
        NotSent::Broken(reason) => broken(reason),
    })?;
    let pieces = stream::unfold(download.pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, download.size_bytes.to_string()),
        (header::ETAG, format!("\"{}\"", download.sha256)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

impl Installer {
    /// Fills the settings into a script.
    async fn script(&self, template: &str, language: Language) -> Result<Response, ApiError> {
        let scripts = self.scripts()?;
        let fingerprints: Vec<_> = self
            .certificates()
            .await?
            .iter()
            .map(|certificate| hex::encode(Sha256::digest(certificate.contents())))
            .collect();
        let sums_sha256 = match (&scripts.sums_sha256, &self.artefacts) {
            (Some(sha256), _) => sha256.clone(),
            (None, Some(artefacts)) => artefacts.sums_sha256().await.map_err(broken)?,
            (None, None) => return Err(broken("no SHA-256 of SHA256SUMS is known".into())),
        };
        let values = [
            ("API_URL", scripts.public_url.as_str()),
            ("ARTEFACTS_URL", &scripts.artefacts_url),
            ("AGENTS_URLS", &scripts.agents_urls.join(",")),
            ("CA_SHA256", &fingerprints.join(" ")),
            ("SUMS_SHA256", &sums_sha256),
        ];
        Ok(plain(TEXT, fill(template, language, &values)))
    }

    fn scripts(&self) -> Result<&ScriptSettings, ApiError> {
        let unset =
            "this API serves no install script: set api.public_url, api.agents_urls and api.artefacts_dir";
        self.scripts.as_ref().ok_or_else(|| Error::new(Reason::PathNotFound, unset).into())
    }

    /// Reads the control plane's CAs. Nothing but certificates leaves the file.
    async fn certificates(&self) -> Result<Vec<pem::Pem>, ApiError> {
        let path = &self.scripts()?.ca_file;
        let blocks = pem::parse_many(read_text(path).await.map_err(broken)?);
        let mut blocks =
            blocks.map_err(|error| broken(format!("{} is not valid: {error}", path.display())))?;
        blocks.retain(|block| block.tag() == "CERTIFICATE");
        match blocks.len() {
            1..=MAX_CAS => Ok(blocks),
            number => Err(broken(format!(
                "{} has {number} certificates; 1 to {MAX_CAS} are possible",
                path.display()
            ))),
        }
    }
}

/// Logs why the files of this API cannot be served. The client learns nothing of its machine.
fn broken(reason: String) -> ApiError {
    tracing::error!(reason, "cannot serve the installation");
    Error::internal().into()
}

/// Small answer that no cache keeps: the pinned hashes change with each release.
fn plain(content_type: &'static str, body: impl Into<Body>) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body.into()).into_response()
}
