//! Every size and count that is bounded, in one place.

use std::time::Duration;

use crate::{Error, Reason};

/// Characters of a project's, desktop's or script's id.
pub const MAX_ID_CHARS: usize = 128;
/// Characters of each text that an agent says of its desktop.
pub const MAX_DESKTOP_TEXT_CHARS: usize = 256;
/// Tags of one desktop.
pub const MAX_TAGS_PER_DESKTOP: usize = 50;
/// Bytes of one presence update's desktops at which it is sent although it could hold more.
pub const SOFT_PRESENCE_BYTES: usize = 4 << 20;
/// Characters of a script's name. The API gives no limit; this one keeps lists readable.
pub const MAX_SCRIPT_NAME_CHARS: usize = 256;
/// Characters of a script's content (CreateScript: 1..100000), and of a command.
pub const MAX_SCRIPT_CONTENT_CHARS: usize = 100_000;
/// Characters of a script's description (CreateScript: 0..256).
pub const MAX_SCRIPT_DESCRIPTION_CHARS: usize = 256;
/// Characters of a script's free-text version (CreateScript: 0..128).
pub const MAX_SCRIPT_VERSION_CHARS: usize = 128;
/// Scripts of one task.
pub const MAX_SCRIPTS_PER_TASK: usize = 20;
/// Desktops of one task.
pub const MAX_TARGETS_PER_TASK: usize = 1_000_000;
/// `execution_timeout` of the API, minutes (0..600; 0 means the default).
pub const MAX_EXECUTION_TIMEOUT_MINUTES: i64 = 600;

/// `gray_count`, ids and threshold of the calls by tag and pool (0..1000 and 1..1000).
pub const MAX_GROUP_GRAY: i64 = 1_000;
/// `execution_timeout` of the calls by tag and pool when it is left out, minutes.
pub const GROUP_TIMEOUT_MINUTES: i64 = 1;
/// Waves of one task.
pub const MAX_WAVES: usize = 100;
/// What a client may name as a wave's number, which the database holds in two bytes.
pub const MAX_WAVE_NUMBER: u16 = 32_767;
/// Exit codes that one task weighs.
pub const MAX_EXIT_CODES: usize = 100;
/// `delivery_timeout_seconds`: thirty days.
pub const MAX_DELIVERY_TIMEOUT_SECONDS: i64 = 30 * 24 * 3_600;
/// `soak_seconds`: thirty days.
pub const MAX_SOAK_SECONDS: u32 = 30 * 24 * 3_600;
/// Characters of the reason of a freeze.
pub const MAX_FREEZE_REASON_CHARS: usize = 500;
/// Groups of failures that one task has; what fits none of them is one more.
pub const MAX_FAILURE_GROUPS: usize = 1_000;
/// Events that an explanation tells.
pub const MAX_EVENTS_EXPLAINED: i64 = 1_000;
/// Targets of one project in flight at once.
pub const MAX_PROJECT_IN_FLIGHT: i64 = 100_000_000;
/// Scripts that one desktop runs at once.
pub const MAX_RUNNING_PER_DESKTOP: i64 = 100;
/// Bytes of a policy's document (the published limit is 6,144 characters without blanks; this one is for all of it).
pub const MAX_POLICY_BYTES: usize = 16 << 10;
/// Policies bound to one principal.
pub const MAX_POLICIES_PER_PRINCIPAL: usize = 20;
/// Hours that an enrolment token is good for: thirty days.
pub const MAX_ENROLMENT_TOKEN_HOURS: i64 = 30 * 24;
/// Hours that an enrolment token is good for where nobody says how many.
pub const DEFAULT_ENROLMENT_TOKEN_HOURS: i64 = 24;
/// Desktops that an enrolment token enrols where nobody says how many.
pub const DEFAULT_ENROLMENT_TOKEN_USES: i64 = 1;
/// Desktops that one enrolment token enrols.
pub const MAX_ENROLMENT_TOKEN_USES: i64 = 100_000;
/// Characters of what somebody shows as an enrolment token.
pub const MAX_ENROLMENT_TOKEN_CHARS: usize = 128;
/// Bytes of a message of somebody who enrols: a token, an id and a request.
pub const MAX_ENROLMENT_BYTES: usize = 8 << 10;
/// Days that a desktop's certificate is good for, where the configuration says more than thirty.
pub const MAX_CERTIFICATE_DAYS: f64 = 3_650.0;
/// Characters of an `Idempotency-Key`.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 128;

