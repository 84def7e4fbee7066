//! Reports of started scripts, so that a running record has its start time. They are not
//! acknowledged: a lost report costs only that time.

use std::{collections::HashSet, time::Duration};

use proto::agent::{AttachRequest, Started, StartedScript, attach_request::Message};
use time_sync::Clock;
use tokio::{sync::mpsc, time::Instant};

use crate::{journal::Key, orders::Orders};

/// Interval of the reports, and the run time from which a script is reported.
const EVERY: Duration = Duration::from_secs(1);
/// The same run time, in milliseconds.
const AFTER_MS: i64 = 1_000;

/// Scripts that were reported on one connection.
#[derive(Debug)]
pub(super) struct StartedScripts {
    reported: HashSet<(Key, u32)>,
    /// Time of the next report.
    pub(super) next_at: Instant,
}

impl Default for StartedScripts {
    fn default() -> Self {
        Self { reported: HashSet::new(), next_at: Instant::now() + EVERY }
    }
}

impl StartedScripts {
    /// Sends the scripts that have run for a second and were not reported on this connection. With
    /// a full outbox, they are part of the next report.
    pub(super) async fn report(
        &mut self,
        orders: &Orders,
        clock: &Clock,
        outbox: &mpsc::Sender<AttachRequest>,
    ) {
        self.next_at = Instant::now() + EVERY;
        let running = orders.started_before(clock.now().timestamp_millis().saturating_sub(AFTER_MS)).await;
        let is_running =
            |key: &(Key, u32)| running.iter().any(|(order, script, _)| (order, *script) == (&key.0, key.1));
        self.reported.retain(is_running);
        let news: Vec<_> = running
            .into_iter()
            .filter(|(key, script, _)| !self.reported.contains(&(key.clone(), *script)))
            .collect();
        if news.is_empty() {
            return;
        }
        let started = |(key, script, at): &(Key, u32, i64)| StartedScript {
            key: Some(key.clone().into()),
            script: *script,
            started_at_unix_ms: *at,
        };
        let message = Message::Started(Started { scripts: news.iter().map(started).collect() });
        if outbox.try_send(AttachRequest { message: Some(message) }).is_ok() {
            self.reported.extend(news.into_iter().map(|(key, script, _)| (key, script)));
        }
    }
}
