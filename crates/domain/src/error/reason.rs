//! Reasons: the stable identifiers that programs branch on.

use super::ErrorKind;

/// Defines [`Reason`] from one table, so that the wire name, the kind and the documentation of a
/// reason never disagree.
macro_rules! reasons {
    ($($wire:ident = $name:ident, $kind:ident, $meaning:literal, $fix:literal;)*) => {
        /// Cause of a failed call. Clients branch on it; the message is for people and may change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name on the wire, in `SCREAMING_SNAKE_CASE`. It never changes.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($wire),)* }
            }

            /// Returns the class of the failure.
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)* }
            }

            /// Returns the meaning, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// Returns the caller's fix, in one sentence.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }
        }
    };
}

reasons! {
    FIELD_REQUIRED = FieldRequired, Invalid,
        "A required field is missing or empty.",
        "Set the field that the message names.";
    FIELD_INVALID = FieldInvalid, Invalid,
        "A field has a value that its rule does not allow.",
        "Correct the field as the message says.";
    FIELD_OUT_OF_RANGE = FieldOutOfRange, Invalid,
        "A number, a length or a number of entries is outside its limits.",
        "Choose a value within the limits that the message names.";
    FIELD_UNSUPPORTED = FieldUnsupported, Invalid,
        "A field is set that this call does not support.",
        "Leave the field out.";
    FIELDS_EXCLUSIVE = FieldsExclusive, Invalid,
        "Fields are set that exclude each other.",
        "Keep one of the fields and omit the rest.";
    PAGE_TOKEN_INVALID = PageTokenInvalid, Invalid,
        "A page token, a cursor or an event id does not come from this list.",
        "Start again without it, then pass on the value of the previous answer unchanged.";
    REQUEST_UNREADABLE = RequestUnreadable, Invalid,
        "The request is not valid JSON, UTF-8 or protobuf.",
        "Correct the encoding of the request.";
    REQUEST_TOO_LARGE = RequestTooLarge, Invalid,
        "The request is larger than its limit.",
        "Send a smaller request; choose desktops by pool or tag instead of by id.";
    REQUEST_TOO_SLOW = RequestTooSlow, Invalid,
        "The body of the request does not arrive in time.",
        "Send the complete body without a pause.";
    METHOD_NOT_ALLOWED = MethodNotAllowed, Invalid,
        "The path exists, but not for this HTTP method.",
        "Use a method that `/openapi.json` lists for the path.";

    REASON_REQUIRED = ReasonRequired, Invalid,
        "The guardrail `require_reason` of the project requires a reason for every execution.",
        "Send a reason: header `X-Graywave-Reason`, field `reason` or `--reason TEXT`.";
    CANARY_REQUIRED = CanaryRequired, Invalid,
        "The first wave has more desktops than the guardrail `require_canary_above` of the project allows.",
        "Begin with a gray wave of at most as many desktops as the message says.";
    THRESHOLD_REQUIRED = ThresholdRequired, Invalid,
        "A wave has no failure threshold, and the guardrail `require_threshold` of the project requires one.",
        "Set a threshold that can be reached, for the wave or for the whole task.";
    WAVE_TOO_LARGE = WaveTooLarge, Invalid,
        "A wave has more of the task's desktops than the guardrail `max_wave_percent` of the project allows.",
        "Define more and smaller waves in `rollout.waves`.";
    APPROVAL_REQUIRED = ApprovalRequired, Invalid,
        "More desktops start without an approval than the guardrail `require_approval_above` of the project allows.",
        "Add the wave that the message names to `rollout.approval.before_waves`.";

    CREDENTIAL_REQUIRED = CredentialRequired, Unauthenticated,
        "The request carries no credential, or one in the wrong form.",
        "Send a token, a signature or a client certificate as the message says.";
    CREDENTIAL_UNKNOWN = CredentialUnknown, Unauthenticated,
        "The credential is unknown, expired or revoked.",
        "Log in again, or let an administrator of the project issue a new credential.";
    SESSION_EXPIRED = SessionExpired, Unauthenticated,
        "The console session has ended: signed out, unused for too long, too old, or its token is revoked.",
        "Sign in again.";
    SIGNATURE_INVALID = SignatureInvalid, Unauthenticated,
        "The signature does not match the request.",
        "Check the secret key, and sign the request exactly as it is sent.";
    SIGNATURE_OUTDATED = SignatureOutdated, Unauthenticated,
        "The signing time is too far from the server's clock.",
        "Synchronise the client's clock and sign the request again.";
    SIGNATURE_REPLAYED = SignatureReplayed, Unauthenticated,
        "The same signed request was sent before.",
        "Sign the request again, at least one second later.";
    ENROLMENT_TOKEN_INVALID = EnrolmentTokenInvalid, Unauthenticated,
        "The enrolment token is unknown, expired, revoked or used up.",
        "Create a new token with `graywave enrolment-tokens create`.";
    CERTIFICATE_EXPIRED = CertificateExpired, Unauthenticated,
        "The desktop's certificate has expired.",
        "Enrol the desktop again with a new enrolment token.";

    CSRF_TOKEN_INVALID = CsrfTokenInvalid, Forbidden,
        "A change with the cookie of a console session lacks the session's CSRF token, or has another one.",
        "Send the `csrf_token` of `GET /console/session` in the header `X-CSRF-Token`.";
    CROSS_SITE_REQUEST = CrossSiteRequest, Forbidden,
        "A page of another site sent the request with the cookie of a console session.",
        "Open the console at its own address; programs use a token.";
    NO_POLICY_ALLOWS = NoPolicyAllows, Forbidden,
        "None of the caller's policies allows the action on the resource.",
        "Let an administrator of the project bind a policy that allows it: `graywave principals put NAME --policy POLICY`.";
    POLICY_DENIES = PolicyDenies, Forbidden,
        "One of the caller's policies denies the action on the resource.",
        "Let an administrator of the project change the policy that denies it.";
    FULL_ACCESS_REQUIRED = FullAccessRequired, Forbidden,
        "The action gives rights to others, so the caller needs every right without exception.",
        "Call as a principal whose only policies allow everything on everything.";
    SELF_APPROVAL = SelfApproval, Forbidden,
        "The caller created the task, and the task requires another approver.",
        "Let another principal approve the wave.";
    OTHER_PROJECT = OtherProject, Forbidden,
        "The credential belongs to another project.",
        "Use a credential of the project, or the project of the credential.";
    ADMIN_CERTIFICATE_REQUIRED = AdminCertificateRequired, Forbidden,
        "The call belongs to no project, or the credential cannot make it.",
        "Use a certificate with the role admin for calls about projects, and a token for calls within a project.";
    CALL_NOT_OPEN = CallNotOpen, Forbidden,
        "No access rule exists for this call, so the server refuses the call.",
        "Report it as a defect of the server.";
    PROJECT_REVOKED = ProjectRevoked, Forbidden,
        "The project is revoked.",
        "Restore the project with `graywave projects unrevoke`.";
    ENROLMENT_REFUSED = EnrolmentRefused, Forbidden,
        "The enrolment token is not valid for this desktop.",
        "Use a token for this desktop that is newer than its last revocation; unretire a retired desktop first.";
    CERTIFICATE_REVOKED = CertificateRevoked, Forbidden,
        "The desktop's certificate is revoked.",
        "Enrol the desktop again with a new enrolment token.";

    PATH_NOT_FOUND = PathNotFound, NotFound,
        "The server has no such path or method.",
        "Check the address against `/openapi.json` or gRPC reflection; a newer client may need a newer server.";
    PROJECT_NOT_FOUND = ProjectNotFound, NotFound,
        "The project does not exist, or is not in the required state.",
        "List the projects with `graywave projects ls`.";
    TASK_NOT_FOUND = TaskNotFound, NotFound,
        "The project has no such task.",
        "List the tasks with `graywave ls`.";
    WAVE_NOT_FOUND = WaveNotFound, NotFound,
        "The task has no such wave.",
        "Show the waves of the task with `graywave watch TASK`.";
    RECORD_NOT_FOUND = RecordNotFound, NotFound,
        "The project has no such record.",
        "List the records of the task with `graywave records TASK`.";
    FAILURE_GROUP_NOT_FOUND = FailureGroupNotFound, NotFound,
        "The task has no such failure group.",
        "List the groups with `graywave failures TASK`.";
    SCRIPT_NOT_FOUND = ScriptNotFound, NotFound,
        "The project has no such script, or the script has no such revision.",
        "List the scripts with `graywave scripts ls`.";
    DESKTOP_NOT_FOUND = DesktopNotFound, NotFound,
        "The project or the task has no such desktop.",
        "List the desktops with `graywave desktops ls`.";
    SELECTION_EMPTY = SelectionEmpty, NotFound,
        "No desktop belongs to the pool or has the tag.",
        "Choose another pool or tag; `graywave desktops ls` shows both.";
    WORKER_NOT_FOUND = WorkerNotFound, NotFound,
        "The worker does not exist, or has stopped.",
        "List the workers with `graywave workers ls`.";
    POLICY_NOT_FOUND = PolicyNotFound, NotFound,
        "The project has no such policy.",
        "List the policies with `graywave policies ls`.";
    PRINCIPAL_NOT_FOUND = PrincipalNotFound, NotFound,
        "The project has no such principal.",
        "Create the principal with `graywave principals put`.";
    CREDENTIAL_NOT_FOUND = CredentialNotFound, NotFound,
        "The token or key to revoke does not exist, or is already revoked.",
        "List the credentials of the project and name one of them.";

    TASK_ENDED = TaskEnded, Conflict,
        "The task has ended or is stopping, so the change has no effect any more.",
        "Retry the task, or start a new one.";
    TASK_NOT_ENDED = TaskNotEnded, Conflict,
        "The task or the record has not ended.",
        "Wait for the end or stop the task, then repeat the call.";
    NOTHING_TO_RETRY = NothingToRetry, Conflict,
        "Every target succeeded or was already retried.",
        "Start a new task if the work is to run again.";
    ALREADY_RETRIED = AlreadyRetried, Conflict,
        "Another task has already retried this task or record.",
        "Retry the newer task that the message names.";
    WAVE_NOT_AWAITING_APPROVAL = WaveNotAwaitingApproval, Conflict,
        "The wave needs no approval, or is not the next one to open.",
        "Approve the wave after the wave before it has closed.";
    APPROVAL_OUTDATED = ApprovalOutdated, Conflict,
        "The plan, the scripts or the reason of the wait differ from what the approver named.",
        "Review the task again, and approve with its current hashes and the `hold` of the wave.";
    DESKTOP_RETIRED = DesktopRetired, Conflict,
        "A named desktop is retired and runs nothing.",
        "Leave the desktop out, or return it to service with `graywave desktops unretire`.";
    CONCURRENT_CHANGE = ConcurrentChange, Conflict,
        "Another caller has changed the object at the same time.",
        "Read the object again and repeat the change.";
    ALREADY_EXISTS = AlreadyExists, Conflict,
        "An object with this id already exists.",
        "Use the existing object, or choose another id.";
    POLICY_READY_MADE = PolicyReadyMade, Conflict,
        "Policies that come with Graywave can be neither replaced nor deleted.",
        "Choose another name for the policy.";
    POLICY_IN_USE = PolicyInUse, Conflict,
        "A principal has the policy.",
        "Assign other policies to the principal first.";
    MASTER_KEY_MISSING = MasterKeyMissing, Conflict,
        "The server has no master key to encrypt secret keys with.",
        "Set `access.master_keys` or `access.master_key_file` in the server's configuration.";
    ENROLMENT_DISABLED = EnrolmentDisabled, Conflict,
        "The cluster has no issuer of desktop certificates.",
        "Configure an issuer, or issue the certificate with `graywave ca issue`.";
    DESKTOP_ENROLLED = DesktopEnrolled, Conflict,
        "The desktop already has a valid certificate.",
        "Revoke the desktop if the certificate is lost; give another machine another id.";
    CERTIFICATE_NOT_RENEWABLE = CertificateNotRenewable, Conflict,
        "The certificate is too new to be renewed, or was issued by hand.",
        "Wait until the time that the message names, or issue the next certificate by hand.";
    DENY_LIST_FULL = DenyListFull, Conflict,
        "The deny-list of certificates is full.",
        "Allow certificates that need not be denied, or rotate the CA with `graywave ca rotate`.";

    IDEMPOTENCY_KEY_REUSED = IdempotencyKeyReused, KeyReused,
        "The idempotency key was used for another request within 24 hours.",
        "Choose a new key for a new request.";

    RATE_LIMITED = RateLimited, TooMany,
        "The caller sends requests faster than its rate allows.",
        "Wait as long as `Retry-After` or `RetryInfo` says.";
    SHARE_EXCEEDED = ShareExceeded, TooMany,
        "The caller's requests in progress use up its share of the server.",
        "Wait until some of the requests have ended.";
    PROJECT_SHARE_EXCEEDED = ProjectShareExceeded, TooMany,
        "The project's lists or streams in progress use up its share of the server.",
        "Wait until some of them have ended, narrow the lists, or close streams.";
    LIST_TOO_LONG = ListTooLong, Invalid,
        "The list reads more rows than the time limit for lists allows.",
        "Narrow the list: name a task, some desktops or a shorter period.";
    OUTPUT_WATCH_LIMIT = OutputWatchLimit, TooMany,
        "The caller, or its project, reads the output of too many running scripts.",
        "Read fewer at the same time, or read the output after the end of the scripts.";
    OPEN_TASK_LIMIT = OpenTaskLimit, TooMany,
        "The project has reached its limit of unended tasks.",
        "Wait until a task has ended, or stop one.";

    OVERLOADED = Overloaded, Unavailable,
        "The server has reached its limit of concurrent requests or streams.",
        "Repeat the request as `Retry-After` or `RetryInfo` says.";
    DATABASE_UNAVAILABLE = DatabaseUnavailable, Unavailable,
        "The database does not answer.",
        "Repeat the request later; an operator checks Postgres.";
    DEADLINE_EXCEEDED = DeadlineExceeded, Unavailable,
        "The call exceeded its time limit, and its effect is unknown.",
        "Check whether the change was made before repeating it, or repeat it with the same idempotency key.";
    ISSUER_UNAVAILABLE = IssuerUnavailable, Unavailable,
        "The issuer of desktop certificates cannot sign.",
        "Search the scheduler's log for the cause.";

    INTERNAL = Internal, Internal,
        "The server has a defect or holds damaged data.",
        "Search the server's log for the request id.";
}

