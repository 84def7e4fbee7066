//! Creates the connection side and the dispatcher over one journal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use time_sync::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{dispatcher::Dispatcher, inbox::Orders, queue::Queue, state::Shared, traces::Traces};
use crate::{Config, execution::Drains, journal::Journal, scratch::Scratch};

/// Creates the connection side and the dispatcher.
pub(crate) fn new(
    config: &Config,
    journal: Arc<Journal>,
    clock: Clock,
    stop: CancellationToken,
) -> (Orders, Dispatcher) {
    let queue = Arc::new(Queue::default());
    let shared = Arc::new(Shared {
        journal,
        clock,
        desktop_id: config.desktop.desktop_id.clone(),
        scratch: Scratch::new(&config.data_dir),
        drains: Drains::default(),
        active: Mutex::new(HashMap::new()),
        traces: Traces::default(),
        finished: Notify::new(),
        stop,
    });
    let dispatcher = Dispatcher {
        shared: Arc::clone(&shared),
        queue: Arc::clone(&queue),
        max_parallel: config.max_parallel,
    };
    (Orders { shared, queue }, dispatcher)
}
