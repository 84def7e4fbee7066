//! Failures of a command: what failed, why, and what to try next.
//!
//! The exit code and the hints derive from code, reason and field of the answer, never from its message.

use std::fmt;

use domain::{ErrorKind, Reason};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::{
    Ended,
    flags::{self, Named, Overrides},
    harmless::harmless_line,
};

/// What helps where nobody answers.
const IS_IT_THERE: &str = "graywave config show: is this the address of a scheduler, and is one running?";

/// A command that did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub struct Failure {
    /// How the command ends.
    pub ended: Ended,
    what: String,
    next: Vec<String>,
    /// Why the control plane refuses; `None` where it does not answer, or where the reason is from another version.
    reason: Option<Reason>,
}

impl fmt::Display for Failure {
    /// A line of what failed and why, a line for each thing to try, and one with the place in the documentation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.next.iter().try_for_each(|next| write!(f, "\n  try: {next}"))?;
        self.reason.map_or(Ok(()), |reason| write!(f, "\n  see: {}", reason.anchor()))
    }
}

impl Failure {
    fn new(ended: Ended, what: impl Into<String>) -> Self {
        Self { ended, what: what.into(), next: Vec::new(), reason: None }
    }

    /// The command line, or a file that it names, makes no sense.
    pub(crate) fn misused(what: impl Into<String>) -> Self {
        Self::new(Ended::Misused, what)
    }

    /// Somebody was asked, and said no.
    pub(crate) fn declined(what: impl Into<String>) -> Self {
        Self::new(Ended::Failed, what)
    }

    /// What was asked for cannot be had, by what the control plane says.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::new(Ended::Refused, what)
    }

    /// Something of this machine failed.
    pub(crate) fn local(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Ended::Failed, format!("{what}: {error}"))
    }

    /// Nobody answers at an address.
    pub(crate) fn unreachable(what: impl Into<String>) -> Self {
        Self::new(Ended::Unreachable, what)
    }

    /// Nothing to say: who reads has seen enough.
    pub(crate) fn silent() -> Self {
        Self::new(Ended::Success, "")
    }

    /// Whether there is something to say.
    pub fn is_silent(&self) -> bool {
        self.what.is_empty()
    }

    /// Another thing to try, the most likely first.
    #[must_use]
    pub(crate) fn try_next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// Why the control plane refused, where it did.
    pub(crate) const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// A call that failed. `doing` is what was to be done, like "cannot pause task X".
    pub(crate) fn of(doing: &str, status: &Status) -> Self {
        Self::with_flags(doing, status, &[])
    }

    /// As [`Self::of`], for a command whose flags stand for other fields than usual.
    pub(crate) fn with_flags(doing: &str, status: &Status, overrides: &Overrides) -> Self {
        if is_of_another(status) {
            return Self::unreachable(format!("{doing}: what answers there is no gRPC service")).try_next(
                "graywave config show: the admin service of a scheduler listens on 9090, not where REST does",
            );
        }
        if has_timed_out(status) {
            return Self::unreachable(format!("{doing}: there was no answer in time"))
                .try_next("the same again")
                .try_next(IS_IT_THERE);
        }
        if is_of_the_way(status) {
            let cause = deepest(status);
            return Self::unreachable(format!("{doing}: the connection ended: {cause}"))
                .try_next(IS_IT_THERE)
                .try_next("with a certificate: the scheduler's log says whether it was refused");
        }
        Self::refusal(doing, status, overrides)
    }

    /// An answer of the control plane.
    fn refusal(doing: &str, status: &Status, overrides: &Overrides) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().and_then(|info| Reason::parse(&info.reason));
        let violations = details.bad_request().map_or(&[][..], |it| &it.field_violations);
        let fields: Vec<(Named, String)> = violations
            .iter()
            .map(|it| (flags::named(&it.field, overrides), harmless_line(&it.description)))
            .collect();
        let why = match (fields.as_slice(), status.message()) {
            ([], "") => status.code().to_string(),
            ([], message) => harmless_line(message),
            (fields, _) => {
                let each = fields.iter().map(|(field, why)| format!("{}: {why}", harmless_line(&field.name)));
                each.collect::<Vec<_>>().join("; ")
            }
        };
        let wait = details.retry_info().and_then(|it| it.retry_delay);
        let again = wait.map(|wait| format!("the same again in {}", humantime::format_duration(wait)));
        // An example of a value helps where the value breaks a rule, not where it names nothing.
        let breaks_rule = reason.is_none_or(|reason| reason.kind() == ErrorKind::Invalid);
        let of_fields =
            fields.iter().filter(|_| breaks_rule).filter_map(|(field, _)| field.hint.map(str::to_owned));
        let of_reason = reason.map_or(&[][..], hints).iter().map(|&hint| hint.to_owned());
        let failure = Self { reason, ..Self::new(ended(status.code()), format!("{doing}: {why}")) };
        of_fields.chain(again).chain(of_reason).fold(failure, Self::try_next)
    }
}

