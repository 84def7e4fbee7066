//! Clients that follow the maps of tasks by their changes, as a browser does.

use std::collections::BTreeMap;

use domain::ids::TaskId;
use store::{Connection, map, task_change};

use super::pair::Task;

/// The maps of all tasks, each as its changes made it, with the version.
#[derive(Debug, Default)]
pub(super) struct Follower {
    maps: BTreeMap<TaskId, (i64, Vec<u8>)>,
    /// Changes that were applied, and maps that were read again.
    pub(super) applied: u32,
    pub(super) resets: u32,
}

impl Follower {
    /// Applies the new changes of each map, and compares the map with the rows.
    pub(super) async fn follow(&mut self, connection: &mut Connection, tasks: &[Task], context: &str) {
        for Task { task_id, project_id, size } in tasks {
            let head = map::head(connection, project_id, *task_id).await.unwrap().unwrap();
            let rows = map::parts(connection, *task_id).await.unwrap().bytes(*size, head.status);
            let (version, bytes) = self.maps.entry(*task_id).or_insert_with(|| (head.version, rows.clone()));
            let since = BTreeMap::from([(*task_id, *version)]);
            if let Some(news) = task_change::map_news(connection, &since).await.unwrap().remove(task_id) {
                *version = news.version;
                if news.change.is_reset() {
                    self.resets += 1;
                    bytes.clone_from(&rows);
                } else {
                    self.applied += 1;
                    news.change.apply(bytes);
                }
            }
            assert_eq!(*version, head.version, "{context}");
            assert_eq!(*bytes, rows, "the map by its changes, and by the rows: {context}");
        }
    }
}
