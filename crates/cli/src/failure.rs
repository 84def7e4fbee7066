//! What went wrong, in words: what failed, why, and what to try next.

use std::{fmt, time::Duration};

use domain::ErrorKind;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{Ended, harmless::harmless_line, hints};

/// What our own side says when it has waited as long as it waits.
const TOO_LATE: &str = "Timeout expired";

/// What helps where nobody answers.
const IS_IT_THERE: &str = "graywave config show: is this the address of a scheduler, and is one running?";

/// A command that did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub struct Failure {
    /// How the command ends.
    pub ended: Ended,
    what: String,
    next: Vec<String>,
}

impl fmt::Display for Failure {
    /// A line of what failed and why, and a line for each thing to try.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.next.iter().try_for_each(|next| write!(f, "\n  try: {next}"))
    }
}

impl Failure {
    fn new(ended: Ended, what: impl Into<String>) -> Self {
        Self { ended, what: what.into(), next: Vec::new() }
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

    /// A call that failed. `doing` is what was to be done, like "cannot pause task X".
    pub(crate) fn of(doing: &str, status: &Status) -> Self {
        if is_of_another(status) {
            return Self::unreachable(format!("{doing}: what answers there is no gRPC service")).try_next(
                "graywave config show: the admin service of a scheduler listens on 9090, not where REST does",
            );
        }
        if status.code() == Code::Cancelled && status.message() == TOO_LATE {
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
        let details = status.get_error_details();
        let why = match status.message() {
            "" => status.code().to_string(),
            message => harmless_line(message),
        };
        let failure = Self::new(ended(status.code()), format!("{doing}: {why}"));
        let fields = details.bad_request().map_or(&[][..], |it| &it.field_violations);
        let hints = fields.iter().filter_map(|violation| hints::hint(&violation.field));
        let failure = hints.fold(failure, Failure::try_next);
        let wait = details.retry_info().and_then(|it| it.retry_delay);
        let next = next(status, details.error_info().map(|it| it.reason.as_str()), wait);
        next.into_iter().fold(failure, Self::try_next)
    }
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

/// What helps, whatever was to be done.
fn next(status: &Status, reason: Option<&str>, wait: Option<Duration>) -> Vec<String> {
    let next: &[&str] = match status.code() {
        Code::Unauthenticated => &[
            "graywave login: the token is not known here, has expired or was revoked",
            "graywave config show",
        ],
        // Who asked for a task may not approve it, and the like: no policy helps.
        Code::PermissionDenied if !status.message().contains("no policy allows") => &[],
        Code::PermissionDenied => &[
            "an administrator of the project binds a policy that allows it: graywave principals put NAME --policy POLICY",
        ],
        Code::DeadlineExceeded if reason.is_none() => &[IS_IT_THERE],
        Code::Unimplemented => {
            &["the control plane is older than this command: upgrade it, or use its own graywave"]
        }
        Code::Internal if reason == Some(ErrorKind::Internal.code()) => {
            &["the scheduler's log has the cause"]
        }
        _ => &[],
    };
    let again = wait.map(|wait| format!("the same again in {}", humantime::format_duration(wait)));
    again.into_iter().chain(next.iter().map(|&it| it.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_field_that_breaks_a_rule_is_told_as_the_flag_that_sets_it() {
        let details = ErrorDetails::with_bad_request_violation("task.gray_fail_threshold", "too large");
        let status =
            Status::with_error_details(Code::InvalidArgument, "gray_fail_threshold 5 is too large", details);
        let failure = Failure::of("cannot run it", &status);
        assert_eq!(
            (failure.to_string().as_str(), failure.ended),
            (
                "cannot run it: gray_fail_threshold 5 is too large\n  try: another --fail-threshold",
                Ended::Refused
            )
        );
    }

    #[test]
    fn who_is_asked_to_wait_is_told_how_long() {
        let mut details = ErrorDetails::with_error_info("WKS.00050902", "graywave", HashMap::new());
        details.set_retry_info(Some(Duration::from_secs(5)));
        let status = Status::with_error_details(Code::Unavailable, "the database does not answer", details);
        let failure = Failure::of("cannot list tasks", &status);
        assert_eq!(
            (failure.to_string().as_str(), failure.ended),
            (
                "cannot list tasks: the database does not answer\n  try: the same again in 5s",
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
