//! Conversions of the certificate service between proto and domain.

use control::DeniedCertificate as Row;
use proto::{admin::DeniedCertificate, time};

pub(crate) fn denied(row: Row) -> DeniedCertificate {
    let Row { serial, identity, reason, denied_by, denied_at, expires_at } = row;
    let (deny_time, expire_time) = (time(Some(denied_at)), time(Some(expires_at)));
    DeniedCertificate { serial, identity, reason, denied_by, deny_time, expire_time }
}
