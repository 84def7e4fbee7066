//! The database: two nodes, of which one is primary and the other one its synchronous standby.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::{
    address::{Address, Role},
    etcd::Etcd,
    member::Member,
    rest,
    settings::Settings,
    unprivileged_user::UnprivilegedUser,
};
use crate::chaos::system::Directory;

/// A change of roles that takes longer has gone wrong.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Both nodes, what they agree in, and where they lie. The parts end in the order of the fields.
pub(crate) struct Pair {
    pub(crate) members: [Member; 2],
    synchronous: bool,
    _etcd: Etcd,
    _directory: Arc<Directory>,
}

impl Pair {
    /// Starts both, and waits until commits of one wait for the other.
    pub(crate) async fn start(directory: Arc<Directory>, synchronous: bool) -> anyhow::Result<Self> {
        let user = UnprivilegedUser::find()?;
        let etcd = Etcd::start(directory.path(), user)?;
        let settings = Settings {
            directory: directory.path().to_owned(),
            etcd: etcd.address.clone(),
            binaries: pgcluster::find_binaries()?.directory,
            synchronous,
        };
        let first = Member::start("node-0", &settings, user).await?;
        wait_for_role(&first.address, Role::Primary).await?;
        let second = Member::start("node-1", &settings, user).await?;
        let pair = Self { members: [first, second], synchronous, _etcd: etcd, _directory: directory };
        pair.wait_for_standby(1).await?;
        Ok(pair)
    }

    pub(crate) fn addresses(&self) -> [Address; 2] {
        [self.members[0].address.clone(), self.members[1].address.clone()]
    }

    /// Waits until the primary's commits wait for this node.
    pub(crate) async fn wait_for_standby(&self, index: usize) -> anyhow::Result<()> {
        let role = if self.synchronous { Role::Synchronous } else { Role::Replica };
        wait_for_role(&self.members[index].address, role).await
    }

    /// Waits until this node is primary.
    pub(crate) async fn wait_for_promotion(&self, index: usize) -> anyhow::Result<()> {
        wait_for_role(&self.members[index].address, Role::Primary).await
    }
}

/// Waits until a node reports a role.
pub(crate) async fn wait_for_role(node: &Address, role: Role) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !rest::has_role(node, role).await {
        if begun.elapsed() > TIMEOUT {
            bail!("{} is not {role:?} after {TIMEOUT:?}: its log says why", node.name);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
