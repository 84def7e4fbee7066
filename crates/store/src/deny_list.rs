//! The deny-list of certificates.

use domain::Timestamp;

use crate::{Connection, Error, codec::count};

/// Denied certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedCertificate {
    /// Serial number in hex: lower case, without colons and leading zeros.
    pub serial: String,
    /// Identity in the certificate; empty if the operator did not name it.
    pub identity: String,
    /// Why it is denied, for people.
    pub reason: String,
    /// Operator that denied it.
    pub denied_by: String,
    /// Time of the denial.
    pub denied_at: Timestamp,
    /// Expiry of the certificate, or an upper bound.
    pub expires_at: Timestamp,
}

/// Locks the list until the transaction ends. Returns its version.
pub async fn hold(connection: &mut Connection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!("SELECT version FROM deny_list FOR UPDATE").fetch_one(connection).await?)
}

/// Returns the version of the list: 0 if it was never changed.
pub async fn version(connection: &mut Connection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!("SELECT version FROM deny_list").fetch_one(connection).await?)
}

/// Sets the version of a changed list.
pub async fn set_version(connection: &mut Connection, version: i64) -> Result<(), Error> {
    sqlx::query!("UPDATE deny_list SET version = $1", version).execute(connection).await?;
    Ok(())
}

/// Deletes entries whose certificates expired before `before`. Returns the number of entries left.
pub async fn purge(connection: &mut Connection, before: Timestamp) -> Result<usize, Error> {
    sqlx::query!("DELETE FROM denied_certificate WHERE expires_at < $1", before)
        .execute(&mut *connection)
        .await?;
    let left = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM denied_certificate"#);
    count("denied_certificate", left.fetch_one(connection).await?)
}

/// Stores an entry. Returns false if the certificate is denied already.
pub async fn insert(connection: &mut Connection, new: &DeniedCertificate) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO denied_certificate (serial, identity, reason, denied_by, denied_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (serial) DO NOTHING",
        new.serial,
        new.identity,
        new.reason,
        new.denied_by,
        new.denied_at,
        new.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes an entry. Returns false if the certificate is not denied.
pub async fn remove(connection: &mut Connection, serial: &str) -> Result<bool, Error> {
    let done =
        sqlx::query!("DELETE FROM denied_certificate WHERE serial = $1", serial).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Lists at most `limit` entries by serial number, starting after `after`.
pub async fn list(
    connection: &mut Connection,
    after: &str,
    limit: i64,
) -> Result<Vec<DeniedCertificate>, Error> {
    Ok(sqlx::query_as!(
        DeniedCertificate,
        "SELECT serial, identity, reason, denied_by, denied_at, expires_at FROM denied_certificate
         WHERE serial > $1 ORDER BY serial LIMIT $2",
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// The serial numbers of all entries and the version of the list, from one moment.
pub async fn serials(connection: &mut Connection) -> Result<(i64, Vec<String>), Error> {
    let row = sqlx::query!(
        r#"SELECT version,
                  ARRAY(SELECT serial FROM denied_certificate ORDER BY serial) AS "serials!: Vec<String>"
           FROM deny_list"#,
    )
    .fetch_one(connection)
    .await?;
    Ok((row.version, row.serials))
}
