//! Shares of each project in the server's capacity for lists and streams.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Error, Reason,
    ids::ProjectId,
    limits::{MAX_LISTS_PER_PROJECT, MAX_STREAMS, MAX_STREAMS_PER_PROJECT},
};
use store::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Control;

/// Time that a list waits for a place among those of its project.
const LIST_WAIT: Duration = Duration::from_secs(5);

/// Places in use: those of each project for lists, and all for streams.
#[derive(Debug)]
pub(crate) struct Shares {
    lists: Places,
    streams: Places,
    all_streams: Arc<Semaphore>,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            lists: Places::new(MAX_LISTS_PER_PROJECT),
            streams: Places::new(MAX_STREAMS_PER_PROJECT),
            all_streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }
}

/// Place of an open stream of events or records. Dropping it releases the place.
#[derive(Debug)]
pub struct StreamPermit {
    _of_project: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Control {
    /// Runs a query that may read many rows, on the connections for lists. A project has a few of
    /// them at the same time; further queries wait for a moment.
    ///
    /// # Errors
    ///
    /// `ProjectShareExceeded` if the project's other lists take too long, `ListTooLong` if the
    /// query takes longer than the time limit for lists.
    pub(crate) async fn list<T>(
        &self,
        project_id: &ProjectId,
        query: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _place = self.shares.place_of_list(project_id, LIST_WAIT).await?;
        let mut connection = self.store.for_lists().acquire().await?;
        query(&mut connection).await.map_err(too_long)
    }

    /// Takes a place for a stream of events or records.
    ///
    /// # Errors
    ///
    /// `ProjectShareExceeded` if the project has its maximum number of streams open, `Overloaded`
    /// if the server has.
    pub fn open_stream(&self, project_id: &ProjectId) -> Result<StreamPermit, Error> {
        self.shares.open_stream(project_id)
    }
}

impl Shares {
    async fn place_of_list(
        &self,
        project_id: &ProjectId,
        wait: Duration,
    ) -> Result<OwnedSemaphorePermit, Error> {
        let place = self.lists.of(project_id).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(wait, place).await else {
            let message = format!(
                "the project has {MAX_LISTS_PER_PROJECT} lists in progress, its maximum: wait until some end, \
                 or narrow them"
            );
            return Err(Error::new(Reason::ProjectShareExceeded, message));
        };
        Ok(permit)
    }

    fn open_stream(&self, project_id: &ProjectId) -> Result<StreamPermit, Error> {
        let of_project = self.streams.of(project_id).try_acquire_owned().map_err(|_| {
            let message = format!(
                "the project has {MAX_STREAMS_PER_PROJECT} streams open, its maximum: close some of them"
            );
            Error::new(Reason::ProjectShareExceeded, message)
        })?;
        let of_all = Arc::clone(&self.all_streams).try_acquire_owned().map_err(|_| {
            Error::new(Reason::Overloaded, "too many streams are open: wait as long as the server says")
        })?;
        Ok(StreamPermit { _of_project: of_project, _of_all: of_all })
    }
}

/// Names the time limit of lists if it ended the query.
fn too_long(error: Error) -> Error {
    let ended = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<store::Error>())
        .is_some_and(store::Error::is_timeout);
    if !ended {
        return error;
    }
    Error::new(
        Reason::ListTooLong,
        "the list takes too long: narrow it, for example to one task, some desktops or a shorter period",
    )
    .with_source(error)
}

/// Places of each project. A project without a taken place takes no memory for long.
#[derive(Debug)]
struct Places {
    per_project: usize,
    taken: Mutex<HashMap<ProjectId, Arc<Semaphore>>>,
}

impl Places {
    fn new(per_project: usize) -> Self {
        Self { per_project, taken: Mutex::default() }
    }

    fn of(&self, project_id: &ProjectId) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = taken.get(project_id) {
            return Arc::clone(places);
        }
        // Nobody else can hold or get a semaphore that only the map refers to.
        taken.retain(|_, places| Arc::strong_count(places) > 1);
        let places = Arc::new(Semaphore::new(self.per_project));
        taken.insert(project_id.clone(), Arc::clone(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn full_project_waits_and_others_do_not() {
        let shares = Shares::default();
        let (busy, other) = (project("busy"), project("other"));
        let mut held = Vec::new();
        for _ in 0..MAX_LISTS_PER_PROJECT {
            held.push(shares.place_of_list(&busy, LIST_WAIT).await.unwrap());
        }
        let refused = shares.place_of_list(&busy, LIST_WAIT).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ProjectShareExceeded);
        drop(shares.place_of_list(&other, Duration::ZERO).await.unwrap());
        held.pop();
        drop(shares.place_of_list(&busy, LIST_WAIT).await.unwrap());
    }

    #[test]
    fn one_project_cannot_open_all_streams() {
        let shares = Shares::default();
        let (busy, other) = (project("busy"), project("other"));
        let held: Vec<_> = std::iter::from_fn(|| shares.open_stream(&busy).ok()).collect();
        assert_eq!(held.len(), MAX_STREAMS_PER_PROJECT);
        drop(shares.open_stream(&other).unwrap());
        drop(held);
        drop(shares.open_stream(&busy).unwrap());
    }

    #[test]
    fn projects_without_places_are_forgotten() {
        let places = Places::new(1);
        let held = places.of(&project("held")).try_acquire_owned().unwrap();
        for number in 0..100 {
            drop(places.of(&project(&format!("p{number}"))));
        }
        assert_eq!(places.taken.lock().unwrap().len(), 2, "the held one and the last one");
        drop(held);
    }
}
