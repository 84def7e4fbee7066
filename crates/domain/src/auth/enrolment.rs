//! Rules of enrolment: by token, renewal by certificate, and revocation.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::{
    Error, Reason, Timestamp,
    desktop::Certificate,
    ids::DesktopId,
    limits::{MAX_DESKTOP_TEXT_CHARS, MAX_ENROLMENT_TOKEN_HOURS},
    tags::{TagChange, Tags},
};

/// An enrolment token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// The only desktop that it can enrol; `None` for any desktop.
    pub desktop_id: Option<DesktopId>,
    /// What it fixes of its desktops.
    pub assignment: Assignment,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time after which the token is invalid.
    pub expires_at: Timestamp,
    /// Time of the revocation; `None` if it is not revoked.
    pub revoked_at: Option<Timestamp>,
    /// Maximum number of desktops that it enrols.
    pub max_uses: u32,
    /// Number of desktops enrolled so far.
    pub uses: u32,
}

/// What an enrolment fixes of a desktop: the facts of its agent never overrule it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Pool; `None`: as the agent says.
    pub pool_id: Option<String>,
    /// Availability zone; `None`: as the agent says.
    pub availability_zone: Option<String>,
    /// Operator tags, which overrule tags of the agent.
    pub tags: Tags,
}

impl Assignment {
    /// Whether nothing is fixed.
    pub fn is_empty(&self) -> bool {
        self.pool_id.is_none() && self.availability_zone.is_none() && self.tags.is_empty()
    }

    /// Checks the texts and tags of a new token.
    pub fn check(&self) -> Result<(), Error> {
        for (field, text) in [("pool_id", &self.pool_id), ("availability_zone", &self.availability_zone)] {
            if let Some(text) = text {
                check_fact(field, text)?;
            }
        }
        if self.tags.is_empty() {
            return Ok(());
        }
        TagChange { set: self.tags.clone(), remove: BTreeSet::new() }
            .check()
            .map_err(|error| error.within("tags"))
    }
}

fn check_fact(field: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::required(field, "leave it out, or name a value"));
    }
    if text.chars().count() > MAX_DESKTOP_TEXT_CHARS {
        return Err(Error::out_of_range(
            field,
            format!("it has more than {MAX_DESKTOP_TEXT_CHARS} characters"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "it must not contain a control character"));
    }
    Ok(())
}

/// Enrolment state of a desktop that a machine requests to become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DesktopEnrolment {
    /// End of validity of its current certificate; `None` without one.
    pub certified_until: Option<Timestamp>,
    /// Time of its last revocation; `None` if it was never revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether the desktop is retired.
    pub is_retired: bool,
    /// Whether the desktop exists: it has connected before.
    pub exists: bool,
}

/// Error for a token that does not exist, or whose secret is another.
pub fn unknown_token() -> Error {
    refused("unknown enrolment token: check that it was copied completely, or create a new one")
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Reason::EnrolmentTokenInvalid, message)
}

/// Returns the expiry of a new token that is valid for 1 to [`MAX_ENROLMENT_TOKEN_HOURS`] hours.
pub fn token_expiry(hours: i64, now: Timestamp) -> Result<Timestamp, Error> {
    if (1..=MAX_ENROLMENT_TOKEN_HOURS).contains(&hours) {
        return Ok(now + TimeDelta::hours(hours));
    }
    let message = format!("{hours} hours are out of range: 1 to {MAX_ENROLMENT_TOKEN_HOURS}");
    Err(Error::out_of_range("expires_in_hours", message))
}

