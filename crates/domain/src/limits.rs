//! Limits of all sizes and counts.

use std::time::Duration;

use crate::{Error, Reason};

/// Maximum number of characters in the id of a project, desktop or script.
pub const MAX_ID_CHARS: usize = 128;
/// Maximum number of characters in each text that an agent reports about its desktop.
pub const MAX_DESKTOP_TEXT_CHARS: usize = 256;
/// Maximum number of tags per desktop and source.
pub const MAX_TAGS_PER_DESKTOP: usize = 50;
/// Bytes of desktops in a presence update at which the worker sends it, even if it is not full.
pub const SOFT_PRESENCE_BYTES: usize = 4 << 20;
/// Maximum number of characters in a script's name. The published API sets no limit; this one keeps
/// lists readable.
pub const MAX_SCRIPT_NAME_CHARS: usize = 256;
/// Maximum number of characters in a script's content (CreateScript: 1..100000), and in a command.
pub const MAX_SCRIPT_CONTENT_CHARS: usize = 100_000;
/// Maximum number of characters in a script's description (CreateScript: 0..256).
pub const MAX_SCRIPT_DESCRIPTION_CHARS: usize = 256;
/// Maximum number of characters in a script's free-text version (CreateScript: 0..128).
pub const MAX_SCRIPT_VERSION_CHARS: usize = 128;
/// Maximum number of scripts per task.
pub const MAX_SCRIPTS_PER_TASK: usize = 20;
/// Maximum number of desktops per task.
pub const MAX_TARGETS_PER_TASK: usize = 1_000_000;
/// Maximum `execution_timeout` of the API, in minutes (0..600; 0 means the default).
pub const MAX_EXECUTION_TIMEOUT_MINUTES: i64 = 600;

/// Maximum `gray_count`, number of gray ids and threshold of the calls by tag and pool (0..1000 and
/// 1..1000).
pub const MAX_GROUP_GRAY: i64 = 1_000;
/// Default `execution_timeout` of the calls by tag and pool, in minutes.
pub const GROUP_TIMEOUT_MINUTES: i64 = 1;
/// Maximum number of waves per task.
pub const MAX_WAVES: usize = 100;
/// Maximum wave number that a client may name; the database stores it in two bytes.
pub const MAX_WAVE_NUMBER: u16 = 32_767;
/// Maximum number of exit codes with a weight per task.
pub const MAX_EXIT_CODES: usize = 100;
/// Maximum `delivery_timeout_seconds`: thirty days.
pub const MAX_DELIVERY_TIMEOUT_SECONDS: i64 = 30 * 24 * 3_600;
/// Maximum `soak_seconds`: thirty days.
pub const MAX_SOAK_SECONDS: u32 = 30 * 24 * 3_600;
/// Maximum time in seconds that a desktop has for its return.
pub const MAX_RETURN_TIMEOUT_SECONDS: i64 = 24 * 3_600;
/// Time in seconds that a desktop has for its return, unless the task sets another one.
pub const DEFAULT_RETURN_TIMEOUT_SECONDS: u32 = 900;
/// Maximum number of characters in a required version of the agent.
pub const MAX_AGENT_VERSION_CHARS: usize = 64;
/// Maximum number of characters in the reason of a change: an execution, a stop, a freeze.
pub const MAX_CHANGE_REASON_CHARS: usize = 500;
/// Maximum number of characters in the ticket of a change: the address of an issue fits.
pub const MAX_TICKET_CHARS: usize = 128;
/// Number of desktops in one wave above which a task without a gray wave is warned of, and the
/// command line asks first.
pub const CONFIRM_ABOVE: u32 = 20;
/// Maximum number of failure groups per task. Further failures share one additional group.
pub const MAX_FAILURE_GROUPS: usize = 1_000;
/// Maximum number of events in an explanation.
pub const MAX_EVENTS_EXPLAINED: i64 = 1_000;
/// Maximum value of a project's limit of targets in flight.
pub const MAX_PROJECT_IN_FLIGHT: i64 = 100_000_000;
/// Maximum value of a project's limit of scripts that one desktop runs at the same time.
pub const MAX_RUNNING_PER_DESKTOP: i64 = 100;
/// Maximum bytes of a policy document. The published limit is 6,144 characters without blanks; this
/// one includes blanks.
pub const MAX_POLICY_BYTES: usize = 16 << 10;
/// Maximum number of policies per principal.
pub const MAX_POLICIES_PER_PRINCIPAL: usize = 20;
/// Default lifetime of a bearer token, in days.
pub const DEFAULT_TOKEN_DAYS: u16 = 90;
/// Maximum validity of an enrolment token, in hours: thirty days.
pub const MAX_ENROLMENT_TOKEN_HOURS: i64 = 30 * 24;
/// Default validity of an enrolment token, in hours.
pub const DEFAULT_ENROLMENT_TOKEN_HOURS: i64 = 24;
/// Default number of desktops that an enrolment token enrols.
pub const DEFAULT_ENROLMENT_TOKEN_USES: i64 = 1;
/// Maximum number of desktops that one enrolment token enrols.
pub const MAX_ENROLMENT_TOKEN_USES: i64 = 100_000;
/// Maximum bytes of an enrolment message: ids, a certificate request and a signature.
pub const MAX_ENROLMENT_BYTES: usize = 8 << 10;
/// Maximum number of certificates on the deny-list.
pub const MAX_DENIED_CERTIFICATES: usize = 10_000;
/// Maximum bytes of an encoded deny-list: at most 22 bytes for each certificate.
pub const MAX_DENY_LIST_BYTES: usize = 256 << 10;
/// Maximum validity of a desktop's certificate, in days, if the configuration overrides the default
/// of thirty.
pub const MAX_CERTIFICATE_DAYS: f64 = 3_650.0;
/// Maximum number of characters in an `Idempotency-Key`.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 128;