/// Targets in one batch: the unit a worker pulls, and the array in one row.
pub const MAX_TARGETS_PER_BATCH: usize = 500;
/// Targets cut in one transaction.
pub const MAX_TARGETS_PER_CUT: u32 = 10_000;
/// Results (or returned targets) in one report.
pub const MAX_RESULTS_PER_REPORT: usize = 500;
/// Bytes of one report's results at which it is sent although it could hold more.
pub const SOFT_REPORT_BYTES: usize = 4 << 20;
/// Bytes of one answer to a pull at which no further batch is leased although the worker has room for it.
pub const SOFT_PULL_BYTES: usize = 8 << 20;
/// Connections that one answer asks a worker to end; the rest follows when these have ended.
pub const MAX_REVOKED_PER_ANSWER: u32 = 5_000;
/// Desktops in one presence update.
pub const MAX_DESKTOPS_PER_PRESENCE_UPDATE: usize = 1_000;
/// Leases in one renewal.
pub const MAX_LEASES_PER_RENEWAL: usize = 1_000;
/// Targets in one message about what is to be stopped; the rest follows when these have ended.
pub const MAX_STOPS_PER_MESSAGE: u32 = 10_000;
/// Targets that one worker may hold at once.
pub const MAX_WORKER_CAPACITY: u32 = 100_000;

/// Bytes of captured output kept from the start of a script's output.
pub const OUTPUT_HEAD_BYTES: usize = 32 * 1024;
/// Bytes of captured output kept from the end.
pub const OUTPUT_TAIL_BYTES: usize = 32 * 1024;
/// Bytes of one stored output: head, tail, and the line that marks the cut. Bytes that are no UTF-8 grow
/// threefold when they are replaced.
pub const MAX_OUTPUT_BYTES: usize = 3 * (OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES) + 256;
/// Bytes of a record's reason.
pub const MAX_REASON_BYTES: usize = 1_024;

/// Bytes of one gRPC message, on every listener and client of ours.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Bytes of one message of an agent: the results of all scripts of one target.
pub const MAX_AGENT_MESSAGE_BYTES: usize =
    MAX_SCRIPTS_PER_TASK * (MAX_OUTPUT_BYTES + MAX_REASON_BYTES + 256) + 4_096;
/// Bytes of the body of an execution request: 1,000,000 ids of a UUID's length fit.
pub const MAX_EXECUTION_BODY_BYTES: usize = 96 << 20;
/// Bytes of any other request body: a script of 100,000 characters, each escaped as `\uXXXX` twice, fits.
pub const MAX_BODY_BYTES: usize = 2 << 20;

/// Unix milliseconds of the last moment that is accepted from a peer: the end of the year 9999. RFC 3339 has no later year,
/// and X.509 writes "no expiry" as 9999-12-31. The first is 0, the year 1970.
pub const MAX_UNIX_MS: i64 = 253_402_300_799_999;

/// Bytes of the body of a request that stops, pauses or freezes something.
pub const MAX_URGENT_BODY_BYTES: usize = 64 << 10;
/// After which a body that is not a million ids must have arrived.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Days that tasks or the audit are kept, where not for ever: a hundred years.
pub const MAX_KEEP_DAYS: u32 = 36_500;

/// Streams of events, or of records, that one process serves at once.
pub const MAX_STREAMS: usize = 1_000;
/// How often a stream of events looks.
pub const STREAM_LOOKS_EVERY: Duration = Duration::from_millis(500);
/// Events that one look takes.
pub const EVENTS_PER_LOOK: i64 = 500;
/// After which a stream ends: whoever comes back is asked anew who it is.
pub const STREAM_LASTS: Duration = Duration::from_mins(10);
/// Records that a stream reads at once, each with what it printed.
pub const RECORDS_PER_LOOK: i64 = 32;

/// Orders that one agent keeps waiting before it refuses more.
pub const MAX_ORDERS_PER_AGENT: usize = 256;

/// Whether a project that has so many tasks which have not ended may start another one.
pub fn check_open_tasks(open: u32, most: u32) -> Result<(), Error> {
    if open < most {
        return Ok(());
    }
    let message = format!(
        "the project has reached its limit of {most} unended tasks: wait until one has ended, or stop one"
    );
    Err(Error::new(Reason::OpenTaskLimit, message))
}

