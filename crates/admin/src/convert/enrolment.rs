//! Conversions of the enrolment service between proto and domain.

use control::EnrolmentTokenRow;
use domain::ids::DesktopId;
use proto::{admin::EnrolmentToken, time};

use super::value::text;

pub(crate) fn token(EnrolmentTokenRow { token_id, token }: EnrolmentTokenRow) -> EnrolmentToken {
    EnrolmentToken {
        token_id: token_id.simple().to_string(),
        desktop_id: text(token.desktop_id.map(DesktopId::into_string)),
        max_uses: token.max_uses,
        uses: token.uses,
        create_time: time(Some(token.created_at)),
        expire_time: time(Some(token.expires_at)),
        revoke_time: time(token.revoked_at),
        pool_id: text(token.assignment.pool_id),
        availability_zone: text(token.assignment.availability_zone),
        tags: token.assignment.tags,
    }
}
