//! Creates the connection side and the dispatcher over one journal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use proto::agent::Order;
use time_sync::Clock;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dispatcher::Dispatcher,
    going_down::GoingDown,
    inbox::Orders,
    queue::Queue,
    state::{Accepted, Active, Shared},
    traces::Traces,
};
use crate::{
    Config,
    execution::{AgentStop, Runs},
    journal::{Journal, JournalState},
    scratch::Scratch,
};

/// Creates the connection side, the dispatcher, and the executor of reboots.
pub(crate) fn new(
    config: &Config,
    journal: Arc<Journal>,
    clock: Clock,
    stop: CancellationToken,
) -> (Orders, Dispatcher, GoingDown) {
    let queue = Arc::new(Queue::default());
    let shared = Arc::new(Shared {
        journal,
        clock,
        desktop_id: config.desktop.desktop_id.clone(),
        scratch: Scratch::new(&config.data_dir),
        runs: Runs::new(&config.data_dir),
        runner: config.runner.clone(),
        run_as_user: config.run_as_user.clone(),
        powershell: config.powershell.clone(),
        leaving: TaskTracker::new(),
        active: Mutex::new(HashMap::new()),
        traces: Traces::default(),
        returns: Mutex::default(),
        finished: Notify::new(),
        boot_id: Some(config.desktop.boot_id.clone()).filter(|id| !id.is_empty()),
        action_due: Notify::new(),
        stop,
        at_stop: if config.ends_scripts { AgentStop::EndScripts } else { AgentStop::Detach },
        end_scripts: CancellationToken::new(),
    });
    let recovered = recover(&shared);
    let dispatcher = Dispatcher {
        shared: Arc::clone(&shared),
        queue: Arc::clone(&queue),
        max_parallel: config.max_parallel,
        recovered,
    };
    let going_down = GoingDown {
        shared: Arc::clone(&shared),
        queue: Arc::clone(&queue),
        power: config.power.clone(),
        boot_id: shared.boot_id.clone(),
    };
    (Orders { shared, queue }, dispatcher, going_down)
}

/// Orders that an earlier agent began. They are active before the first connection, so that none is
/// accepted again.
fn recover(shared: &Arc<Shared>) -> Vec<Accepted> {
    let mut running = shared.journal.book(JournalState::running);
    // The control plane sends these again, once it knows of the reboot.
    running.retain(|order| !shared.journal.book(|book| book.is_paused(&order.key)));
    let accepted = running.into_iter().filter_map(|running| {
        let active = Active::new(shared, &running.key, None)?;
        Some(Accepted { active, order: Order::default(), span: running.span, recovered: Some(running) })
    });
    accepted.collect()
}
