//! What every call passes before its service: who calls, may they, how often, and for how long.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use control::{Bulkhead, Caller, Control, Operator, Place, Priority, Rates, TOKEN_HEADER, kept};
use domain::{Error, ErrorKind, Reason, authz::Action};
use mtls::{Certified, Identity, Role};
use tokio::{sync::Semaphore, time::Instant};
use tonic::{Status, transport::server::TcpConnectInfo};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    body::Counted,
    calls::{self, Call, Open},
    status::{self, deadline_exceeded, detailed, failed, no_such_call, rate_limited},
};

const REQUEST_ID: &str = "x-request-id";
const TIMEOUT: &str = "grpc-timeout";
/// `tonic` itself ends a call at its client's deadline, without a word on why. So much earlier we do it.
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

/// When the client of a call stops waiting; a stream has it among its request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Option<Instant>);

/// The path of a call, for what an idempotency key stands for.
#[derive(Debug, Clone)]
pub(crate) struct Path(pub(crate) String);

/// Who calls.
#[derive(Debug, Clone)]
enum Who {
    Caller(Caller),
    Operator(Operator),
}

impl Who {
    /// Under which its calls are counted, and noted in the log.
    fn name(&self) -> String {
        match self {
            Self::Caller(caller) => caller.rate_bucket(),
            Self::Operator(operator) => operator.certificate.clone(),
        }
    }
}

