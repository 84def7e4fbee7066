//! Extractors: the authenticated caller and the message of a request.

use control::{Caller, Idempotency, Operator};
use domain::{Error, justification::Justification};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Status};

use crate::{auth, status::failed};

/// Extracts the authenticated caller and the message.
pub(crate) fn extract<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    Ok((extensions.remove::<Caller>().ok_or_else(nobody)?, message))
}

/// Extracts the caller, the message and the idempotency key. The fingerprint of the request covers
/// the method path and the encoded message.
///
/// An empty key means no idempotency.
pub(crate) fn extract_idempotent<T: Message>(
    request: Request<T>,
    key: impl Fn(&T) -> &str,
) -> Result<(Caller, T), Status> {
    let path = request.extensions().get::<auth::MethodPath>().map(|path| path.0.clone()).unwrap_or_default();
    let (mut caller, message) = extract(request)?;
    let text = key(&message);
    if !text.is_empty() {
        let request_sha256 = Sha256::new()
            .chain_update(path)
            .chain_update([0])
            .chain_update(message.encode_to_vec())
            .finalize();
        caller.idempotency = Some(Idempotency::new(text, request_sha256.into()).map_err(failed)?);
    }
    Ok((caller, message))
}

/// Adds the reason and the ticket of a message to the caller.
pub(crate) fn justified(caller: Caller, reason: &str, ticket: &str) -> Result<Caller, Error> {
    Ok(Caller { justification: Justification::new(reason, ticket)?, ..caller })
}

/// Extracts a cluster operator (an admin certificate and no token) and the message.
pub(crate) fn extract_operator<T>(request: Request<T>) -> Result<(Operator, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    Ok((extensions.remove::<Operator>().ok_or_else(nobody)?, message))
}

fn nobody() -> Status {
    failed(Error::internal().with_source("the call bypassed the gate"))
}

/// Principal of a call that a cluster operator may make, and a caller of a project as far as the
/// use case allows it.
pub(crate) enum Principal {
    Caller(Caller),
    Operator(Operator),
}

/// Extracts the principal and the message.
pub(crate) fn extract_principal<T>(request: Request<T>) -> Result<(Principal, T), Status> {
    if request.extensions().get::<Operator>().is_some() {
        return extract_operator(request).map(|(operator, message)| (Principal::Operator(operator), message));
    }
    extract(request).map(|(caller, message)| (Principal::Caller(caller), message))
}
