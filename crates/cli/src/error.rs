//! Failures of a command: what failed, why, and what to try next.
//!
//! The exit code and the hints derive from code, reason and field of the answer, never from its
//! message.

use std::fmt;

use domain::{ErrorKind, Reason};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::{
    ExitStatus,
    field_flags::{self, Named, Overrides},
    sanitize::sanitize_line,
    wrong_server::WrongServer,
};

/// Hint for an address that does not answer.
const IS_IT_THERE: &str = "graywave config show: check the address, and that a scheduler runs there";

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// Exit status of the command.
    pub exit_status: ExitStatus,
    what: String,
    next: Vec<String>,
    /// Reason of the refusal; `None` if the control plane did not answer, or if this version does
    /// not know the reason.
    reason: Option<Reason>,
}

impl fmt::Display for Error {
    /// Writes a line with the failure and its cause, a line per hint, and a line with the place in
    /// the documentation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.next.iter().try_for_each(|next| write!(f, "\n  try: {next}"))?;
        self.reason.map_or(Ok(()), |reason| write!(f, "\n  see: {}", reason.anchor()))
    }
}

impl Error {
    fn new(exit_status: ExitStatus, what: impl Into<String>) -> Self {
        Self { exit_status, what: what.into(), next: Vec::new(), reason: None }
    }

    /// Builds an error for an invalid command line, or for an invalid file that it names.
    pub(crate) fn misused(what: impl Into<String>) -> Self {
        Self::new(ExitStatus::Misused, what)
    }

    /// Builds an error for a question that the user declined.
    pub(crate) fn declined(what: impl Into<String>) -> Self {
        Self::new(ExitStatus::Failed, what)
    }

    /// Builds an error for a request that the control plane refused.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::new(ExitStatus::Refused, what)
    }

    /// Builds an error for a failure on this machine, such as an I/O error.
    pub(crate) fn local(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(ExitStatus::Failed, format!("{what}: {error}"))
    }

    /// Builds an error for a control plane that does not answer.
    pub(crate) fn unreachable(what: impl Into<String>) -> Self {
        Self::new(ExitStatus::Unreachable, what)
    }

    /// Builds an error that prints nothing, for output that its reader closed.
    pub(crate) fn silent() -> Self {
        Self::new(ExitStatus::Success, "")
    }

    /// Reports whether the error prints nothing.
    pub fn is_silent(&self) -> bool {
        self.what.is_empty()
    }

    /// Builds the error of a command that called a wrong server. `doing` names the attempt.
    pub(crate) fn wrong_server(doing: &str, wrong: &WrongServer) -> Self {
        wrong.hints.iter().fold(Self::unreachable(format!("{doing}: {wrong}")), Self::try_next)
    }

    /// Adds a hint. Hints are printed in this order, the most likely fix first.
    #[must_use]
    pub(crate) fn try_next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// Removes the hints, for a command that has better ones.
    #[must_use]
    pub(crate) fn without_hints(mut self) -> Self {
        self.next.clear();
        self
    }

    /// Returns the reason of the refusal; `None` without a refusal, or if this version does not
    /// know the reason.
    pub(crate) const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Builds the error of a failed call. `doing` names the attempt, like "cannot pause task X".
    pub(crate) fn of(doing: &str, status: &Status) -> Self {
        Self::with_flags(doing, status, &[])
    }

    /// Builds the error of a failed call, for a command whose flags set other fields than the table
    /// says.
    pub(crate) fn with_flags(doing: &str, status: &Status, overrides: &Overrides) -> Self {
        if let Some(wrong) = WrongServer::find(status) {
            return Self::wrong_server(doing, wrong);
        }
        if is_of_another(status) {
            return Self::unreachable(format!("{doing}: the server at this address is not a gRPC service"))
                .try_next(
                    "graywave config show: use the scheduler's admin gRPC port (9090), not the REST port",
                );
        }
        if has_timed_out(status) {
            return Self::unreachable(format!("{doing}: timed out after 15s"))
                .try_next("the same command again")
                .try_next(IS_IT_THERE);
        }
        if is_of_the_way(status) {
            let cause = deepest(status);
            return Self::unreachable(format!("{doing}: the connection ended: {cause}"))
                .try_next(IS_IT_THERE)
                .try_next("the scheduler's log, if you use a certificate: search for a refused certificate");
        }
        Self::refusal(doing, status, overrides)
    }

    /// Builds the error of a refusal: names the refused fields as flags, and adds the hints.
    fn refusal(doing: &str, status: &Status, overrides: &Overrides) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().and_then(|info| Reason::parse(&info.reason));
        let violations = details.bad_request().map_or(&[][..], |it| &it.field_violations);
        let fields: Vec<(Named, String)> = violations
            .iter()
            .map(|it| (field_flags::named(&it.field, overrides), sanitize_line(&it.description)))
            .collect();
        let why = match (fields.as_slice(), status.message()) {
            ([], "") => status.code().to_string(),
            ([], message) => sanitize_line(message),
            (fields, _) => {
                let each = fields.iter().map(|(field, why)| format!("{}: {why}", sanitize_line(&field.name)));
                each.collect::<Vec<_>>().join("; ")
            }
        };
        let wait = details.retry_info().and_then(|it| it.retry_delay);
        let again =
            wait.map(|wait| format!("the same command again in {}", humantime::format_duration(wait)));
        // An example value helps against an invalid value, but not against a missing object.
        let breaks_rule = reason.is_none_or(|reason| reason.kind() == ErrorKind::Invalid);
        let of_fields =
            fields.iter().filter(|_| breaks_rule).filter_map(|(field, _)| field.hint.map(str::to_owned));
        let of_reason = reason.map_or(&[][..], hints).iter().map(|&hint| hint.to_owned());
        let failure = Self {
            reason,
            ..Self::new(ExitStatus::of_refusal(status.code(), reason), format!("{doing}: {why}"))
        };
        of_fields.chain(again).chain(of_reason).fold(failure, Self::try_next)
    }
}