/// Lets a call through that may be made, with its [`Caller`] or [`Operator`] as an extension; notes what was refused or failed.
pub(crate) async fn check(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let path = kept(request.uri().path());
    let Some(call) = calls::find(&path) else {
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
        call: &Call,
        path: String,
        request_id: &str,
        mut request: Request,
        next: Next,
    ) -> Response {
        let Ok(_place) = self.in_flight.try_acquire() else {
            let message = "too many calls are under way; try again later";
            return failed(Error::new(Reason::Overloaded, message)).into_http();
        };
        // Until its client stops waiting, and until a call must be answered, which of a stream is until it begins.
        let now = Instant::now();
        let asked = timeout(request.headers()).map(|asked| now + asked.saturating_sub(EARLIER));
        let most = now + self.request_timeout;
        let deadline = asked.map_or(most, |asked| asked.min(most));
        let within = async {
            let shown = match Shown::of(&request, request_id) {
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
                    let counted = Counted::new(place);
                    if call.is_large {
                        request = request.map(|body| counted.body(body));
                    }
                    let extensions = request.extensions_mut();
                    extensions.insert(Path(path.clone()));
                    extensions.insert(Deadline(asked));
                    match who.clone() {
                        Who::Caller(caller) => extensions.insert(caller).map(drop),
                        Who::Operator(operator) => extensions.insert(operator).map(drop),
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

    /// Finds out who calls. A token says it, whatever certificate comes with it; without one a principal's certificate does.
    async fn enter(&self, call: &Call, shown: Shown) -> Result<Who, Error> {
        let Shown { token, certificate, source, request_id } = shown;
        if let Some(token) = token {
            let identity = self.control.authenticate_token(&token).await?;
            return Ok(Who::Caller(Caller { identity, source, request_id, idempotency: None }));
        }
        match certificate {
            Some(Certified { identity: Identity::Principal { project_id, principal }, serial, .. }) => {
                let known = self.control.authenticate_certificate(&project_id, &principal, &serial).await?;
                Ok(Who::Caller(Caller { identity: known, source, request_id, idempotency: None }))
            }
            Some(Certified { identity, .. })
                if identity.has_role(Role::Admin) && !matches!(call.open, Open::Token(_)) =>
            {
                Ok(Who::Operator(Operator { certificate: identity.to_string(), source, request_id }))
            }
            _ => {
                let message = "the call carries no token: send `authorization: Bearer TOKEN` in its metadata, or call with a \
                               certificate of a principal";
                Err(Error::new(Reason::CredentialRequired, message))
            }
        }
    }

    /// Whether who calls may go on.
    fn admit(&self, call: &Call, who: &Who) -> Result<(), Status> {
        self.rates.take(&who.name()).map_err(rate_limited)?;
        match (who, call.open) {
            (Who::Caller(caller), Open::Token(action) | Open::TokenOrCertificate(action)) => {
                check_any(caller, call, action).map_err(failed)?;
            }
            (Who::Operator(_), Open::Certificate | Open::TokenOrCertificate(_)) => {}
            (Who::Caller(_), Open::Certificate) | (Who::Operator(_), Open::Token(_)) => {
                let message = "this call belongs to no project: it is for a certificate of the role admin, without a \
                               token (docs/admin-grpc.md)";
                return Err(failed(Error::new(Reason::AdminCertificateRequired, message)));
            }
        }
        Ok(())
    }

    /// Takes a place among the calls under way.
    fn enter_bulkhead(&self, call: &Call, who: &Who) -> Result<Place, Status> {
        let priority = if call.is_urgent { Priority::Urgent } else { Priority::Ordinary };
        self.bulkhead.enter(&who.name(), priority).map_err(failed)
    }

    /// Puts into the audit what was refused, and what failed of what would have changed something.
    async fn note_failure(&self, call: &Call, who: &Who, path: &str, kind: ErrorKind, message: &str) {
        let (caller, action) = match (who, call.open) {
            (Who::Caller(caller), Open::Token(action) | Open::TokenOrCertificate(action)) => (caller, action),
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

/// What a call shows of who makes it.
struct Shown {
    token: Option<Vec<u8>>,
    certificate: Option<Certified>,
    source: String,
    request_id: String,
}

impl Shown {
    fn of(request: &Request<Body>, request_id: &str) -> Result<Self, Error> {
        Ok(Self {
            token: token(request.headers())?.map(<[u8]>::to_vec),
            certificate: request.extensions().get::<Certified>().cloned(),
            source: source(request),
            request_id: request_id.to_owned(),
        })
    }
}

/// Whether the caller may do this at all. Desktops may be named, or chosen by a pool or a tag: then one of these is enough for
/// now, and the use case asks for the right one.
fn check_any(caller: &Caller, call: &Call, action: Action) -> Result<(), Error> {
    let others: &[Action] =
        if call.is_large { &[Action::ExecuteOnPool, Action::ExecuteByDesktopTag] } else { &[] };
    caller.check_any(action).or_else(|refused| {
        if others.iter().any(|&other| caller.check_any(other).is_ok()) { Ok(()) } else { Err(refused) }
    })
}

/// The token, in the metadata that gRPC has for it or in that of the REST API.
fn token(headers: &HeaderMap) -> Result<Option<&[u8]>, Error> {
    if let Some(token) = headers.get(TOKEN_HEADER) {
        return Ok(Some(token.as_bytes()));
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let given = given.as_bytes();
    let is_bearer = given.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let token = given
        .get(7..)
        .filter(|_| is_bearer)
        .map(<[u8]>::trim_ascii)
        .ok_or_else(|| Error::new(Reason::CredentialRequired, "authorization must be `Bearer TOKEN`"))?;
    Ok(Some(token))
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    given.map_or_else(|| Uuid::now_v7().simple().to_string(), kept)
}

fn source(request: &Request<Body>) -> String {
    let address = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    let address = address.map(|address| address.ip().to_string()).unwrap_or_default();
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    control::source(&[&address, agent.unwrap_or_default()])
}

/// How long the client waits, by the protocol's rule: at most eight digits, and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = (number.len() <= 8).then(|| number.parse().ok())??;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_timeout_has_a_number_and_a_unit() {
        let read = |text| timeout(&headers(TIMEOUT, text));
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(read("1500m"), Some(Duration::from_millis(1_500)));
        assert_eq!(read("99999999u"), Some(Duration::from_micros(99_999_999)));
        for wrong in ["", "5", "S", "123456789S", "1x", "-1S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    #[test]
    fn a_token_is_a_bearers_or_that_of_rest() {
        assert_eq!(token(&headers("authorization", "Bearer abc")).unwrap(), Some(&b"abc"[..]));
        assert_eq!(token(&headers("authorization", "bearer  abc ")).unwrap(), Some(&b"abc"[..]));
        assert_eq!(token(&headers("x-auth-token", "abc")).unwrap(), Some(&b"abc"[..]));
        assert_eq!(token(&HeaderMap::new()).unwrap(), None);
        assert!(token(&headers("authorization", "Basic abc")).is_err());
    }
}
