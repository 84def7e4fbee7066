//! The gate that every request passes before its handler: authentication, authorization, rate
//! limit, idempotency.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{ConnectInfo, MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{
        HeaderMap, Method,
        header::{AUTHORIZATION, USER_AGENT},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use control::{
    Bulkhead, BulkheadPermit, Caller, Control, Idempotency, Identity, Priority, Rates, SigningKey,
    TOKEN_HEADER, kept, source,
};
use domain::{
    Error, Reason, Timestamp,
    justification::Justification,
    limits,
    request_signing::{Authorization, SignedRequest},
};
use sha2::{Digest as _, Sha256};
use tower_http::request_id::RequestId;

use super::justification::justification;
use crate::{
    console,
    error::{ApiError, Failure},
    operations::Call,
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// State of the gate.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) control: Control,
    /// Calls by method and path template of the OpenAPI document.
    pub(crate) calls: HashMap<(Method, String), &'static Call>,
    pub(crate) rates: Rates,
    pub(crate) bulkhead: Bulkhead,
    pub(crate) max_execution_body_bytes: usize,
    pub(crate) body_timeout: Duration,
    /// Accepts the cookies of console sessions.
    pub(crate) has_sessions: bool,
    /// URL at which browsers reach the console; `None` if it is not configured.
    pub(crate) public_url: Option<String>,
}

/// Passes an authorized request to its handler, with its [`Caller`] as an extension. Audits
/// requests that are refused or fail.
///
/// Authentication, rate and rights are checked before the body is read, so a slow or endless body
/// costs other callers nothing.
pub(crate) async fn check(
    State(gate): State<Arc<Gate>>,
    path: MatchedPath,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let Some(call) = gate.calls.get(&(as_routed(request.method()), path.as_str().to_owned())).copied() else {
        // Deny operations missing from the CALLS table.
        let error = Error::new(Reason::CallNotOpen, "this operation is not enabled");
        return ApiError::from(error).into_response();
    };
    let Ok(parameters) = parameters else {
        return ApiError::from(Error::new(Reason::RequestUnreadable, "the path is not valid UTF-8"))
            .into_response();
    };
    let (parts, body) = request.into_parts();
    let path_asked = kept(parts.uri.path());
    let asked = parameters.iter().find(|(name, _)| *name == "project_id").map(|(_, value)| value.to_owned());
    let (caller, response) = match gate.pass(call, asked.as_deref(), &parts, body).await {
        Ok(Passed { caller, body, place }) => {
            let mut request = Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(caller.clone());
            let response = next.run(request).await;
            drop(place);
            (Some(caller), response)
        }
        Err(Refusal { error, caller }) => (caller.map(|caller| *caller), error.into_response()),
    };
    if let Some((failure, caller)) = response.extensions().get::<Failure>().cloned().zip(caller) {
        let failure = (failure.kind, failure.message.as_str());
        gate.control.note_failure(&caller, call.action, call.changes, &path_asked, failure).await;
    }
    response
}

/// Routes HEAD like GET.
fn as_routed(method: &Method) -> Method {
    if *method == Method::HEAD { Method::GET } else { method.clone() }
}

/// A request that passed all checks.
struct Passed {
    caller: Caller,
    body: Bytes,
    /// Slot among the concurrent requests, released after the handler.
    place: BulkheadPermit,
}

/// A refused request. `caller` is `None` until the credential is verified; the audit names only
/// verified callers.
struct Refusal {
    error: ApiError,
    caller: Option<Box<Caller>>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, caller: None }
    }
}

impl Refusal {
    /// Creates refusals that are audited under a caller.
    fn of<E: Into<ApiError>>(caller: &Caller) -> impl FnOnce(E) -> Self + use<E> {
        let caller = Some(Box::new(caller.clone()));
        move |error| Self { error: error.into(), caller }
    }
}

/// A signature that covers the body. The caller is unverified until the body is read.
struct Signature {
    authorization: Authorization,
    key: SigningKey,
    now: Timestamp,
}

impl Gate {
    async fn pass(
        &self,
        call: &Call,
        asked: Option<&str>,
        parts: &Parts,
        body: Body,
    ) -> Result<Passed, Refusal> {
        match self.identify(parts).await? {
            (caller, None) => self.pass_token(call, asked, &caller, parts, body).await,
            (caller, Some(signature)) => self.pass_signed(call, asked, &caller, signature, parts, body).await,
        }
    }

