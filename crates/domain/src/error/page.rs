//! Generates docs/errors.md from the reasons.

use super::{ErrorKind, Reason};

/// Returns the heading of a kind, with the HTTP status and the gRPC code of the adapters.
const fn heading(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "Invalid requests (HTTP 400, gRPC INVALID_ARGUMENT)",
        ErrorKind::Unauthenticated => "Missing or unknown credentials (HTTP 401, gRPC UNAUTHENTICATED)",
        ErrorKind::Forbidden => "Missing rights (HTTP 403, gRPC PERMISSION_DENIED)",
        ErrorKind::NotFound => "Missing objects (HTTP 404, gRPC NOT_FOUND)",
        ErrorKind::Conflict => "Conflicts with the current state (HTTP 409, gRPC FAILED_PRECONDITION)",
        ErrorKind::KeyReused => "Reused idempotency keys (HTTP 409, gRPC ALREADY_EXISTS)",
        ErrorKind::TooMany => "Exceeded limits (HTTP 429, gRPC RESOURCE_EXHAUSTED)",
        ErrorKind::Unavailable => "Temporary failures (HTTP 503, gRPC UNAVAILABLE)",
        ErrorKind::Internal => "Defects (HTTP 500, gRPC INTERNAL)",
    }
}

const INTRODUCTION: &str = "\
# Errors

<!-- Generated from `domain::error::Reason`. `cargo run --bin graywave errors > docs/errors.md` writes it. -->

Every failure has a kind, a reason and a message, and it names the field where it is about one.

| where | kind | reason | field | message |
|---|---|---|---|---|
| REST | status and `error_code` | end of `error_msg`: the link to this page | start of `error_msg`: the JSON path, parameter or header | `error_msg` |
| gRPC | code | `ErrorInfo.reason`; `ErrorInfo.metadata` has the `error_code` | `BadRequest.field_violations` | status message |
| command line | exit code | `see:` line: the link to this page | start of the message: the flag | first line |

Branch on code, reason and field. The message is for people and may change.
METHOD_NOT_ALLOWED has HTTP status 405 and REQUEST_TOO_LARGE has 413.
PATH_NOT_FOUND has the gRPC code UNIMPLEMENTED and DEADLINE_EXCEEDED has the code of its name.
REST serves this page without authentication under `/docs/errors.md`; `graywave errors` prints it.
";

/// Generates the text of docs/errors.md: every reason with its meaning and fix.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for kind in ErrorKind::ALL {
        page.push_str(&format!("\n## {}\n", heading(kind)));
        for reason in Reason::ALL.iter().filter(|reason| reason.kind() == kind) {
            let (name, code) = (reason.as_str(), reason.code());
            let (meaning, fix) = (reason.meaning(), reason.fix());
            page.push_str(&format!("\n### {name}\n\n{meaning} `error_code` {code}.\n\nFix: {fix}\n"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_errors_md_is_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "run: cargo run --bin graywave errors > docs/errors.md");
    }
}
