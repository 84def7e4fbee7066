//! Memory budget for the bodies of large requests.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use control::{BodyBudget, BulkheadPermit};
use futures::TryStreamExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::status::failed;

/// Meters the body of one call against the memory budget. Holds the call's place and its share of
/// the budget until dropped. gRPC sends no total length, so the meter counts bytes as they arrive.
#[derive(Debug, Clone)]
pub(crate) struct BodyMeter(Arc<Mutex<Taken>>);

#[derive(Debug)]
struct Taken {
    place: BulkheadPermit,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl BodyMeter {
    pub(crate) fn new(place: BulkheadPermit) -> Self {
        Self(Arc::new(Mutex::new(Taken { place, permit: None, bytes: 0 })))
    }

    /// Wraps a body. The wrapped body fails at the chunk that exceeds the budget.
    pub(crate) fn body(&self, body: Body) -> Body {
        let counted = self.clone();
        Body::from_stream(body.into_data_stream().map_err(axum::BoxError::from).and_then(move |chunk| {
            let taken = counted.take(chunk.len());
            std::future::ready(taken.map(|()| chunk))
        }))
    }

    fn take(&self, bytes: usize) -> Result<(), axum::BoxError> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.bytes = taken.bytes.saturating_add(bytes);
        // Permits are rounded up to whole units, so the unused rest of earlier permits covers small
        // chunks.
        let lacks = taken.bytes.saturating_sub(taken.permit.as_ref().map_or(0, BodyBudget::room));
        if lacks == 0 {
            return Ok(());
        }
        let more = taken.place.body(lacks).map_err(failed)?;
        match taken.permit.as_mut() {
            Some(permit) => permit.merge(more),
            None => taken.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use control::{Bulkhead, Priority};
    use tonic::{Code, Status};

    use super::*;

    #[tokio::test]
    async fn answered_request_returns_its_bytes_to_the_budget() {
        let bulkhead = Bulkhead::new(100, 256 << 10, 64 << 10);
        let counted = |caller: &str| BodyMeter::new(bulkhead.enter(caller, Priority::Ordinary).unwrap());
        let read = async |caller: &str, kib: usize| {
            let counted = counted(caller);
            let read = axum::body::to_bytes(counted.body(Body::from(vec![0; kib << 10])), usize::MAX).await;
            (counted, read.map(|bytes| bytes.len()))
        };
        let (first, done) = read("a", 40).await;
        assert_eq!(done.unwrap(), 40 << 10);
        let (second, done) = read("a", 24).await;
        assert_eq!(done.unwrap(), 24 << 10);
        let (_, refused) = read("a", 1).await;
        let status = Status::from_error(refused.unwrap_err().into_inner());
        assert_eq!(status.code(), Code::ResourceExhausted, "the caller used its share");
        assert_eq!(read("b", 64).await.1.unwrap(), 64 << 10);
        drop((first, second));
        // One chunk per byte.
        let in_pieces = counted("a");
        (0..40 << 10).for_each(|_| in_pieces.take(1).unwrap());
        assert_eq!(read("a", 24).await.1.unwrap(), 24 << 10);
        drop(in_pieces);
        assert_eq!(read("a", 64).await.1.unwrap(), 64 << 10);
    }
}