    async fn pass_token(
        &self,
        call: &Call,
        asked: Option<&str>,
        caller: &Caller,
        parts: &Parts,
        body: Body,
    ) -> Result<Passed, Refusal> {
        let bucket = caller.rate_bucket();
        self.rates.take(&bucket).map_err(ApiError::rate_limited)?;
        check_rights(call, asked, caller).map_err(Refusal::of(caller))?;
        let mut place = self.enter(call, &bucket).map_err(Refusal::of(caller))?;
        let body = self.read(call, body, &mut place).await?;
        let caller = admit(caller, parts, &body).map_err(Refusal::of(caller))?;
        Ok(Passed { caller, body, place })
    }

    /// Counts the request against the claimed caller until the signature is verified, and then
    /// against the caller. A third party that knows an access key must not use up the rate or the
    /// slots of its owner.
    async fn pass_signed(
        &self,
        call: &Call,
        asked: Option<&str>,
        caller: &Caller,
        signature: Signature,
        parts: &Parts,
        body: Body,
    ) -> Result<Passed, Refusal> {
        let claim = claim(caller, parts);
        self.rates.take(&claim).map_err(ApiError::rate_limited)?;
        let allowed = check_rights(call, asked, caller);
        let mut place = self.enter(call, &claim)?;
        let Signature { authorization, key, now } = signature;
        if let Err(error) = allowed {
            // The audit names only verified callers, so a small body is read to verify the
            // signature.
            let read = self.read_within(limits::MAX_URGENT_BODY_BYTES, body, &mut place).await;
            let Ok(body) = read else { return Err(error.into()) };
            verify(key, &authorization, parts, &body, now)?;
            return Err(Refusal::of(caller)(error));
        }
        let body = self.read(call, body, &mut place).await?;
        verify(key, &authorization, parts, &body, now)?;
        let bucket = caller.rate_bucket();
        place.count_for(&bucket).map_err(Refusal::of(caller))?;
        self.rates.take(&bucket).map_err(ApiError::rate_limited).map_err(Refusal::of(caller))?;
        let admitted = admit(caller, parts, &body).map_err(Refusal::of(caller))?;
        if call.changes {
            self.control.use_signature(&authorization, now).await.map_err(Refusal::of(caller))?;
        }
        Ok(Passed { caller: admitted, body, place })
    }

    /// Identifies the caller by its credential. A token takes precedence over a signature, because
    /// a client that presets a token intends to use it. Both take precedence over the cookie of a
    /// console session, which a browser adds by itself.
    async fn identify(&self, parts: &Parts) -> Result<(Caller, Option<Signature>), Error> {
        if let Some(token) = parts.headers.get(TOKEN_HEADER) {
            let identity = self.control.authenticate_token(token.as_bytes(), &address(parts)).await?;
            return Ok((caller(identity, parts), None));
        }
        let unsigned = || {
            let message = "no credential; send the header X-Auth-Token or a signature in Authorization";
            Error::new(Reason::CredentialRequired, message)
        };
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            let session = match self.has_sessions {
                true => console::authenticate(&self.control, parts, self.public_url.as_deref()).await?,
                false => None,
            };
            return Ok((caller(session.ok_or_else(unsigned)?.identity, parts), None));
        };
        let header = header.to_str().map_err(|_| unsigned())?;
        let authorization = Authorization::parse(header)?;
        let now = self.control.now();
        authorization.check_head(&plain_headers(&parts.headers), now)?;
        let key = self.control.signing_key(&authorization, &address(parts), now).await?;
        Ok((caller(key.claimed(), parts), Some(Signature { authorization, key, now })))
    }

    /// Takes a slot among the concurrent requests.
    fn enter(&self, call: &Call, who: &str) -> Result<BulkheadPermit, Error> {
        let priority = if call.is_urgent { Priority::Urgent } else { Priority::Ordinary };
        self.bulkhead.enter(who, priority)
    }

    async fn read(&self, call: &Call, body: Body, place: &mut BulkheadPermit) -> Result<Bytes, ApiError> {
        let limit = match call {
            Call { is_urgent: true, .. } => limits::MAX_URGENT_BODY_BYTES,
            // A body with a million ids may take as long as the whole request.
            Call { is_large: true, .. } => {
                return read_whole(self.max_execution_body_bytes, Duration::MAX, body, place).await;
            }
            _ => limits::MAX_BODY_BYTES,
        };
        self.read_within(limit, body, place).await
    }

    async fn read_within(
        &self,
        limit: usize,
        body: Body,
        place: &mut BulkheadPermit,
    ) -> Result<Bytes, ApiError> {
        read_whole(limit, self.body_timeout, body, place).await
    }
}

