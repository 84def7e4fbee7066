//! A node of the database: Patroni and the Postgres that it looks after.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use super::{address::Address, postgres, settings::Settings, unprivileged_user::UnprivilegedUser};
use crate::chaos::{
    link::{Link, State},
    node::Node,
};

/// A node; it ends with this.
pub(crate) struct Member {
    pub(crate) address: Address,
    /// On which the other node reaches this one's Postgres.
    pub(crate) replication: Link,
    patroni: Node,
    data: PathBuf,
}

impl Member {
    /// Starts Patroni, which makes its Postgres or copies that of the primary.
    pub(crate) async fn start(
        name: &str,
        settings: &Settings,
        user: UnprivilegedUser,
    ) -> anyhow::Result<Self> {
        let [rest, postgres] = pgcluster::free_addresses()?;
        let address = Address { name: name.to_owned(), rest, postgres };
        let replication = Link::start(format!("standby to {name}"), address.postgres.clone()).await?;
        let home = settings.directory.join(name);
        fs::create_dir(&home)?;
        user.give(&home)?;
        let file = home.join("patroni.yml");
        fs::write(&file, settings.text(&address, &replication.address.to_string(), &home)?)?;
        user.give(&file)?;
        let data = home.join("data");
        let make = move || {
            let mut command = Command::new("patroni");
            user.run(&mut command);
            command.arg(&file).current_dir(&home);
            Ok(command)
        };
        let patroni = Node::start(name.to_owned(), settings.directory.join(format!("{name}.log")), make)
            .context("Patroni is needed: `apt-get install patroni`")?;
        Ok(Self { address, replication, patroni, data })
    }

    /// As when its machine dies: Patroni and every process of Postgres at once, and nothing that
    /// was on its way to the standby arrives.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.replication.set(State::Cut);
        self.patroni.kill()?;
        postgres::kill(&self.data)
    }

    /// As when its machine is started again.
    pub(crate) fn revive(&mut self) -> anyhow::Result<()> {
        self.replication.set(State::Open);
        self.patroni.run()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.kill());
    }
}
