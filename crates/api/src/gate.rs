//! What every call passes before its handler: who calls, may they, how often, and was it asked before.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

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
use control::{BodyBudget, Caller, Control, Idempotency, Identity, Rates, TOKEN_HEADER, kept, source};
use domain::{
    Error, ErrorKind, Timestamp, limits,
    signature::{Authorization, SignedRequest},
};
use sha2::{Digest as _, Sha256};
use tower_http::request_id::RequestId;

use crate::{
    calls::Call,
    error::{ApiError, Failure},
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What the gate needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) control: Control,
    /// By method and path, as the document has them.
    pub(crate) calls: HashMap<(Method, String), &'static Call>,
    pub(crate) rates: Rates,
    pub(crate) bodies: BodyBudget,
    pub(crate) max_execution_body_bytes: usize,
}

/// Lets a request through that may be done, with its [`Caller`] as an extension; notes what was refused or failed.
pub(crate) async fn check(
    State(gate): State<Arc<Gate>>,
    path: MatchedPath,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let Some(call) = gate.calls.get(&(as_routed(request.method()), path.as_str().to_owned())).copied() else {
        // A call that nobody has said what it does is done for nobody.
        let error = Error::new(ErrorKind::Forbidden, "this call is not open to anybody");
        return ApiError::from(error).into_response();
    };
    let Ok(parameters) = parameters else {
        return ApiError::from(Error::invalid("the path is not valid UTF-8")).into_response();
    };
    let (parts, body) = request.into_parts();
    let path_asked = kept(parts.uri.path());
    let entered = match gate.enter(call, &parts, body).await {
        Ok(entered) => entered,
        Err(error) => return error.into_response(),
    };
    let caller = entered.caller.clone();
    let asked = parameters.iter().find(|(name, _)| *name == "project_id").map(|(_, value)| value.to_owned());
    let response = match gate.admit(call, asked.as_deref(), &parts, entered).await {
        Ok((caller, body)) => {
            let mut request = Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(failure) = response.extensions().get::<Failure>().cloned() {
        let failure = (failure.kind, failure.message.as_str());
        gate.control.note_failure(&caller, call.action, call.changes, &path_asked, failure).await;
    }
    response
}

/// HEAD goes where GET goes.
fn as_routed(method: &Method) -> Method {
    if *method == Method::HEAD { Method::GET } else { method.clone() }
}

/// A request whose caller is known.
struct Entered {
    caller: Caller,
    body: Bytes,
    /// If it was signed, and when that was checked.
    signed: Option<(Authorization, Timestamp)>,
}

impl Gate {
    /// Finds out who calls. A token wins over a signature: a client that presets one means it.
    async fn enter(&self, call: &Call, parts: &Parts, body: Body) -> Result<Entered, ApiError> {
        if let Some(token) = parts.headers.get(TOKEN_HEADER) {
            let identity = self.control.authenticate_token(token.as_bytes()).await?;
            let body = self.read(call, body).await?;
            return Ok(Entered { caller: caller(identity, parts), body, signed: None });
        }
        let unsigned = || {
            let message = "the request carries neither X-Auth-Token nor a signature in Authorization";
            Error::new(ErrorKind::Unauthenticated, message)
        };
        let header =
            parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(unsigned)?;
        let authorization = Authorization::parse(header)?;
        let now = self.control.now();
        let key = self.control.signing_key(&authorization, now).await?;
        // The signature covers the body.
        let body = self.read(call, body).await?;
        let headers = plain_headers(&parts.headers);
        let signed = SignedRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body: &body,
        };
        let identity = key.verify(&authorization, &signed, now)?;
        Ok(Entered { caller: caller(identity, parts), body, signed: Some((authorization, now)) })
    }

    async fn read(&self, call: &Call, body: Body) -> Result<Bytes, ApiError> {
        let limit = if call.is_large { self.max_execution_body_bytes } else { limits::MAX_BODY_BYTES };
        // Nothing for a request without a body, what it declares for one with a length, and for one that comes in pieces
        // as much as it may have.
        let most = match body.size_hint().upper() {
            Some(length) if length > limit as u64 => return Err(ApiError::body_too_large(limit)),
            Some(length) => usize::try_from(length).unwrap_or(limit),
            None => limit,
        };
        let room = self.bodies.take(most)?;
        let bytes = to_bytes(body, limit).await.map_err(|_| ApiError::body_too_large(limit))?;
        // Given back when the handler has read it.
        Ok(Bytes::from_owner(Held { bytes, _room: room }))
    }

    /// Whether the known caller may go on. What is refused here has used nothing up.
    async fn admit(
        &self,
        call: &Call,
        asked: Option<&str>,
        parts: &Parts,
        entered: Entered,
    ) -> Result<(Caller, Bytes), ApiError> {
        let Entered { mut caller, body, signed } = entered;
        self.rates.take(&caller.rate_bucket()).map_err(ApiError::too_often)?;
        if asked != Some(caller.project_id().as_str()) {
            let message = "the credential does not belong to the project in the path";
            return Err(Error::new(ErrorKind::Forbidden, message).into());
        }
        caller.check_any(call.action)?;
        caller.idempotency = idempotency(parts, &body)?;
        if let Some((authorization, now)) = signed.filter(|_| call.changes) {
            self.control.use_signature(&authorization, now).await?;
        }
        Ok((caller, body))
    }
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
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    let from = [address.as_deref().unwrap_or_default(), text("x-forwarded-for"), text(USER_AGENT.as_str())];
    let request_id = parts.extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    Caller {
        identity,
        source: source(&from),
        request_id: kept(request_id.unwrap_or_default()),
        idempotency: None,
    }
}

/// The key of a POST, with what it stands for: method, path and body.
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
