//! The agent: runs on a desktop, dials out to a worker, executes what it is ordered, journals it, and reports it
//! until the worker has stored the result.
//!
//! It starts a script at most once: `started` is on disk before the process exists, and what the journal knows is
//! answered from the journal.

mod backoff;
mod book;
mod config;
mod error;
mod event;
mod execute;
mod guard;
mod identity;
mod interpreter;
mod journal;
mod link;
mod orders;
mod output;
mod process_tree;

use std::sync::Arc;

use ::identity::Tls;
use clock::Clock;
use tokio_util::sync::CancellationToken;

pub use config::{Config, this_machine};
pub use error::Error;

/// Runs the agent until `stop` is cancelled. A lost connection is made anew and never ends it.
///
/// # Errors
///
/// Only at the start: when the configuration cannot work, the certificates or the data directory cannot be used, or another agent
/// uses it.
pub async fn run(mut config: Config, stop: CancellationToken) -> Result<(), Error> {
    config.check()?;
    let endpoints = link::endpoints(&config)?;
    let tls = config.tls.clone().map(Tls::load).transpose()?;
    let clock = Clock::new();
    let dir = config.data_dir.clone();
    // The lock lives in this frame, not in the journal: whoever drops this future releases it at once, even
    // while a blocking write still runs.
    let at_start = clock.clone();
    let (_lock, agent_id, journal) = journal::blocking(move || {
        let (lock, journal) = journal::open_data_dir(&dir, &at_start)?;
        Ok::<_, Error>((lock, identity::load_or_make(&dir)?, journal))
    })
    .await?;
    config.desktop.agent_id = agent_id;
    let (orders, dispatcher) = orders::new(&config, Arc::new(journal), clock.clone(), stop.clone());
    let link = link::Link::new(&config, endpoints, tls.clone(), orders, clock);
    let running = async { tokio::join!(Box::pin(link.run(stop)), Box::pin(dispatcher.run())) };
    Tls::watched(tls, running).await;
    Ok(())
}