/// Adds the idempotency data from header and body to the caller, and the reason of a request with a
/// body or a change.
fn admit(caller: &Caller, parts: &Parts, body: &Bytes) -> Result<Caller, ApiError> {
    let justification = match as_routed(&parts.method) {
        Method::GET => Justification::default(),
        _ => justification(&parts.headers)?,
    };
    Ok(Caller { idempotency: idempotency(parts, body)?, justification, ..caller.clone() })
}

/// Checks that the caller may perform the call in the project of the path.
fn check_rights(call: &Call, asked: Option<&str>, caller: &Caller) -> Result<(), Error> {
    if asked != Some(caller.project_id().as_str()) {
        let message = "the credential belongs to another project than the one in the path";
        return Err(Error::new(Reason::OtherProject, message));
    }
    if call.is_open { Ok(()) } else { caller.check_any(call.action) }
}

/// Reads a body of at most `limit` bytes, unless the memory budget for bodies is exhausted.
async fn read_whole(
    limit: usize,
    timeout: Duration,
    body: Body,
    place: &mut BulkheadPermit,
) -> Result<Bytes, ApiError> {
    // Reserves the declared length: 0 bytes without a body, and the whole limit for a chunked body.
    let most = match body.size_hint().upper() {
        Some(length) if length > limit as u64 => return Err(ApiError::body_too_large(limit)),
        Some(length) => usize::try_from(length).unwrap_or(limit),
        None => limit,
    };
    let room = place.body(most)?;
    let bytes = tokio::time::timeout(timeout, to_bytes(body, limit))
        .await
        .map_err(|_| ApiError::body_too_slow(timeout))?
        .map_err(|_| ApiError::body_too_large(limit))?;
    // The reservation ends when the handler drops the body.
    Ok(Bytes::from_owner(Held { bytes, _room: room }))
}

/// Verifies the signature over the whole request.
fn verify(
    key: SigningKey,
    authorization: &Authorization,
    parts: &Parts,
    body: &Bytes,
    now: Timestamp,
) -> Result<(), Error> {
    let headers = plain_headers(&parts.headers);
    let signed = SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    };
    key.verify(authorization, &signed, now).map(drop)
}

/// Rate bucket of an unverified caller: the claimed credential plus the address of the client.
fn claim(caller: &Caller, parts: &Parts) -> String {
    format!("{}\n{}", caller.identity.credential, address(parts))
}

/// Address of the client, or of the proxy in front of it.
fn address(parts: &Parts) -> String {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|info| info.0.ip().to_string()).unwrap_or_default()
}

struct Held {
    bytes: Bytes,
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn caller(identity: Arc<Identity>, parts: &Parts) -> Caller {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = address(parts);
    let from = [address.as_str(), text("x-forwarded-for"), text(USER_AGENT.as_str())];
    let request_id = parts.extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    Caller {
        identity,
        source: source(&from),
        request_id: kept(request_id.unwrap_or_default()),
        idempotency: None,
        justification: Justification::default(),
    }
}

/// Idempotency key of a POST and the hash of its method, path and body.
fn idempotency(parts: &Parts, body: &Bytes) -> Result<Option<Idempotency>, Error> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY).filter(|_| parts.method == Method::POST) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(key.as_bytes());
    let request_sha256 = Sha256::new()
        .chain_update(parts.method.as_str())
        .chain_update([0])
        .chain_update(parts.uri.path())
        .chain_update([0])
        .chain_update(body)
        .finalize();
    Idempotency::new(&text, request_sha256.into()).map(Some)
}

fn plain_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}
