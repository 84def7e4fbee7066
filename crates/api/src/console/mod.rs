//! The web console: its files, its sessions, and sign-in with an identity provider.
//!
//! None of it is in the OpenAPI document: these calls belong to the console and change with it.

mod bounds;
mod cli;
mod cookie;
mod files;
mod identity_provider;
mod origin;
mod page;
mod pending;
mod session;
mod sign_in;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{HeaderName, HeaderValue, header, request::Parts},
    middleware,
    response::Response,
    routing::{get, post},
};
use control::{Control, Rates, RequestOrigin, Session, kept, source};
use domain::Error;
use tower_http::request_id::RequestId;

use bounds::{Bounds, bounded};
pub(crate) use cookie::session_secret;
pub use identity_provider::IdentityProvider;
pub(crate) use origin::check_same_origin;

use crate::error::ApiError;

/// Header of the token that a change with a session's cookie must carry.
const CSRF_HEADER: &str = "x-csrf-token";
/// Header of calls that a page makes by itself: they do not extend the session.
const BACKGROUND_HEADER: &str = "x-graywave-background";
/// Sign-ins of one address per second, and in a burst. Many people may share the address of a
/// proxy.
const SIGN_INS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
const SIGN_IN_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);

/// Settings of the console.
#[derive(Debug, Clone, Default)]
pub struct ConsoleOptions {
    /// URL at which browsers reach the console, without `/console`; `None` if it is not configured.
    pub public_url: Option<String>,
    /// Identity providers, in the order of the sign-in view.
    pub providers: Vec<IdentityProvider>,
}

/// State of the console's calls.
#[derive(Debug)]
struct Console {
    control: Control,
    rates: Rates,
    options: ConsoleOptions,
}

type Shared = Arc<Console>;

/// Returns the routes of the console.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    control: Control,
    options: &ConsoleOptions,
    body_timeout: Duration,
) -> Router<S> {
    let state = Arc::new(Console {
        control,
        rates: Rates::new(SIGN_INS_PER_SECOND, SIGN_IN_BURST),
        options: options.clone(),
    });
    let bounds = || middleware::from_fn_with_state(Bounds::new(body_timeout), bounded);
    // With places of their own: an identity provider that does not answer holds them for long.
    let with_provider = Router::new()
        .route("/console/login/{provider}", get(sign_in::begin))
        .route("/console/callback/{provider}", get(sign_in::callback))
        .layer(bounds());
    let calls = Router::new()
        .route("/console/providers", get(sign_in::providers))
        .route("/console/session", get(session::show).post(session::create).delete(session::delete))
        .route("/console/cli", get(cli::ask).post(cli::allow))
        .route("/console/cli/token", post(cli::exchange))
        .layer(bounds())
        .merge(with_provider)
        .layer(middleware::map_response(uncached));
    calls
        .route("/console", get(files::redirect))
        .route("/console/", get(files::index))
        .route("/console/{*path}", get(files::file))
        .with_state(state)
}

/// Keeps responses about sessions out of every cache.
async fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Authenticates a call by the session of its cookie. `None` without a cookie.
///
/// A change must come from a page of the same origin and carry the CSRF token. A read must not come
/// from another site either: a browser sends the cookie only from pages of the same site, but an
/// older browser may not know the attribute.
pub(crate) async fn authenticate(
    control: &Control,
    parts: &Parts,
    public_url: Option<&str>,
) -> Result<Option<Session>, Error> {
    let session = authenticate_page(control, parts, public_url).await?;
    if let Some(session) = &session
        && !parts.method.is_safe()
    {
        session.check_csrf(parts.headers.get(CSRF_HEADER).map(HeaderValue::as_bytes))?;
    }
    Ok(session)
}

/// Authenticates the request of a page that the server writes, whose form has the CSRF token: the
/// caller checks it.
async fn authenticate_page(
    control: &Control,
    parts: &Parts,
    public_url: Option<&str>,
) -> Result<Option<Session>, Error> {
    let Some(secret) = session_secret(&parts.headers) else { return Ok(None) };
    check_same_origin(parts, public_url)?;
    let session =
        control.authenticate_session(secret.as_bytes(), !is_background(parts), &address(parts)).await?;
    Ok(Some(session))
}

/// Returns whether a page makes the call by itself: on a timer, or as a stream of events, which a
/// browser reopens without a person.
fn is_background(parts: &Parts) -> bool {
    let accepts_events = parts
        .headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/event-stream"));
    accepts_events || parts.headers.contains_key(BACKGROUND_HEADER)
}

/// Address of the client, or of the proxy in front of it.
fn address(parts: &Parts) -> String {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|info| info.0.ip().to_string()).unwrap_or_default()
}

/// Origin of a request, for the audit.
fn request_origin(parts: &Parts) -> RequestOrigin {
    let text =
        |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = address(parts);
    let from = [address.as_str(), text(HeaderName::from_static("x-forwarded-for")), text(header::USER_AGENT)];
    let request_id = parts.extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    RequestOrigin { source: source(&from), request_id: kept(request_id.unwrap_or_default()), address }
}

impl Console {
    /// URL at which browsers reach the console; `None` if it is not configured.
    fn public_url(&self) -> Option<&str> {
        self.options.public_url.as_deref()
    }

    /// Takes a sign-in from the rate of the client's address.
    fn take_sign_in(&self, from: &RequestOrigin) -> Result<(), ApiError> {
        self.rates.take(&from.address).map_err(ApiError::rate_limited)
    }
}
