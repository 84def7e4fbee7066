//! The gate in front of every service: authentication, authorization, rate and concurrency limits,
//! deadlines.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use control::{Bulkhead, Caller, Control, Operator, Place, Priority, Rates, kept};
use domain::{Error, ErrorKind, Reason, authz::Action};
use mtls::{Certified, Identity, Role};
use tokio::{sync::Semaphore, time::Instant};
use tonic::Status;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    credentials::PresentedCredentials,
    deadline::{Deadline, timeout},
    method_path::MethodPath,
    principal::Principal,
};
use crate::{
    body_budget::BodyMeter,
    methods::{self, Access, Method},
    status::{self, deadline_exceeded, detailed, failed, no_such_call, rate_limited},
};

const REQUEST_ID: &str = "x-request-id";
/// `tonic` itself ends a call at its client's deadline, without a word on why. So much earlier we
/// do it.
const EARLIER: Duration = Duration::from_millis(20);

/// What the gate needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) control: Control,
    pub(crate) rates: Rates,
    pub(crate) bulkhead: Bulkhead,
    /// Calls of which it is not yet known who makes them, and all others.
    pub(crate) in_flight: Semaphore,
    pub(crate) request_timeout: Duration,
}

/// Lets a call through that may be made, with its [`Caller`] or [`Operator`] as an extension; notes
/// what was refused or failed.
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
        let Ok(_place) = self.in_flight.try_acquire() else {
            let message = "too many calls are under way; try again later";
            return failed(Error::new(Reason::Overloaded, message)).into_http();
        };
        // Until its client stops waiting, and until a call must be answered, which of a stream is
        // until it begins.
        let now = Instant::now();
        let asked = timeout(request.headers()).map(|asked| now + asked.saturating_sub(EARLIER));
        let most = now + self.request_timeout;
        let deadline = asked.map_or(most, |asked| asked.min(most));
        let within = async {
            let shown = match PresentedCredentials::of(&request, request_id) {
                Ok(shown) => shown,
                Err(error) => return failed(error).into_http(),
            };
            let who = match self.enter(call, shown).await {
                Ok(who) => who,
                Err(error) => return failed(error).into_http(),
            };
            let response = match self.admit(call, &who).and_then(|()| self.enter_bulkhead(call, &who)) {
                Ok(place) => {
                    // Held until the call is answered.
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
            // The body of an answer cannot be held while something is waited for.
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

    /// Finds out who calls. A token says it, whatever certificate comes with it; without one a
    /// principal's certificate does.
    async fn enter(&self, call: &Method, shown: PresentedCredentials) -> Result<Principal, Error> {
        let PresentedCredentials { token, certificate, source, request_id } = shown;
        if let Some(token) = token {
            let identity = self.control.authenticate_token(&token).await?;
            return Ok(Principal::Caller(Caller { identity, source, request_id, idempotency: None }));
        }
        match certificate {
            Some(Certified { identity: Identity::Principal { project_id, principal }, serial, .. }) => {
                let known = self.control.authenticate_certificate(&project_id, &principal, &serial).await?;
                Ok(Principal::Caller(Caller { identity: known, source, request_id, idempotency: None }))
            }
            Some(Certified { identity, .. })
                if identity.has_role(Role::Admin) && !matches!(call.open, Access::Token(_)) =>
            {
                Ok(Principal::Operator(Operator { certificate: identity.to_string(), source, request_id }))
            }
            _ => {
                let message = "the call carries no token: send `authorization: Bearer TOKEN` in its metadata, or call with a \
                               certificate of a principal";
                Err(Error::new(Reason::CredentialRequired, message))
            }
        }
    }

    /// Whether who calls may go on.
    fn admit(&self, call: &Method, who: &Principal) -> Result<(), Status> {
        self.rates.take(&who.name()).map_err(rate_limited)?;
        match (who, call.open) {
            (Principal::Caller(caller), Access::Token(action) | Access::TokenOrCertificate(action)) => {
                check_any(caller, call, action).map_err(failed)?;
            }
            (Principal::Operator(_), Access::Certificate | Access::TokenOrCertificate(_)) => {}
            (Principal::Caller(_), Access::Certificate) | (Principal::Operator(_), Access::Token(_)) => {
                let message = "this call belongs to no project: it is for a certificate of the role admin, without a \
                               token (docs/admin-grpc.md)";
                return Err(failed(Error::new(Reason::AdminCertificateRequired, message)));
            }
        }
        Ok(())
    }

    /// Takes a place among the calls under way.
    fn enter_bulkhead(&self, call: &Method, who: &Principal) -> Result<Place, Status> {
        let priority = if call.is_urgent { Priority::Urgent } else { Priority::Ordinary };
        self.bulkhead.enter(&who.name(), priority).map_err(failed)
    }

    /// Puts into the audit what was refused, and what failed of what would have changed something.
    async fn note_failure(&self, call: &Method, who: &Principal, path: &str, kind: ErrorKind, message: &str) {
        let (caller, action) = match (who, call.open) {
            (Principal::Caller(caller), Access::Token(action) | Access::TokenOrCertificate(action)) => {
                (caller, action)
            }
            // Belongs to no project, and so into no project's audit.
            _ => {
                let who = who.name();
                tracing::warn!(who, path, message, "a call that belongs to no project was refused or failed");
                return;
            }
        };
        self.control.note_failure(caller, action, call.changes, path, (kind, message)).await;
    }
}

/// Whether the caller may do this at all. Desktops may be named, or chosen by a pool or a tag: then
/// one of these is enough for now, and the use case asks for the right one.
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