/// Maximum number of targets in a batch, the unit that a worker pulls and one row stores.
pub const MAX_TARGETS_PER_BATCH: usize = 500;
/// Maximum number of targets that one transaction admits.
pub const MAX_TARGETS_PER_CUT: u32 = 10_000;
/// Maximum number of targets that the first such transaction of a wave admits: they start while the
/// next one is under way.
pub const MAX_TARGETS_PER_FIRST_CUT: u32 = 500;
/// Maximum number of results, or of returned targets, per report.
pub const MAX_RESULTS_PER_REPORT: usize = 500;
/// Bytes of results in a report at which the worker sends it, even if it is not full.
pub const SOFT_REPORT_BYTES: usize = 4 << 20;
/// Bytes of an answer to a pull at which no further batch is leased, even if the worker has
/// capacity.
pub const SOFT_PULL_BYTES: usize = 8 << 20;
/// Maximum number of connections that one answer asks a worker to close. The rest follows
/// afterwards.
pub const MAX_REVOKED_PER_ANSWER: u32 = 5_000;
/// Maximum number of desktops in a presence update.
pub const MAX_DESKTOPS_PER_PRESENCE_UPDATE: usize = 1_000;
/// Number of signed attaches at which a worker sends a presence update. A scheduler verifies them
/// in about 0.2 s, so that a retry after a timeout makes progress.
pub const SOFT_ATTACHES_PER_PRESENCE_UPDATE: usize = 200;
/// Maximum number of leases in a renewal.
pub const MAX_LEASES_PER_RENEWAL: usize = 1_000;
/// Maximum number of targets in one message of stops. The rest follows once these have ended.
pub const MAX_STOPS_PER_MESSAGE: u32 = 10_000;
/// Maximum number of targets that one worker holds at the same time.
pub const MAX_WORKER_CAPACITY: u32 = 100_000;

