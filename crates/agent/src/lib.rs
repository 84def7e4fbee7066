//! The agent runs on a desktop, dials a worker, executes orders, journals them, and reports each
//! result until the worker has stored it.
//!
//! A script starts at most once: `started` is on disk before the process exists, and known orders
//! are answered from the journal. Each script runs under a runner, which outlives the agent; the
//! next agent attaches to it.

mod blocking;
mod config;
mod connection;
mod control_socket;
mod data_dir;
mod error;
mod execution;
mod facts;
mod identity;
mod journal;
mod orders;
mod platform;
mod power;
mod scratch;
mod status;
mod system_command;
mod way_down;

use std::{convert::Infallible, sync::Arc};

use blocking::blocking;
use connection::Link;
use control_socket::Requests;
use identity::{Enrolled, Renewal};
use journal::DataDir;
use mtls::Tls;
use time_sync::Clock;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

pub use config::{Config, Enrolment, TOKEN_VARIABLE, Token, this_machine};
pub use connection::is_attached;
pub use control_socket::{Restart, restart_agent, stop_agent};
pub use error::Error;
pub use execution::RunnerProgram;
pub use platform::{
    default_data_dir, enter_data_dir, install_service, is_supervised, run_as_init, run_service,
    stop_requested, uninstall_service,
};
pub use power::Power;
pub use status::{Status, status};

/// Target of the log event for each attach, so that a process with many agents can filter it.
pub const ATTACHED_LOG: &str = "agent::attached";

/// Runs the agent until `stop` is cancelled. A lost connection is re-established and never ends the
/// agent.
///
/// # Errors
///
/// Only at the start: when the configuration, the certificates or the data directory are unusable,
/// or another agent uses the directory.
pub async fn run(mut config: Config, stop: CancellationToken) -> Result<(), Error> {
    config.check()?;
    platform::look_up();
    let endpoints = connection::endpoints(&config)?;
    let clock = Clock::new();
    let dir = config.data_dir.clone();
    // The lock lives in this frame, not in the journal: dropping this future releases it at once,
    // even while a blocking write runs.
    let DataDir { lock: _lock, identity, journal } = blocking(move || {
        let opened = journal::open_data_dir(&dir)?;
        connection::clear(&dir);
        Ok::<_, Error>(opened)
    })
    .await?;
    let (is_supervised, stopping) = (config.is_supervised, stop.clone());
    let reports_stop = async {
        stopping.cancelled().await;
        if is_supervised {
            platform::notify_stopping();
        }
    };
    if is_supervised {
        platform::notify_ready();
    }
    config.desktop.agent_id = identity.agent_id;
    config.desktop.incarnation = identity.incarnation;
    config.desktop.run_id = format!("{:016x}", rand::random::<u64>());
    config.desktop.boot_id = config.power.boot_id().await.unwrap_or_default();
    let enrolled = config.enrolment.clone().map(|enrolment| Enrolled::new(&config, enrolment)).transpose()?;
    let tls = match (&enrolled, config.tls.clone()) {
        (Some(enrolled), _) => {
            let certificate = stop.run_until_cancelled(Box::pin(enrolled.certificate(&endpoints, &clock)));
            let Some(tls) = certificate.await.transpose()? else { return Ok(()) };
            Some(tls)
        }
        (None, Some(files)) => Some(Tls::load(files)?),
        (None, None) => None,
    };
    if let Some(tls) = &tls {
        config.take_identity(tls.identity(), enrolled.is_some())?;
    }
    let (orders, dispatcher, going_down) =
        orders::new(&config, Arc::new(journal), clock.clone(), stop.clone());
    let requests = control_socket::serve(
        config.data_dir.clone(),
        Requests {
            stop: stop.clone(),
            end_scripts: orders.end_scripts(),
            is_active: orders.activity(),
            is_supervised: config.is_supervised,
        },
    );
    let enrolled = enrolled.zip(tls.clone()).map(|(enrolled, tls)| Arc::new(Renewal::new(enrolled, tls)));
    let renewing = renew(enrolled.clone(), endpoints.clone(), clock.clone());
    let link = Link::new(&config, endpoints, tls.clone(), enrolled, orders, clock);
    let running = async {
        tokio::join!(Box::pin(link.run(stop)), Box::pin(dispatcher.run()), Box::pin(going_down.run()))
    };
    let running = async {
        tokio::select! {
            _ = running => {}
            never = renewing => match never {},
            () = requests => {}
        }
    };
    // Joined: the manager learns of the stop even if the agent ends at once.
    tokio::join!(Box::pin(Tls::watched(tls, running)), reports_stop);
    Ok(())
}

/// Renews an enrolled certificate in time. Without enrolment, waits forever.
async fn renew(renewal: Option<Arc<Renewal>>, endpoints: Vec<Endpoint>, clock: Clock) -> Infallible {
    match renewal {
        Some(renewal) => renewal.run(&endpoints, &clock).await,
        None => std::future::pending().await,
    }
}