/// Checks that the token may enrol this desktop now.
pub fn check(
    token: &EnrolmentToken,
    desktop_id: &DesktopId,
    standing: DesktopEnrolment,
    now: Timestamp,
) -> Result<(), Error> {
    if token.revoked_at.is_some() {
        return Err(refused("the enrolment token is revoked: create a new one"));
    }
    if token.expires_at <= now {
        let expired = token.expires_at;
        return Err(refused(format!("the enrolment token has expired at {expired}: create a new one")));
    }
    if let Some(only) = token.desktop_id.as_ref().filter(|&only| only != desktop_id) {
        let message = format!("the enrolment token is for desktop {only}, and not for {desktop_id}");
        return Err(Error::new(Reason::EnrolmentRefused, message));
    }
    if token.uses >= token.max_uses {
        let message = format!(
            "the enrolment token is used up, its limit is {} desktops: create a new one",
            token.max_uses
        );
        return Err(refused(message));
    }
    if standing.is_retired {
        let message = format!("desktop {desktop_id} is retired: unretire it first, then create a new token");
        return Err(Error::new(Reason::EnrolmentRefused, message));
    }
    if standing.revoked_at.is_some_and(|revoked_at| token.created_at <= revoked_at) {
        let message = format!(
            "desktop {desktop_id} was revoked after the enrolment token was created: create a new token"
        );
        return Err(Error::new(Reason::EnrolmentRefused, message));
    }
    if token.desktop_id.is_none() && standing.exists {
        return Err(Error::new(
            Reason::EnrolmentRefused,
            format!(
                "desktop {desktop_id} exists, and the enrolment token is for new desktops: create a token for it with \
                 `graywave enrolment-tokens create --desktop {desktop_id}`, or choose another id for this machine"
            ),
        ));
    }
    if let Some(until) = standing.certified_until.filter(|&until| until > now) {
        return Err(Error::new(
            Reason::DesktopEnrolled,
            format!(
                "desktop {desktop_id} has a certificate that is valid until {until}: if it is lost, revoke \
                 the desktop and create a new token; if another machine has it, choose another id for this one"
            ),
        ));
    }
    Ok(())
}

/// Stored state of a certificate that enrolment or renewal issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// Time of issue.
    pub issued_at: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Time of the revocation; `None` if it is not revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Returns whether a presented certificate is revoked. For a stored certificate the row decides. A
/// manually issued certificate has no row: it is revoked with its desktop, unless it was issued
/// after the revocation.
pub fn is_revoked(
    known: Option<Option<Timestamp>>,
    desktop_revoked_at: Option<Timestamp>,
    shown: &Certificate,
) -> bool {
    match known {
        Some(revoked_at) => revoked_at.is_some(),
        None => desktop_revoked_at.is_some_and(|revoked_at| shown.not_before <= revoked_at),
    }
}

/// Checks that a certificate may be renewed now: after the first third of its lifetime, so that no
/// client accumulates certificates.
pub fn check_renewal(known: Option<Issued>, now: Timestamp) -> Result<(), Error> {
    let Some(Issued { issued_at, not_after, revoked_at }) = known else {
        return Err(Error::new(
            Reason::CertificateNotRenewable,
            "the certificate was issued by hand: issue the next one by hand, or enrol with a token",
        ));
    };
    if revoked_at.is_some() {
        return Err(Error::new(Reason::CertificateRevoked, REVOKED));
    }
    if not_after <= now {
        let message = format!("the certificate expired at {not_after}: enrol the desktop again");
        return Err(Error::new(Reason::CertificateExpired, message));
    }
    let earliest = issued_at + (not_after - issued_at) / 3;
    if now < earliest {
        return Err(Error::new(
            Reason::CertificateNotRenewable,
            format!("the certificate is too new to be renewed: wait until {earliest}"),
        ));
    }
    Ok(())
}

