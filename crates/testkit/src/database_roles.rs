//! A database under the three roles of a production cluster.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use store::{PoolOptions, Store, roles};

use crate::{TestDatabase, empty_database};

/// A migrated database whose owner is no superuser, with its two other roles.
#[derive(Debug)]
pub struct DatabaseRoles {
    /// Database of the test, under a superuser.
    pub database: TestDatabase,
    /// Role that migrated the schema.
    pub owner: String,
    /// Role of the processes that serve callers.
    pub runtime: String,
    /// Role that owns the partitions.
    pub partition: String,
}

impl DatabaseRoles {
    /// Creates the database and its roles. Roles belong to the server, so their names contain the
    /// id of the database, and [`DatabaseRoles::end`] drops them.
    pub async fn new() -> anyhow::Result<Self> {
        let database = empty_database().await?;
        let name = database.url.rsplit('/').next().unwrap_or_default().to_owned();
        let place = name.chars().count().saturating_sub(16);
        let id: String = name.chars().skip(place).collect();
        let role = |kind: &str| format!("test_{kind}_{}_{id}", std::process::id());
        let roles =
            Self { owner: role("owner"), runtime: role("runtime"), partition: role("partition"), database };
        let create = format!("CREATE ROLE {} LOGIN CREATEROLE", roles.owner);
        let give = format!("ALTER DATABASE {name} OWNER TO {}", roles.owner);
        roles.execute(&[create, give]).await?;
        let owner = roles.store(&roles.owner)?;
        owner.migrate().await?;
        // Twice: everything is in place at the second time.
        for _ in 0..2 {
            roles::grant(&mut *owner.acquire().await?, &roles.runtime, &roles.partition).await?;
        }
        owner.close().await;
        Ok(roles)
    }

    fn url(&self, role: &str) -> String {
        let (scheme, rest) = self.database.url.split_once("://").unwrap_or(("postgres", &self.database.url));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        format!("{scheme}://{role}@{place}")
    }

    /// Opens a pool of a role.
    pub fn store(&self, role: &str) -> anyhow::Result<Store> {
        Ok(Store::connect(&PoolOptions { max_connections: 8, ..PoolOptions::new(self.url(role)) })?)
    }

    /// Opens a connection of a role.
    pub async fn connection(&self, role: &str) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url(role)).await?)
    }

    /// Drops the roles with all that they own.
    pub async fn end(self) -> anyhow::Result<()> {
        let mut statements = Vec::new();
        for role in [&self.owner, &self.runtime, &self.partition] {
            statements.push(format!("REASSIGN OWNED BY {role} TO CURRENT_USER"));
            statements.push(format!("DROP OWNED BY {role} CASCADE"));
        }
        for role in [&self.runtime, &self.partition, &self.owner] {
            statements.push(format!("DROP ROLE {role}"));
        }
        self.execute(&statements).await
    }

    async fn execute(&self, statements: &[String]) -> anyhow::Result<()> {
        let mut admin = self.database.connection().await?;
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut admin).await?;
        }
        Ok(())
    }
}