impl Reason {
    /// Parses the name on the wire; `None` for a reason that only another version knows.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }

    /// Reports whether a guardrail of the project refuses a request that other projects accept.
    pub const fn is_guardrail(self) -> bool {
        matches!(
            self,
            Self::ReasonRequired
                | Self::CanaryRequired
                | Self::ThresholdRequired
                | Self::WaveTooLarge
                | Self::ApprovalRequired
        )
    }

    /// Returns the `error_code` of the published API: `WKS.` and eight digits.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "WKS.00000405",
            _ => self.kind().code(),
        }
    }

    /// Returns the location of the documentation: a path in the repository, which the REST server
    /// also serves.
    pub fn anchor(self) -> String {
        format!("docs/errors.md#{}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_is_read_back_by_its_name() {
        for &reason in Reason::ALL {
            let name = reason.as_str();
            assert_eq!(Reason::parse(name), Some(reason));
            assert!(name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{name}");
        }
        assert_eq!(Reason::parse("NO_SUCH_REASON"), None);
    }

    #[test]
    fn every_reason_is_explained_in_sentences() {
        for &reason in Reason::ALL {
            for text in [reason.meaning(), reason.fix()] {
                assert!(text.ends_with('.') && text.split_whitespace().count() <= 25, "{text}");
            }
        }
    }

    #[test]
    fn every_kind_has_a_code_in_the_published_form() {
        let codes: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        for code in Reason::ALL.iter().map(|reason| reason.code()) {
            assert!(code.len() == 12 && code.starts_with("WKS."), "{code}");
            assert!(code.chars().skip(4).all(|c| c.is_ascii_digit()), "{code}");
        }
    }

    #[test]
    fn every_kind_has_a_reason() {
        let kinds: HashSet<_> = Reason::ALL.iter().map(|reason| reason.kind()).collect();
        assert_eq!(kinds.len(), ErrorKind::ALL.len());
    }
}
