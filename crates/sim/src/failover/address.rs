//! Where a node of the database is reached, and the roles that it can have.

/// What Patroni's REST API says of a node, by the path that answers 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes writes.
    Primary,
    /// Commits of the primary wait for it.
    Synchronous,
    /// It follows the primary, whether or not commits wait for it.
    Replica,
}

impl Role {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Synchronous => "synchronous",
            Self::Replica => "replica",
        }
    }
}

/// Where a node is reached.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) name: String,
    /// Patroni's REST API.
    pub(crate) rest: String,
    /// Address of Postgres, as `host:port`.
    pub(crate) postgres: String,
}

impl Address {
    /// A database of the node, past every link.
    pub(crate) fn url(&self) -> String {
        format!("postgres://graywave@{}/postgres", self.postgres)
    }
}
