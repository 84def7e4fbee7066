//! The memory that large requests take while they are read and handled.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use control::BodyBudget;
use futures::TryStreamExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::status::failed;

/// What one request has taken of the budget, until this is dropped. No header says how large a request will be, so it is counted as
/// it comes.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    budget: BodyBudget,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Counted {
    pub(crate) fn new(budget: BodyBudget) -> Self {
        Self { budget, taken: Arc::default() }
    }

    /// A body that ends with a failure where the budget does.
    pub(crate) fn body(&self, body: Body) -> Body {
        let counted = self.clone();
        Body::from_stream(body.into_data_stream().map_err(axum::BoxError::from).and_then(move |chunk| {
            let taken = counted.take(chunk.len());
            std::future::ready(taken.map(|()| chunk))
        }))
    }

    fn take(&self, bytes: usize) -> Result<(), axum::BoxError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.bytes = taken.bytes.saturating_add(bytes);
        // What comes in small pieces takes no more than what comes at once.
        let lacks = taken.bytes.saturating_sub(taken.permit.as_ref().map_or(0, BodyBudget::room));
        if lacks == 0 {
            return Ok(());
        }
        let more = self.budget.take(lacks).map_err(failed)?;
        match taken.permit.as_mut() {
            Some(permit) => permit.merge(more),
            None => taken.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    #[tokio::test]
    async fn a_request_takes_what_it_is_large_and_gives_it_back_when_it_is_answered() {
        let budget = BodyBudget::new(64 << 10);
        let read = async |kib: usize| {
            let counted = Counted::new(budget.clone());
            let read = axum::body::to_bytes(counted.body(Body::from(vec![0; kib << 10])), usize::MAX).await;
            (counted, read.map(|bytes| bytes.len()))
        };
        let (first, done) = read(40).await;
        assert_eq!(done.unwrap(), 40 << 10);
        let (second, done) = read(24).await;
        assert_eq!(done.unwrap(), 24 << 10);
        let (_, refused) = read(1).await;
        let status = Status::from_error(refused.unwrap_err().into_inner());
        assert_eq!(status.code(), Code::Unavailable);
        drop((first, second));
        // In as many pieces as there are bytes.
        let counted = Counted::new(budget.clone());
        (0..40 << 10).for_each(|_| counted.take(1).unwrap());
        assert_eq!(read(24).await.1.unwrap(), 24 << 10);
        drop(counted);
        assert_eq!(read(64).await.1.unwrap(), 64 << 10);
    }
}
