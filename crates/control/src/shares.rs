//! Shares of each project in the server's capacity for lists and streams, and of each caller in
//! that for exports, event streams and streams of output.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Error, Reason,
    ids::ProjectId,
    limits::{
        MAX_EXPORTS_PER_CALLER, MAX_OUTPUT_STREAMS_PER_CALLER, MAX_PROJECT_STREAMS_PER_CALLER, MAX_STREAMS,
        MAX_STREAMS_PER_PROJECT,
    },
};
use store::{Acquired, Connection, Store, snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Caller, Control};

/// Time that a list waits for a place among those of its project.
const LIST_WAIT: Duration = Duration::from_secs(5);

/// Places in use: those of each project for lists, those for streams, and those of each caller for
/// exports, event streams and streams of output.
#[derive(Debug)]
pub(crate) struct Shares {
    lists: Places<ProjectId>,
    streams: Places<ProjectId>,
    output_streams: Places<(ProjectId, String)>,
    project_streams: Places<(ProjectId, String)>,
    exports: Places<(ProjectId, String)>,
    all_streams: Arc<Semaphore>,
}

impl Shares {
    /// Creates the shares of a process with this number of connections for lists: a project has at
    /// most half of them.
    pub(crate) fn new(list_connections: u32) -> Self {
        Self {
            lists: Places::new(list_connections.div_ceil(2).max(1) as usize),
            streams: Places::new(MAX_STREAMS_PER_PROJECT),
            output_streams: Places::new(MAX_OUTPUT_STREAMS_PER_CALLER),
            project_streams: Places::new(MAX_PROJECT_STREAMS_PER_CALLER),
            exports: Places::new(MAX_EXPORTS_PER_CALLER),
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
    /// Runs a list that the caller can narrow, like [`Self::read_many`]. Its statements see the
    /// rows of one moment.
    ///
    /// # Errors
    ///
    /// Those of [`Self::read_many`], and `ListTooLong` if the query takes longer than the time
    /// limit for lists.
    pub(crate) async fn list<T>(
        &self,
        project_id: &ProjectId,
        query: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.list_after(project_id, async |_: &mut Connection| Ok(()), query).await
    }

    /// Runs a list like [`Self::list`] after a preparation that may write.
    ///
    /// # Errors
    ///
    /// Those of [`Self::list`].
    pub(crate) async fn list_after<T>(
        &self,
        project_id: &ProjectId,
        preparation: impl AsyncFnOnce(&mut Connection) -> Result<(), Error>,
        query: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = self.shares.place_of_list(project_id, LIST_WAIT).await?;
        let mut running = RunningList::start(&self.store.for_lists(), place).await?;
        let result = list_prepared(running.connection()?, preparation, query).await;
        running.end();
        result.map_err(too_long)
    }

    /// Runs a query that may read many rows, on the connections for lists. A project has half of
    /// them at the same time; further queries wait for a moment.
    ///
    /// # Errors
    ///
    /// `ProjectShareExceeded` if the project's other lists take too long, `Overloaded` if those of
    /// all projects do.
    pub(crate) async fn read_many<T>(
        &self,
        project_id: &ProjectId,
        query: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = self.shares.place_of_list(project_id, LIST_WAIT).await?;
        let mut running = RunningList::start(&self.store.for_lists(), place).await?;
        let result = query(running.connection()?).await;
        running.end();
        result
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

    /// Takes a place for an event stream of the project, in addition to that of the stream.
    /// Dropping the place releases it.
    ///
    /// # Errors
    ///
    /// `ShareExceeded` if the caller has its maximum number of such streams open.
    pub(crate) fn open_project_stream(&self, caller: &Caller) -> Result<OwnedSemaphorePermit, Error> {
        let owner = (caller.project_id().clone(), caller.identity.principal.clone());
        self.shares.project_streams.of(owner).try_acquire_owned().map_err(|_| {
            let message = format!(
                "this caller has {MAX_PROJECT_STREAMS_PER_CALLER} event streams of the project open, its maximum: \
                 share one between tabs, or close some of them"
            );
            Error::new(Reason::ShareExceeded, message)
        })
    }

    /// Takes a place for an export, in addition to that of the stream. Dropping the place releases
    /// it.
    ///
    /// # Errors
    ///
    /// `ShareExceeded` if the caller has its maximum number of exports in progress.
    pub fn open_export(&self, caller: &Caller) -> Result<OwnedSemaphorePermit, Error> {
        let owner = (caller.project_id().clone(), caller.identity.principal.clone());
        self.shares.exports.of(owner).try_acquire_owned().map_err(|_| {
            let message = format!(
                "this caller has {MAX_EXPORTS_PER_CALLER} exports in progress, its maximum: read or close some of them"
            );
            Error::new(Reason::ShareExceeded, message)
        })
    }

    /// Takes a place for a stream of output, in addition to that of the stream. Dropping the place
    /// releases it.
    ///
    /// # Errors
    ///
    /// `ShareExceeded` if the caller has its maximum number of streams of output open.
    pub fn open_output_stream(&self, caller: &Caller) -> Result<OwnedSemaphorePermit, Error> {
        self.shares.open_output_stream(caller.project_id(), &caller.identity.principal)
    }
}

impl Shares {
    async fn place_of_list(
        &self,
        project_id: &ProjectId,
        wait: Duration,
    ) -> Result<OwnedSemaphorePermit, Error> {
        let place = self.lists.of(project_id.clone()).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(wait, place).await else {
            let message = format!(
                "the project has {} lists in progress, its maximum: wait until some end, or narrow them",
                self.lists.per_owner
            );
            return Err(Error::new(Reason::ProjectShareExceeded, message));
        };
        Ok(permit)
    }

    fn open_stream(&self, project_id: &ProjectId) -> Result<StreamPermit, Error> {
        let of_project = self.streams.of(project_id.clone()).try_acquire_owned().map_err(|_| {
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

    fn open_output_stream(
        &self,
        project_id: &ProjectId,
        principal: &str,
    ) -> Result<OwnedSemaphorePermit, Error> {
        let places = self.output_streams.of((project_id.clone(), principal.to_owned()));
        places.try_acquire_owned().map_err(|_| {
            let message = format!(
                "this caller has {MAX_OUTPUT_STREAMS_PER_CALLER} streams of output open, its maximum: close some of \
                 them"
            );
            Error::new(Reason::ShareExceeded, message)
        })
    }
}

/// The connection and the place of a list in progress. If the caller gives up, the statement goes
/// on in the database, and the place stays taken until it has ended.
struct RunningList(Option<(Acquired, OwnedSemaphorePermit)>);

impl RunningList {
    async fn start(store: &Store, place: OwnedSemaphorePermit) -> Result<Self, Error> {
        let connection = store.acquire().await.map_err(|error| {
            if !error.is_pool_timeout() {
                return Error::from(error);
            }
            let message = "all connections for lists are in use: wait as long as the server says";
            Error::new(Reason::Overloaded, message).with_source(error)
        })?;
        Ok(Self(Some((connection, place))))
    }

    fn connection(&mut self) -> Result<&mut Connection, Error> {
        self.0.as_mut().map(|(connection, _)| &mut **connection).ok_or_else(Error::internal)
    }

    /// Releases both at once.
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for RunningList {
    fn drop(&mut self) {
        let Some((mut connection, place)) = self.0.take() else { return };
        tokio::spawn(async move {
            // Answered after the statement that nobody waits for any more.
            if let Err(error) = store::wait_until_idle(&mut connection).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the connection of an abandoned list failed"
                );
            }
            drop((connection, place));
        });
    }
}

/// Prepares a list and runs its query in a snapshot.
async fn list_prepared<T>(
    connection: &mut Connection,
    preparation: impl AsyncFnOnce(&mut Connection) -> Result<(), Error>,
    query: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    preparation(&mut *connection).await?;
    let mut tx = snapshot::begin(connection).await?;
    let listed = query(&mut *tx).await?;
    tx.rollback().await.map_err(store::Error::from)?;
    Ok(listed)
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

/// Places of each owner: a project or a caller. An owner without a taken place takes no memory for
/// long.
#[derive(Debug)]
struct Places<K> {
    per_owner: usize,
    taken: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Places<K> {
    fn new(per_owner: usize) -> Self {
        Self { per_owner, taken: Mutex::default() }
    }

    fn of(&self, owner: K) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = taken.get(&owner) {
            return Arc::clone(places);
        }
        // Nobody else can hold or get a semaphore that only the map refers to.
        taken.retain(|_, places| Arc::strong_count(places) > 1);
        let places = Arc::new(Semaphore::new(self.per_owner));
        taken.insert(owner, Arc::clone(&places));
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
        let shares = Shares::new(8);
        let (busy, other) = (project("busy"), project("other"));
        let mut held = Vec::new();
        for _ in 0..4 {
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
        let shares = Shares::new(8);
        let (busy, other) = (project("busy"), project("other"));
        let held: Vec<_> = std::iter::from_fn(|| shares.open_stream(&busy).ok()).collect();
        assert_eq!(held.len(), MAX_STREAMS_PER_PROJECT);
        drop(shares.open_stream(&other).unwrap());
        drop(held);
        drop(shares.open_stream(&busy).unwrap());
    }

    #[test]
    fn caller_has_few_streams_of_output() {
        let shares = Shares::new(8);
        let (busy, other) = (project("busy"), project("other"));
        let held: Vec<_> = std::iter::from_fn(|| shares.open_output_stream(&busy, "ann").ok()).collect();
        assert_eq!(held.len(), MAX_OUTPUT_STREAMS_PER_CALLER);
        let refused = shares.open_output_stream(&busy, "ann").unwrap_err();
        assert_eq!(refused.reason, Reason::ShareExceeded);
        drop(shares.open_output_stream(&busy, "bob").unwrap());
        drop(shares.open_output_stream(&other, "ann").unwrap());
        drop(held);
        drop(shares.open_output_stream(&busy, "ann").unwrap());
    }

    #[test]
    fn projects_without_places_are_forgotten() {
        let places = Places::new(1);
        let held = places.of(project("held")).try_acquire_owned().unwrap();
        for number in 0..100 {
            drop(places.of(project(&format!("p{number}"))));
        }
        assert_eq!(places.taken.lock().unwrap().len(), 2, "the held one and the last one");
        drop(held);
    }
}