/// Reports whether the timeout of this client expired.
fn has_timed_out(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Reports whether the status comes from the transport. Every answer of a control plane has a
/// request id.
fn is_of_the_way(status: &Status) -> bool {
    let may_be =
        matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal | Code::Unavailable);
    may_be && status.metadata().get("x-request-id").is_none() && status.details().is_empty()
}

/// Reports whether the server at the address is not a gRPC service.
fn is_of_another(status: &Status) -> bool {
    let content_type = status.metadata().get("content-type").and_then(|value| value.to_str().ok());
    content_type.is_some_and(|kind| !kind.starts_with("application/grpc"))
}

/// Returns the innermost cause: "connection refused" rather than "transport error".
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    // A status without a source has its own message.
    cause.downcast_ref::<Status>().map_or_else(|| cause.to_string(), |status| status.message().to_owned())
}

/// Reports whether a later retry of the call may succeed.
pub(crate) fn helps_later(status: &Status) -> bool {
    // An expired deadline leaves the result unknown. Only idempotent calls are retried.
    let is_passing = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
    (is_passing || is_of_the_way(status)) && WrongServer::find(status).is_none()
}

/// Returns the hints for a reason, independent of the command.
const fn hints(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::NoPolicyAllows => &[
            "graywave principals put NAME --policy POLICY: an administrator binds a policy that allows the action",
        ],
        Reason::PathNotFound => {
            &["upgrade the control plane, or use the graywave of its version: it does not know this call"]
        }
        Reason::TaskNotFound => &["graywave ls"],
        Reason::DesktopNotFound => &["graywave desktops"],
        Reason::ScriptNotFound => &["graywave scripts"],
        Reason::WorkerNotFound => &["graywave workers: a worker has a new id after each start"],
        Reason::SelectionEmpty => &["graywave desktops -o wide: lists pools and tags"],
        Reason::Internal => &["the scheduler's log: search for the request id"],
        other => match other.kind() {
            ErrorKind::Unauthenticated => {
                &["graywave login: the token is unknown, expired or revoked", "graywave config show"]
            }
            _ => &[],
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_field_that_breaks_a_rule_is_told_as_the_flag_that_sets_it() {
        let status = refused(Reason::FieldOutOfRange, Some("task.gray_fail_threshold"));
        let failure = Error::of("cannot run it", &status);
        assert_eq!(
            (failure.to_string().as_str(), failure.exit_status),
            (
                "cannot run it: --fail-threshold: x\n  see: docs/errors.md#FIELD_OUT_OF_RANGE",
                ExitStatus::Misused
            )
        );
    }

    /// Builds the status that the admin service sends, with `x` as every message.
    fn refused(reason: Reason, field: Option<&str>) -> Status {
        let mut details = ErrorDetails::with_error_info(reason.as_str(), "graywave", HashMap::new());
        if let Some(field) = field {
            details.add_bad_request_violation(field, "x");
        }
        Status::with_error_details(proto::code(reason), "x", details)
    }

    #[test]
    fn every_reason_has_its_hints_without_its_message() {
        for &reason in Reason::ALL {
            let failure = Error::of("cannot do it", &refused(reason, None));
            assert_eq!(failure.reason(), Some(reason));
            let text = failure.to_string();
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("cannot do it: x"));
            assert_eq!(lines.next_back(), Some(format!("  see: {}", reason.anchor()).as_str()));
            let tries: Vec<_> = lines.map(|line| line.strip_prefix("  try: ").unwrap()).collect();
            assert_eq!(tries, hints(reason), "{reason:?}");
            let named = Error::of("cannot do it", &refused(reason, Some("task.rollout.soak_seconds")));
            let text = named.to_string();
            assert!(text.starts_with("cannot do it: --soak: x\n"), "{text}");
            assert_eq!(text.contains("  try: --soak 10m\n"), reason.kind() == ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn policy_is_suggested_only_where_one_is_missing() {
        let suggests = |reason: Reason| hints(reason).iter().any(|hint| hint.contains("principals put"));
        let suggesting: Vec<_> = Reason::ALL.iter().copied().filter(|&reason| suggests(reason)).collect();
        assert_eq!(suggesting, [Reason::NoPolicyAllows]);
    }

    #[test]
    fn who_is_asked_to_wait_is_told_how_long() {
        let mut details = ErrorDetails::with_error_info("DATABASE_UNAVAILABLE", "graywave", HashMap::new());
        details.set_retry_info(Some(Duration::from_secs(5)));
        let status = Status::with_error_details(Code::Unavailable, "the database does not answer", details);
        let failure = Error::of("cannot list tasks", &status);
        assert_eq!(
            (failure.to_string().as_str(), failure.exit_status),
            (
                "cannot list tasks: the database does not answer\n  try: the same command again in 5s\n  see: \
                 docs/errors.md#DATABASE_UNAVAILABLE",
                ExitStatus::Unreachable
            )
        );
    }

    #[test]
    fn a_status_without_words_has_those_of_its_code() {
        let failure = Error::of("cannot list tasks", &Status::new(Code::DataLoss, ""));
        assert_eq!(
            (failure.to_string().as_str(), failure.exit_status),
            ("cannot list tasks: Unrecoverable data loss or corruption", ExitStatus::Failed)
        );
    }

    #[test]
    fn a_connection_that_ended_is_no_answer() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for status in [Status::from_error(Box::new(reset)), Status::cancelled("operation was canceled")] {
            let failure = Error::of("cannot list tasks", &status);
            let text = failure.to_string();
            assert_eq!(failure.exit_status, ExitStatus::Unreachable, "{text}");
            assert!(text.starts_with("cannot list tasks: the connection ended: "), "{text}");
            assert!(text.contains("connection reset") || text.contains("operation was canceled"), "{text}");
        }
        let mut answered = Status::internal("the operation failed inside");
        answered.metadata_mut().insert("x-request-id", "1".parse().unwrap());
        assert_eq!(Error::of("cannot list tasks", &answered).exit_status, ExitStatus::Failed);
        assert!(helps_later(&Status::cancelled("operation was canceled")) && !helps_later(&answered));
    }
}
