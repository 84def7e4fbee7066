//! A rollout on the whole screen.

use crate::{Ended, Failure, connect::Session, follow::follow, out::Console};

pub(crate) fn fits() -> bool {
    false
}

pub(crate) async fn watch(session: &Session, console: &Console, task_id: &str) -> Result<Ended, Failure> {
    follow(session, console, task_id).await
}