/// Message to a desktop whose certificate is revoked.
pub const REVOKED: &str = "the desktop's certificate is revoked: enrol the desktop again with a new token";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn token() -> EnrolmentToken {
        EnrolmentToken {
            desktop_id: None,
            assignment: Assignment::default(),
            created_at: at(0),
            expires_at: at(100),
            revoked_at: None,
            max_uses: 2,
            uses: 1,
        }
    }

    fn desktop() -> DesktopId {
        "d".parse().unwrap()
    }

    fn kind(token: &EnrolmentToken, standing: DesktopEnrolment, now: i64) -> Result<(), (ErrorKind, String)> {
        check(token, &desktop(), standing, at(now)).map_err(|error| (error.kind(), error.to_string()))
    }

    #[test]
    fn a_good_token_enrols_and_one_that_is_not_says_what_to_do() {
        let free = DesktopEnrolment::default();
        assert_eq!(kind(&token(), free, 99), Ok(()));
        let cases = [
            (EnrolmentToken { revoked_at: Some(at(1)), ..token() }, ErrorKind::Unauthenticated, "is revoked"),
            (EnrolmentToken { expires_at: at(50), ..token() }, ErrorKind::Unauthenticated, "has expired"),
            (EnrolmentToken { uses: 2, ..token() }, ErrorKind::Unauthenticated, "used up"),
            (
                EnrolmentToken { desktop_id: Some("e".parse().unwrap()), ..token() },
                ErrorKind::Forbidden,
                "is for desktop e, and not for d",
            ),
        ];
        for (token, expected, said) in cases {
            let (kind, message) = kind(&token, free, 50).unwrap_err();
            assert!(kind == expected && message.contains(said), "{message}");
        }
        let own = EnrolmentToken { desktop_id: Some(desktop()), ..token() };
        assert_eq!(kind(&own, free, 1), Ok(()));
    }

    #[test]
    fn a_desktop_that_has_a_certificate_is_nobody_elses() {
        let certified = DesktopEnrolment { certified_until: Some(at(60)), ..DesktopEnrolment::default() };
        let (kind_, message) = kind(&token(), certified, 59).unwrap_err();
        assert!(kind_ == ErrorKind::Conflict && message.contains("revoke the desktop"), "{message}");
        assert_eq!(kind(&token(), certified, 60), Ok(()), "the certificate has expired");
    }

    #[test]
    fn after_a_revocation_only_a_newer_token_is_good() {
        for (revoked, good) in [(-1, true), (0, false), (5, false)] {
            let standing = DesktopEnrolment { revoked_at: Some(at(revoked)), ..DesktopEnrolment::default() };
            assert_eq!(kind(&token(), standing, 10).is_ok(), good, "{revoked}");
        }
    }

    #[test]
    fn token_for_any_desktop_takes_no_existing_one() {
        let standing = DesktopEnrolment { exists: true, ..DesktopEnrolment::default() };
        let (kind_, message) = kind(&token(), standing, 10).unwrap_err();
        assert!(kind_ == ErrorKind::Forbidden && message.contains("--desktop d"), "{message}");
        let own = EnrolmentToken { desktop_id: Some(desktop()), ..token() };
        assert_eq!(kind(&own, standing, 10), Ok(()));
    }

    #[test]
    fn assignment_has_the_limits_of_facts() {
        let of_pool = |pool: &str| Assignment { pool_id: Some(pool.into()), ..Assignment::default() };
        assert!(of_pool("finance").check().is_ok() && !of_pool("finance").is_empty());
        assert!(Assignment::default().is_empty() && Assignment::default().check().is_ok());
        for wrong in ["", "a\0", &"x".repeat(MAX_DESKTOP_TEXT_CHARS + 1)] {
            assert!(of_pool(wrong).check().is_err(), "{wrong:?}");
        }
        let tags = Tags::from([("a=b".to_owned(), "c".to_owned())]);
        assert!(Assignment { tags, ..Assignment::default() }.check().is_err());
    }

    #[test]
    fn a_desktop_that_is_retired_is_nobodys() {
        let retired = DesktopEnrolment { is_retired: true, ..DesktopEnrolment::default() };
        let (kind, message) = kind(&token(), retired, 10).unwrap_err();
        assert!(kind == ErrorKind::Forbidden && message.contains("unretire it first"), "{message}");
    }

    #[test]
    fn a_certificate_is_revoked_by_its_row_or_by_its_age() {
        let shown = Certificate { serial: "01".into(), not_before: at(10), not_after: at(1_000) };
        let revoked = |known, desktop: Option<i64>| is_revoked(known, desktop.map(at), &shown);
        assert!(!revoked(None, None) && !revoked(Some(None), None));
        assert!(revoked(Some(Some(at(1))), None));
        // Enrolled again after the revocation; certificates are backdated slightly.
        assert!(!revoked(Some(None), Some(20)));
        // Issued by hand.
        assert!(revoked(None, Some(10)) && revoked(None, Some(20)) && !revoked(None, Some(9)));
    }

    #[test]
    fn a_renewal_is_for_who_is_known_good_and_not_too_early() {
        let issued = Issued { issued_at: at(0), not_after: at(90), revoked_at: None };
        let said = |known, now| check_renewal(known, at(now)).map_err(|error| error.to_string());
        assert_eq!(said(Some(issued), 30), Ok(()));
        assert_eq!(said(Some(issued), 89), Ok(()));
        assert!(said(Some(issued), 29).unwrap_err().contains("too new"));
        assert!(said(Some(issued), 90).unwrap_err().contains("enrol the desktop again"));
        assert!(said(None, 50).unwrap_err().contains("by hand"));
        let revoked = Issued { revoked_at: Some(at(1)), ..issued };
        assert_eq!(said(Some(revoked), 50), Err(REVOKED.to_owned()));
    }

    #[test]
    fn a_token_is_good_for_a_bounded_time() {
        assert_eq!(token_expiry(1, at(0)).unwrap(), at(3_600));
        for wrong in [i64::MIN, 0, MAX_ENROLMENT_TOKEN_HOURS + 1, i64::MAX] {
            assert!(token_expiry(wrong, at(0)).is_err(), "{wrong}");
        }
    }
}