/// The number of a wave that records are asked for of, from 1.
pub fn wave_number(given: u32) -> Result<u16, Error> {
    u16::try_from(given).ok().filter(|wave| (1..=MAX_WAVE_NUMBER).contains(wave)).ok_or_else(|| {
        Error::out_of_range("wave", format!("{given} is out of range: 1 to {MAX_WAVE_NUMBER}"))
    })
}

/// `max_in_flight` of a project.
pub fn project_in_flight(most: i64) -> Result<u32, Error> {
    in_range("max_in_flight", most, MAX_PROJECT_IN_FLIGHT)
}

/// `max_running_per_desktop` of a project.
pub fn running_per_desktop(most: i64) -> Result<u16, Error> {
    in_range("max_running_per_desktop", most, MAX_RUNNING_PER_DESKTOP)
}

/// How many desktops an enrolment token enrols; one that names its desktop enrols one.
pub fn enrolment_uses(uses: i64, names_desktop: bool) -> Result<u32, Error> {
    if names_desktop && uses != 1 {
        return Err(Error::field(
            Reason::FieldsExclusive,
            "uses",
            "a token for one desktop has one use: leave out the uses, or the desktop",
        ));
    }
    u32::try_from(uses).ok().filter(|_| (1..=MAX_ENROLMENT_TOKEN_USES).contains(&uses)).ok_or_else(|| {
        Error::out_of_range("uses", format!("{uses} is out of range: 1 to {MAX_ENROLMENT_TOKEN_USES}"))
    })
}

fn in_range<T: TryFrom<i64>>(name: &'static str, value: i64, most: i64) -> Result<T, Error> {
    T::try_from(value).ok().filter(|_| (1..=most).contains(&value)).ok_or_else(|| {
        Error::out_of_range(
            name,
            format!("{value} is out of range: 1 to {most}; without a value there is no limit"),
        )
    })
}

// The first batch of an answer may exceed the soft limit: its scripts, at four bytes a character, and its ids, each once more
// as it is signed, fit into one message with the connections to be ended.
const _: () = assert!(
    MAX_SCRIPTS_PER_TASK * MAX_SCRIPT_CONTENT_CHARS * 4
        + MAX_TARGETS_PER_BATCH * (2 * (MAX_ID_CHARS * 4 + 32) + MAX_DESKTOP_TEXT_CHARS * 4)
        + MAX_REVOKED_PER_ANSWER as usize * (2 * MAX_ID_CHARS * 4 + 256)
        < MAX_MESSAGE_BYTES
);
// The result that fills a report, and one target of many scripts after it, still fit into a message.
const _: () =
    assert!(SOFT_REPORT_BYTES + MAX_SCRIPTS_PER_TASK * (MAX_OUTPUT_BYTES + 4096) < MAX_MESSAGE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_limits_are_those_that_the_pages_name() {
        assert_eq!((MAX_DELIVERY_TIMEOUT_SECONDS, MAX_SOAK_SECONDS), (2_592_000, 2_592_000));
        assert_eq!((OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES, MAX_OUTPUT_BYTES), (32_768, 32_768, 196_864));
        assert_eq!((SOFT_REPORT_BYTES, MAX_MESSAGE_BYTES), (4_194_304, 16_777_216));
        assert_eq!(
            (MAX_EXECUTION_BODY_BYTES, MAX_BODY_BYTES, MAX_POLICY_BYTES),
            (100_663_296, 2_097_152, 16_384)
        );
    }

    #[test]
    fn a_project_has_no_more_open_tasks_than_it_may() {
        assert!(check_open_tasks(0, 1).is_ok() && check_open_tasks(9, 10).is_ok());
        for open in [10, 11] {
            let error = check_open_tasks(open, 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooMany);
            assert!(error.to_string().contains("10 unended tasks"), "{error}");
        }
    }

    #[test]
    fn the_limits_of_a_project_have_limits() {
        assert_eq!(
            (project_in_flight(1).unwrap(), project_in_flight(100_000_000).unwrap()),
            (1, 100_000_000)
        );
        assert_eq!((running_per_desktop(1).unwrap(), running_per_desktop(100).unwrap()), (1, 100));
        for wrong in [i64::MIN, 0, 100_000_001] {
            assert!(project_in_flight(wrong).unwrap_err().to_string().contains("max_in_flight"), "{wrong}");
        }
        for wrong in [-1, 0, 101, i64::MAX] {
            assert!(running_per_desktop(wrong).unwrap_err().to_string().contains("1 to 100"), "{wrong}");
        }
    }
}
