//! Transactions for lists: all statements see the same moment.

use sqlx::{Connection as _, Postgres, Transaction};

use crate::{Connection, Error};

/// Opens a read-only transaction whose statements all see the rows of one moment, so that the total
/// number of a list fits its page. Its end needs no commit.
pub async fn begin(connection: &mut Connection) -> Result<Transaction<'_, Postgres>, Error> {
    Ok(connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?)
}
