//! One etcd, in which Patroni's nodes agree on who is primary.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;

use super::unprivileged_user::UnprivilegedUser;
use crate::chaos::node::Node;

/// It ends with this.
pub(crate) struct Etcd {
    _node: Node,
    /// Where it answers.
    pub(crate) address: String,
}

impl Etcd {
    pub(crate) fn start(directory: &Path, user: UnprivilegedUser) -> anyhow::Result<Self> {
        let [address, peers] = pgcluster::free_addresses()?;
        let data = directory.join("etcd");
        fs::create_dir(&data)?;
        user.give(&data)?;
        let listen = (format!("http://{address}"), format!("http://{peers}"));
        let make = move || {
            let mut command = Command::new("etcd");
            user.run(&mut command);
            command
                .args(["--name", "graywave", "--log-level", "error", "--data-dir"])
                .arg(&data)
                .args(["--listen-client-urls", &listen.0, "--advertise-client-urls", &listen.0])
                .args(["--listen-peer-urls", &listen.1, "--initial-advertise-peer-urls", &listen.1])
                .args(["--initial-cluster", &format!("graywave={}", listen.1)]);
            Ok(command)
        };
        let node = Node::start("etcd".to_owned(), directory.join("etcd.log"), make)
            .context("etcd is needed: `apt-get install etcd-server`")?;
        Ok(Self { _node: node, address })
    }
}