/// Bytes of captured output that are kept from its start.
pub const OUTPUT_HEAD_BYTES: usize = 32 * 1024;
/// Bytes of captured output that are kept from its end.
pub const OUTPUT_TAIL_BYTES: usize = 32 * 1024;
/// Maximum bytes of a stored output: head, tail, and the line that marks the omitted part.
/// Replacement of invalid UTF-8 can triple the size.
pub const MAX_OUTPUT_BYTES: usize = 3 * (OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES) + 256;
/// Maximum bytes of output of a running script in one message, and of each script in a second.
pub const MAX_LIVE_CHUNK_BYTES: usize = 64 << 10;
/// Maximum bytes of live output that are stored of one script. Older parts are deleted.
pub const MAX_LIVE_OUTPUT_BYTES: u64 = 1 << 20;
/// Maximum number of parts of live output in one report of a worker.
pub const MAX_OUTPUTS_PER_REPORT: usize = 1_000;
/// Maximum bytes of live output in one report of a worker, and in one answer to a caller.
pub const MAX_OUTPUT_REPORT_BYTES: usize = 1 << 20;
/// Time that the output of a running script is watched after a caller has read it.
pub const OUTPUT_WATCH_LASTS: Duration = Duration::from_secs(20);
/// Interval between two looks of a stream of output.
pub const OUTPUT_LOOKS_EVERY: Duration = Duration::from_secs(1);
/// Time that live output is kept after it was last watched.
pub const LIVE_OUTPUT_KEPT: Duration = Duration::from_mins(5);
/// Time after the end of a script in which the last part of its live output may arrive.
pub const LAST_OUTPUT_WITHIN: Duration = Duration::from_secs(5);
/// Maximum number of running scripts whose output is watched by the callers of a project.
pub const MAX_OUTPUT_WATCHES_PER_PROJECT: i64 = 500;
/// Maximum number of running scripts whose output one caller watches.
pub const MAX_OUTPUT_WATCHES_PER_CALLER: i64 = 100;
/// Maximum number of records in a stream of output.
pub const MAX_OUTPUTS_PER_STREAM: usize = 20;
/// Maximum number of open streams of output of one caller.
pub const MAX_OUTPUT_STREAMS_PER_CALLER: usize = 16;
/// Maximum number of running scripts of one desktop whose output it sends at the same time.
pub const MAX_LIVE_OUTPUTS_PER_AGENT: usize = 16;
/// Maximum number of watched scripts of one worker.
pub const MAX_OUTPUT_WATCHES_PER_WORKER: u32 = 2_000;

/// Maximum number of parameters that a script declares.
pub const MAX_PARAMETERS: usize = 32;
/// Maximum number of characters of the name of a parameter.
pub const MAX_PARAMETER_NAME_CHARS: usize = 64;
/// Maximum number of characters of the description of a parameter.
pub const MAX_PARAMETER_DESCRIPTION_CHARS: usize = 256;
/// Maximum number of allowed values of a parameter.
pub const MAX_ALLOWED_VALUES: usize = 100;
/// Maximum bytes of the value of a parameter.
pub const MAX_PARAMETER_VALUE_BYTES: usize = 4 << 10;
/// Maximum bytes of all names and values of an execution: Windows limits the environment of a
/// process to 32 KiB.
pub const MAX_PARAMETER_VALUES_BYTES: usize = 16 << 10;
/// Maximum size of the names and values of all scripts of a task together, with defaults.
pub const MAX_TASK_PARAMETERS_BYTES: usize = 64 << 10;

/// Maximum bytes of a record's reason.
pub const MAX_REASON_BYTES: usize = 1_024;

/// Maximum number of characters of the name of a user on a desktop.
pub const MAX_USER_NAME_CHARS: usize = 32;
/// Maximum bytes of the path of an interpreter in a record.
pub const MAX_INTERPRETER_BYTES: usize = 512;
/// Maximum number of processes in a record that outlived their script; the rest is only counted.
pub const MAX_LEFT_PROCESSES: usize = 16;
/// Maximum bytes of the command line of such a process.
pub const MAX_LEFT_COMMAND_BYTES: usize = 256;
/// Maximum bytes of the user name of such a process.
pub const MAX_LEFT_USER_BYTES: usize = 64;
/// Largest number of a signal.
pub const MAX_SIGNAL: u8 = 64;
/// Maximum bytes of the facts about the process of a script in a message.
const MAX_PROCESS_REPORT_BYTES: usize =
    MAX_INTERPRETER_BYTES + MAX_LEFT_PROCESSES * (MAX_LEFT_COMMAND_BYTES + MAX_LEFT_USER_BYTES + 32) + 64;

