//! The one address of the database: a proxy that leads to the primary, as HAProxy does with
//! Patroni's `/primary`.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinHandle,
};

use super::{
    address::{Address, Role},
    rest,
};
use crate::chaos::link::Link;

/// Interval between two searches for the primary.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The proxy. It is late by design: it goes on to lead to a node that is primary no more until it
/// knows of the next one, and it breaks no connection, so the product has to notice both by itself.
pub(crate) struct Follower {
    link: Arc<Link>,
    paused: Arc<Mutex<()>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Leads to the first node until another one is primary.
    pub(crate) async fn start(nodes: [Address; 2]) -> anyhow::Result<Self> {
        let link = Arc::new(Link::start("to the primary".to_owned(), nodes[0].postgres.clone()).await?);
        let paused = Arc::new(Mutex::new(()));
        let task = tokio::spawn(follow(Arc::clone(&link), nodes, Arc::clone(&paused)));
        Ok(Self { link, paused, task })
    }

    /// The database by this proxy.
    pub(crate) fn url(&self) -> String {
        format!("postgres://graywave@{}/postgres", self.link.address)
    }

    /// The connections that are open are never answered again.
    pub(crate) fn lose(&self) {
        self.link.lose();
    }

    /// Keeps the current target of the proxy until the guard is dropped.
    pub(crate) async fn pause(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.paused).lock_owned().await
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(link: Arc<Link>, nodes: [Address; 2], paused: Arc<Mutex<()>>) {
    let mut leads_to = 0;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let _guard = paused.lock().await;
        let other = 1 - leads_to;
        if rest::has_role(&nodes[other], Role::Primary).await {
            link.lead_to(nodes[other].postgres.clone());
            leads_to = other;
        }
    }
}
