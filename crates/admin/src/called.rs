//! The caller and what it asks.

use control::{Caller, Idempotency, Operator};
use domain::Error;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Status};

use crate::{gate, status::failed};

/// Who calls, whom the gate has let pass, and the message.
pub(crate) fn called<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    Ok((extensions.remove::<Caller>().ok_or_else(nobody)?, message))
}

/// As [`called`], of a change that is made once for each key, however often it is asked for.
pub(crate) fn once<T: Message>(request: Request<T>, key: impl Fn(&T) -> &str) -> Result<(Caller, T), Status> {
    let path = request.extensions().get::<gate::Path>().map(|path| path.0.clone()).unwrap_or_default();
    let (mut caller, message) = called(request)?;
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

/// An operator of the cluster, and the message.
pub(crate) fn operated<T>(request: Request<T>) -> Result<(Operator, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    Ok((extensions.remove::<Operator>().ok_or_else(nobody)?, message))
}

fn nobody() -> Status {
    failed(Error::internal().with_source("a call came past the gate"))
}
