//! The gate in front of every service: authentication, authorization, rate and concurrency limits,
//! deadlines.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use control::{Bulkhead, BulkheadPermit, Caller, Control, Operator, Priority, Rates, kept};
use domain::{Error, ErrorKind, Reason, authz::Action, justification::Justification};
use mtls::{Certified, Identity, Role};
use tokio::{sync::SemaphorePermit, time::Instant};
use tonic::Status;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    credentials::PresentedCredentials,
    deadline::{Deadline, timeout},
    entrance::Entrance,
    method_path::MethodPath,
    principal::Principal,
};
use crate::{
    body_budget::BodyMeter,
    methods::{self, Access, Method},
    status::{self, deadline_exceeded, detailed, failed, no_such_call, rate_limited},
};

const REQUEST_ID: &str = "x-request-id";
/// Margin before the client's deadline. `tonic` ends a call at its deadline without details, so the
/// gate ends it slightly earlier.
const EARLIER: Duration = Duration::from_millis(20);

/// State of the gate.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) control: Control,
    pub(crate) rates: Rates,
    pub(crate) bulkhead: Bulkhead,
    /// Places for all calls in progress, including calls that are not yet authenticated.
    pub(crate) entrance: Entrance,
    pub(crate) request_timeout: Duration,
}

/// Authenticates and admits a call, and inserts its [`Caller`] or [`Operator`] as an extension.
/// Audits refused and failed calls.
pub(crate) async fn check(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let path = kept(request.uri().path());
    let Some(call) = methods::find(&path) else {
        return no_such_call(&path).into_http();
    };
    let request_id = request_id(request.headers());
    let span = tracing::info_span!("call", path, request_id);
    let mut response = gate.pass(call, path, &request_id, request, next).instrument(span).await;
    if let Ok(value) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

impl Gate {
    async fn pass(
        &self,
        call: &Method,
        path: String,
        request_id: &str,
        mut request: Request,
        next: Next,
    ) -> Response {
        // A call ends at the earlier of the client's deadline and the server's. The server's
        // deadline covers a stream only until it starts.
        let now = Instant::now();
        let asked = timeout(request.headers()).map(|asked| now + asked.saturating_sub(EARLIER));
        let most = now + self.request_timeout;
        let deadline = asked.map_or(most, |asked| asked.min(most));
        let within = async {
            let shown = match PresentedCredentials::of(&request, request_id) {
                Ok(shown) => shown,
                Err(error) => return failed(error).into_http(),
            };
            let (who, _place) = match self.enter(call, shown).await {
                Ok(entered) => entered,
                Err(error) => return failed(error).into_http(),
            };
            let response = match self.admit(call, &who).and_then(|()| self.enter_bulkhead(call, &who)) {
                Ok(place) => {
                    // Dropped when the call is answered.
                    let counted = BodyMeter::new(place);
                    if call.is_large {
                        request = request.map(|body| counted.body(body));
                    }
                    let extensions = request.extensions_mut();
                    extensions.insert(MethodPath(path.clone()));
                    extensions.insert(Deadline(asked));
                    match who.clone() {
                        Principal::Caller(caller) => extensions.insert(caller).map(drop),
                        Principal::Operator(operator) => extensions.insert(operator).map(drop),
                    };
                    detailed(next.run(request).await)
                }
                Err(status) => status.into_http(),
            };
            // The response body is not `Sync`, so no borrow of the response may cross an await.
            let failure = response.extensions().get::<Status>();
            let failure = failure.map(|status| (status::kind(status.code()), status.message().to_owned()));
            if let Some((kind, message)) = failure {
                self.note_failure(call, &who, &path, kind, &message).await;
            }
            response
        };
        match tokio::time::timeout_at(deadline, within).await {
            Ok(response) => response,
            Err(_) => deadline_exceeded().into_http(),
        }
    }

    /// Authenticates the call, and takes its place among those in progress.
    async fn enter(
        &self,
        call: &Method,
        shown: PresentedCredentials,
    ) -> Result<(Principal, SemaphorePermit<'_>), Error> {
        let arrival = self.entrance.arrive(shown.certificate.is_some())?;
        let who = self.authenticate(call, shown).await?;
        Ok((who, arrival.enter()?))
    }

    /// Authenticates the call. A token takes precedence over a certificate.
    async fn authenticate(&self, call: &Method, shown: PresentedCredentials) -> Result<Principal, Error> {
        let PresentedCredentials { token, certificate, address, source, request_id } = shown;
        let caller = |identity| {
            let (source, request_id) = (source.clone(), request_id.clone());
            let justification = Justification::default();
            Principal::Caller(Caller { identity, source, request_id, idempotency: None, justification })
        };
        if let Some(token) = token {
            let identity = self.control.authenticate_token(&token, &address).await?;
            return Ok(caller(identity));
        }
        match certificate {
            Some(Certified { identity: Identity::Principal { project_id, principal }, serial, .. }) => {
                let known = self.control.authenticate_certificate(&project_id, &principal, &serial).await?;
                Ok(caller(known))
            }
            Some(Certified { identity, .. })
                if identity.has_role(Role::Admin)
                    && !matches!(call.open, Access::Token(_) | Access::AnyToken(_)) =>
            {
                Ok(Principal::Operator(Operator { certificate: identity.to_string(), source, request_id }))
            }
            _ => {
                let message = "no credential; send `authorization: Bearer TOKEN` in the metadata, or connect with a \
                               principal's certificate";
                Err(Error::new(Reason::CredentialRequired, message))
            }
        }
    }

    /// Checks the rate of the principal and its access to the method.
    fn admit(&self, call: &Method, who: &Principal) -> Result<(), Status> {
        self.rates.take(&who.name()).map_err(rate_limited)?;
        match (who, call.open) {
            (Principal::Caller(caller), Access::Token(action) | Access::TokenOrCertificate(action)) => {
                check_any(caller, call, action).map_err(failed)?;
            }
            (Principal::Caller(_), Access::AnyToken(_))
            | (Principal::Operator(_), Access::Certificate | Access::TokenOrCertificate(_)) => {}
            (Principal::Caller(_), Access::Certificate)
            | (Principal::Operator(_), Access::Token(_) | Access::AnyToken(_)) => {
                let message = "the call requires a certificate of the role admin and no token; docs/admin-grpc.md lists \
                               such calls";
                return Err(failed(Error::new(Reason::AdminCertificateRequired, message)));
            }
        }
        Ok(())
    }

    /// Takes a place among the calls in progress.
    fn enter_bulkhead(&self, call: &Method, who: &Principal) -> Result<BulkheadPermit, Status> {
        let priority = if call.is_urgent { Priority::Urgent } else { Priority::Ordinary };
        self.bulkhead.enter(&who.name(), priority).map_err(failed)
    }

    /// Audits a refused call, or a failed call of a method that changes state.
    async fn note_failure(&self, call: &Method, who: &Principal, path: &str, kind: ErrorKind, message: &str) {
        let (caller, action) = match (who, call.open) {
            (
                Principal::Caller(caller),
                Access::Token(action) | Access::TokenOrCertificate(action) | Access::AnyToken(action),
            ) => (caller, action),
            // Without a project there is no audit to write to.
            _ => {
                let who = who.name();
                tracing::warn!(who, path, message, "call outside a project refused or failed");
                return;
            }
        };
        self.control.note_failure(caller, action, call.changes, path, (kind, message)).await;
    }
}

/// Checks whether any policy of the caller allows the action. A large call may choose desktops by
/// id, pool or tag: permission for one of them suffices here, and the use case checks the exact
/// one.
fn check_any(caller: &Caller, call: &Method, action: Action) -> Result<(), Error> {
    let others: &[Action] =
        if call.is_large { &[Action::ExecuteOnPool, Action::ExecuteByDesktopTag] } else { &[] };
    caller.check_any(action).or_else(|refused| {
        if others.iter().any(|&other| caller.check_any(other).is_ok()) { Ok(()) } else { Err(refused) }
    })
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    given.map_or_else(|| Uuid::now_v7().simple().to_string(), kept)
}
