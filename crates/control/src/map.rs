//! The map of a task: one byte for each target, with a version from which changes continue.

use std::{collections::BTreeMap, sync::Arc};

use domain::{Error, ids::TaskId};
use store::{Connection, map, map::MapHead, task_change};

use crate::{Caller, Control, lookup, map_cache::CachedMap, task_queries::check_task};

/// A task's map, or only its version if the caller has it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMap {
    /// Position in the changes of the map.
    pub version: i64,
    /// Name of this state of the map. Two states with one name have the same bytes.
    pub tag: String,
    /// One code for each target, in the order of the plan; `None` if the caller has this state.
    pub bytes: Option<Vec<u8>>,
}

impl Control {
    /// Reads the map of a task, unless `is_known` accepts the name of its state.
    ///
    /// # Errors
    ///
    /// `TaskNotFound`, and those of lists: the map of a large task reads many rows.
    pub async fn task_map(
        &self,
        caller: &Caller,
        task_id: TaskId,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<TaskMap, Error> {
        check_task(caller, task_id)?;
        let project_id = caller.project_id();
        // A map that the client or the cache has takes no place among the lists.
        let mut connection = self.store.acquire().await?;
        let head = map::head(&mut connection, project_id, task_id).await?;
        let head = head.ok_or_else(|| lookup::no_task(task_id))?;
        if is_known(&tag(task_id, head.version, head.status.is_ended())) {
            let tag = tag(task_id, head.version, head.status.is_ended());
            return Ok(TaskMap { version: head.version, tag, bytes: None });
        }
        let cached = self.cached_map(&mut connection, task_id, &head).await?;
        drop(connection);
        if let Some(map) = cached {
            return Ok(answer(task_id, &map));
        }
        let map = self
            .list(project_id, async |connection| {
                let head = map::head(connection, project_id, task_id).await?;
                let head = head.ok_or_else(|| lookup::no_task(task_id))?;
                let bytes = map::parts(connection, task_id).await?.bytes(head.size, head.status);
                Ok(Arc::new(CachedMap { version: head.version, is_final: head.status.is_ended(), bytes }))
            })
            .await?;
        self.maps.put(task_id, Arc::clone(&map));
        Ok(answer(task_id, &map))
    }

    /// Brings the cached map of a task up to date; `None` if it has to be read as a whole.
    async fn cached_map(
        &self,
        connection: &mut Connection,
        task_id: TaskId,
        head: &MapHead,
    ) -> Result<Option<Arc<CachedMap>>, Error> {
        let Some(cached) = self.maps.get(task_id) else { return Ok(None) };
        let is_final = head.status.is_ended();
        if cached.is_final || cached.version == head.version && !is_final {
            return Ok(Some(cached));
        }
        let since = BTreeMap::from([(task_id, cached.version)]);
        let news = task_change::map_news(connection, &since).await?.remove(&task_id);
        // Without the changes up to the head, some of them are deleted.
        let Some(news) = news.filter(|news| !news.change.is_reset() && news.version >= head.version) else {
            return Ok(None);
        };
        let mut bytes = cached.bytes.clone();
        news.change.apply(&mut bytes);
        let map = Arc::new(CachedMap { version: news.version, is_final, bytes });
        self.maps.put(task_id, Arc::clone(&map));
        Ok(Some(map))
    }
}

fn answer(task_id: TaskId, map: &CachedMap) -> TaskMap {
    let tag = tag(task_id, map.version, map.is_final);
    TaskMap { version: map.version, tag, bytes: Some(map.bytes.clone()) }
}

/// Names the state of a map. The map of an ended task does not change any more, although its
/// version returns to 0 when its changes are deleted.
fn tag(task_id: TaskId, version: i64, is_final: bool) -> String {
    if is_final { format!("{task_id}-end") } else { format!("{task_id}-{version}") }
}