/// Maximum bytes of a gRPC message on all listeners and clients.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Maximum bytes of a signed attach: the facts of a desktop, a signature and certificates.
pub const MAX_ATTACH_BYTES: usize = 256 << 10;
/// Maximum bytes of a message from an agent: the results of all scripts of one target.
pub const MAX_AGENT_MESSAGE_BYTES: usize =
    MAX_SCRIPTS_PER_TASK * (MAX_OUTPUT_BYTES + MAX_REASON_BYTES + MAX_PROCESS_REPORT_BYTES + 256) + 4_096;
/// Maximum bytes of the body of an execution request: enough for 1,000,000 ids of a UUID's length.
pub const MAX_EXECUTION_BODY_BYTES: usize = 96 << 20;
/// Maximum bytes of any other request body: enough for a script of 100,000 characters, each escaped
/// as two `\uXXXX`.
pub const MAX_BODY_BYTES: usize = 2 << 20;

/// Latest accepted Unix time from a peer, in milliseconds: the end of the year 9999. RFC 3339 has
/// no later year, and X.509 writes "no expiry" as 9999-12-31. The earliest is 0, the year 1970.
pub const MAX_UNIX_MS: i64 = 253_402_300_799_999;

/// Maximum number of resources in one question about rights.
pub const MAX_ACCESS_CHECKS: usize = 500;
/// Maximum number of pairs of resource and action in one question about rights.
pub const MAX_ACCESS_PAIRS: usize = 10_000;
/// Maximum number of rows in an export.
pub const MAX_EXPORT_ROWS: u64 = 5_000_000;
/// Maximum number of exports that one principal has in progress.
pub const MAX_EXPORTS_PER_CALLER: usize = 8;
/// Number of rows that an export reads at once.
pub const EXPORT_ROWS_PER_READ: i64 = 1_000;
/// Maximum number of open tasks that the first screen looks at.
pub const MAX_ATTENTION_OPEN: i64 = 2_000;
/// Maximum number of deferred targets in which stragglers are counted.
pub const MAX_STRAGGLERS_COUNTED: i64 = 100_000;
/// Maximum number of entries in each list of the first screen.
pub const MAX_ATTENTION_TASKS: i64 = 200;

/// Maximum bytes of the body of an urgent request: a stop, a pause or a freeze.
pub const MAX_URGENT_BODY_BYTES: usize = 64 << 10;
/// Time within which a request body must arrive, unless it belongs to an execution request.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum retention of tasks and audit entries, in days: a hundred years.
pub const MAX_KEEP_DAYS: u32 = 36_500;

/// Maximum number of streams of events or records per process.
pub const MAX_STREAMS: usize = 1_000;
/// Maximum number of these streams of one project.
pub const MAX_STREAMS_PER_PROJECT: usize = 250;
/// Interval between two polls of an event stream.
pub const STREAM_LOOKS_EVERY: Duration = Duration::from_millis(500);
/// Maximum number of events per poll.
pub const EVENTS_PER_LOOK: i64 = 500;
/// Lifetime of a stream. A client that reconnects is authenticated again.
pub const STREAM_LASTS: Duration = Duration::from_mins(10);
/// Maximum number of event streams of a project that one principal has open.
pub const MAX_PROJECT_STREAMS_PER_CALLER: usize = 32;
/// Maximum number of tasks to which a client narrows the event stream of a project.
pub const MAX_TASKS_PER_STREAM: usize = 100;
/// Maximum number of maps that a client follows in one event stream.
pub const MAX_MAPS_PER_STREAM: usize = 8;
/// Interval between two polls of a stream that follows a map.
pub const MAP_LOOKS_EVERY: Duration = Duration::from_millis(250);
/// Interval of the heartbeats of a project's event stream.
pub const STREAM_BEATS_EVERY: Duration = Duration::from_secs(15);
/// Minimum interval between two numbers of connected desktops in an event stream.
pub const PRESENCE_LOOKS_EVERY: Duration = Duration::from_secs(2);
/// Maximum number of tasks whose state one poll of a stream reads.
pub const TASKS_PER_LOOK: i64 = 200;
/// Maximum number of stored changes of a map that one poll of a stream reads.
pub const MAP_CHANGES_PER_LOOK: i64 = 1_000;
/// Maximum number of bytes of the maps that a process keeps.
pub const MAX_CACHED_MAP_BYTES: usize = 32 << 20;
/// Maximum number of runs in one change of a map. A change with more is a reset.
pub const MAX_MAP_RUNS: usize = 50_000;
/// Time for which changes of maps are kept for clients that lag or reconnect.
pub const MAP_CHANGES_KEPT: Duration = Duration::from_mins(2);
/// Number of stored changes that one statement deletes at most.
pub const MAP_CHANGES_PER_SWEEP: i64 = 10_000;
/// Age from which on a position in an event stream is refused: its changes are deleted.
pub const STREAM_POSITION_LASTS: Duration = Duration::from_secs(110);
/// Bounds of the time after which a client reconnects to an event stream.
pub const STREAM_RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=5_000;
/// Number of records that a stream reads per poll, each with its output.
pub const RECORDS_PER_LOOK: i64 = 32;