/// Whether this side has waited as long as it waits.
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

/// Whether nobody answered, and the words are those of the connection: all answers of a control plane have a request id.
fn is_of_the_way(status: &Status) -> bool {
    let may_be =
        matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal | Code::Unavailable);
    may_be && status.metadata().get("x-request-id").is_none() && status.details().is_empty()
}

/// Whether something else than a gRPC service answered.
fn is_of_another(status: &Status) -> bool {
    let content_type = status.metadata().get("content-type").and_then(|value| value.to_str().ok());
    content_type.is_some_and(|kind| !kind.starts_with("application/grpc"))
}

/// The cause that helps: "connection refused" rather than "transport error".
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    // Where nothing is behind a status it has words of its own.
    cause.downcast_ref::<Status>().map_or_else(|| cause.to_string(), |status| status.message().to_owned())
}

/// Whether the same call may be good a moment later.
pub(crate) fn helps_later(status: &Status) -> bool {
    // A deadline that is over says nothing of whether it was done; what is repeated is safe to repeat.
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) || is_of_the_way(status)
}

const fn ended(code: Code) -> Ended {
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Ended::Unreachable,
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok | Code::Aborted => Ended::Failed,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Ended::Refused,
    }
}

/// What helps against a reason, whatever was to be done.
const fn hints(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::NoPolicyAllows => &[
            "an administrator of the project binds a policy that allows it: graywave principals put NAME --policy POLICY",
        ],
        Reason::PathNotFound => {
            &["the control plane is older than this command: upgrade it, or use its own graywave"]
        }
        Reason::TaskNotFound => &["graywave ls"],
        Reason::DesktopNotFound => &["graywave desktops"],
        Reason::ScriptNotFound => &["graywave scripts"],
        Reason::WorkerNotFound => &["graywave workers: each start of a worker has an id of its own"],
        Reason::SelectionEmpty => &["graywave desktops: shows pools and tags"],
        Reason::Internal => &["the scheduler's log has the cause"],
        other => match other.kind() {
            ErrorKind::Unauthenticated => &[
                "graywave login: the token is not known here, has expired or was revoked",
                "graywave config show",
            ],
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
        let failure = Failure::of("cannot run it", &status);
        assert_eq!(
            (failure.to_string().as_str(), failure.ended),
            ("cannot run it: --fail-threshold: x\n  see: docs/errors.md#FIELD_OUT_OF_RANGE", Ended::Refused)
        );
    }

    /// The status that the admin service sends, with `x` for every message.
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
            let failure = Failure::of("cannot do it", &refused(reason, None));
            assert_eq!(failure.reason(), Some(reason));
            let text = failure.to_string();
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("cannot do it: x"));
            assert_eq!(lines.next_back(), Some(format!("  see: {}", reason.anchor()).as_str()));
            let tries: Vec<_> = lines.map(|line| line.strip_prefix("  try: ").unwrap()).collect();
            assert_eq!(tries, hints(reason), "{reason:?}");
            let named = Failure::of("cannot do it", &refused(reason, Some("task.rollout.soak_seconds")));
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
        let failure = Failure::of("cannot list tasks", &status);
        assert_eq!(
            (failure.to_string().as_str(), failure.ended),
            (
                "cannot list tasks: the database does not answer\n  try: the same again in 5s\n  see: \
                 docs/errors.md#DATABASE_UNAVAILABLE",
                Ended::Unreachable
            )
        );
    }

    #[test]
    fn a_status_without_words_has_those_of_its_code() {
        let failure = Failure::of("cannot list tasks", &Status::new(Code::DataLoss, ""));
        assert_eq!(
            (failure.to_string().as_str(), failure.ended),
            ("cannot list tasks: Unrecoverable data loss or corruption", Ended::Failed)
        );
    }

    #[test]
    fn a_connection_that_ended_is_no_answer() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for status in [Status::from_error(Box::new(reset)), Status::cancelled("operation was canceled")] {
            let failure = Failure::of("cannot list tasks", &status);
            let told = failure.to_string();
            assert_eq!(failure.ended, Ended::Unreachable, "{told}");
            assert!(told.starts_with("cannot list tasks: the connection ended: "), "{told}");
            assert!(told.contains("connection reset") || told.contains("operation was canceled"), "{told}");
        }
        let mut answered = Status::internal("the operation failed inside");
        answered.metadata_mut().insert("x-request-id", "1".parse().unwrap());
        assert_eq!(Failure::of("cannot list tasks", &answered).ended, Ended::Failed);
        assert!(helps_later(&Status::cancelled("operation was canceled")) && !helps_later(&answered));
    }
}
