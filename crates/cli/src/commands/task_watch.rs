//! `graywave ls --watch`: tasks as they change.

use std::{collections::HashMap, time::Duration};

use prost::Message as _;
use proto::admin::{ListTasksRequest, Task};

use crate::{
    Error,
    client::{Session, repeated},
    output::{Console, List},
};

/// Number of newest tasks that are watched.
const WATCHED: i32 = 50;
/// Pause between two looks at the tasks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Tasks of the last look by id, each encoded.
#[derive(Debug, Default)]
struct Seen(HashMap<String, Vec<u8>>);

impl Seen {
    /// Returns the tasks that are new or have changed since the last look, the oldest first, so
    /// that the newest line is at the bottom.
    fn changed(&mut self, tasks: Vec<Task>) -> Vec<Task> {
        let current: HashMap<String, Vec<u8>> =
            tasks.iter().map(|task| (task.task_id.clone(), task.encode_to_vec())).collect();
        let is_changed = |task: &Task| self.0.get(&task.task_id) != current.get(&task.task_id);
        let changed = tasks.into_iter().rev().filter(is_changed).collect();
        // A task that left the list is forgotten, which bounds the memory.
        self.0 = current;
        changed
    }
}

/// Prints the newest tasks, then each task that is new or has changed. Ends by a signal, or when
/// the output is closed.
pub(super) async fn watch(
    session: &Session,
    console: &mut Console,
    filter: ListTasksRequest,
) -> Result<(), Error> {
    let request = ListTasksRequest { page_size: WATCHED, ..filter };
    let mut seen = Seen::default();
    let mut list = List::endless(console);
    loop {
        let page = repeated(async || session.tasks().list_tasks(request.clone()).await).await;
        let page = page.map_err(|status| Error::of("cannot list tasks", &status))?.into_inner();
        list.add(&seen.changed(page.tasks))?;
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_is_shown_when_it_is_new_or_changed() {
        let task = |id: &str, target_count| Task { task_id: id.into(), target_count, ..Task::default() };
        let ids = |tasks: Vec<Task>| tasks.into_iter().map(|task| task.task_id).collect::<Vec<_>>();
        let mut seen = Seen::default();
        assert_eq!(ids(seen.changed(vec![task("2", 1), task("1", 1)])), ["1", "2"]);
        assert_eq!(ids(seen.changed(vec![task("2", 1), task("1", 1)])), [""; 0]);
        assert_eq!(ids(seen.changed(vec![task("3", 1), task("2", 5), task("1", 1)])), ["2", "3"]);
        assert_eq!(seen.changed(vec![task("3", 1)]), []);
        assert_eq!(seen.0.len(), 1, "the others are forgotten");
    }
}