/// Maximum number of orders that an agent queues before it refuses more.
pub const MAX_ORDERS_PER_AGENT: usize = 256;

/// Checks that a project with `open` unended tasks may start another one.
pub fn check_open_tasks(open: u32, most: u32) -> Result<(), Error> {
    if open < most {
        return Ok(());
    }
    let message = format!(
        "the project has reached its limit of {most} unended tasks: wait until one has ended, or stop one"
    );
    Err(Error::new(Reason::OpenTaskLimit, message))
}

/// Validates a wave number in a record query, from 1.
pub fn wave_number(given: u32) -> Result<u16, Error> {
    u16::try_from(given).ok().filter(|wave| (1..=MAX_WAVE_NUMBER).contains(wave)).ok_or_else(|| {
        Error::out_of_range("wave", format!("{given} is out of range: 1 to {MAX_WAVE_NUMBER}"))
    })
}

/// Validates `max_in_flight` of a project.
pub fn project_in_flight(most: i64) -> Result<u32, Error> {
    in_range("max_in_flight", most, MAX_PROJECT_IN_FLIGHT)
}

/// Validates `max_running_per_desktop` of a project.
pub fn running_per_desktop(most: i64) -> Result<u16, Error> {
    in_range("max_running_per_desktop", most, MAX_RUNNING_PER_DESKTOP)
}

/// Validates `require_canary_above` of a project.
pub fn canary_above(most: i64) -> Result<u32, Error> {
    in_range("require_canary_above", most, MAX_TARGETS_PER_TASK as i64)
}

/// Validates `require_approval_above` of a project. With 0, every task needs an approval.
pub fn approval_above(most: i64) -> Result<u32, Error> {
    u32::try_from(most).ok().filter(|most| *most as usize <= MAX_TARGETS_PER_TASK).ok_or_else(|| {
        Error::out_of_range(
            "require_approval_above",
            format!("{most} is out of range: 0 to {MAX_TARGETS_PER_TASK}; without a value none is required"),
        )
    })
}

/// Validates the number of uses of an enrolment token. A token for a named desktop has exactly one.
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

// The first batch of an answer may exceed the soft limit. One message must hold its scripts, at
// four bytes per character, its ids, each repeated in signed form, and the connections to close.
const _: () = assert!(
    MAX_SCRIPTS_PER_TASK * MAX_SCRIPT_CONTENT_CHARS * 4
        + MAX_TARGETS_PER_BATCH * (2 * (MAX_ID_CHARS * 4 + 32) + MAX_DESKTOP_TEXT_CHARS * 4)
        + MAX_REVOKED_PER_ANSWER as usize * (2 * MAX_ID_CHARS * 4 + 256)
        + 2 * (MAX_TASK_PARAMETERS_BYTES + MAX_SCRIPTS_PER_TASK * MAX_PARAMETERS * 16)
        < MAX_MESSAGE_BYTES
);
// The result that fills a report, and one more target with many scripts, must fit into one message.
const _: () = assert!(
    SOFT_REPORT_BYTES + MAX_SCRIPTS_PER_TASK * (MAX_OUTPUT_BYTES + MAX_PROCESS_REPORT_BYTES + 4096)
        < MAX_MESSAGE_BYTES
);

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
