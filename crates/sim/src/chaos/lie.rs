//! Lies of an agent: messages with times, sizes, codes and keys that no real agent sends.

use std::collections::BTreeMap;

use proto::{
    agent::{ExecutionKey, OrderResult, OrderReturn, Started, StartedScript, attach_request::Message},
    limits,
    types::{Desktop, LeftProcess, ScriptResult},
};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::names::desktop_id;

/// A time that Postgres refuses, in Unix milliseconds.
const BEFORE_POSTGRES_MS: i64 = -300_000_000_000_000;
const DAY_MS: i64 = 86_400_000;
/// Number of times that a repeated result is sent.
const REPEATS: usize = 50;
/// Number of neighbours of the liar's target for which it reports results, in each direction.
const NEIGHBOURS: u32 = 25;

/// Kind of a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Lie {
    StartBeforeTime,
    EndAfterTime,
    EndBeforeStart,
    HugeDuration,
    NoTimes,
    ImpossibleExitCode,
    ImpossibleSignal,
    NulCharacters,
    LongTexts,
    OversizedMessage,
    UnknownOutcome,
    UnknownScript,
    TooManyScripts,
    NoScripts,
    UnknownOrdinal,
    UnknownAttempt,
    UnknownTask,
    MissingKey,
    Repeated,
    Contradiction,
    OtherTarget,
    OtherTargetStarted,
    OtherTargetReturned,
    OtherDesktop,
}

impl Lie {
    const ALL: [Self; 24] = [
        Self::StartBeforeTime,
        Self::EndAfterTime,
        Self::EndBeforeStart,
        Self::HugeDuration,
        Self::NoTimes,
        Self::ImpossibleExitCode,
        Self::ImpossibleSignal,
        Self::NulCharacters,
        Self::LongTexts,
        Self::OversizedMessage,
        Self::UnknownOutcome,
        Self::UnknownScript,
        Self::TooManyScripts,
        Self::NoScripts,
        Self::UnknownOrdinal,
        Self::UnknownAttempt,
        Self::UnknownTask,
        Self::MissingKey,
        Self::Repeated,
        Self::Contradiction,
        Self::OtherTarget,
        Self::OtherTargetStarted,
        Self::OtherTargetReturned,
        Self::OtherDesktop,
    ];

    /// Messages about an order, whose task has one script. The last one is a result that ends the
    /// order, so that its task need not wait until the result is overdue.
    pub(crate) fn messages(self, key: &ExecutionKey, now_unix_ms: i64) -> Vec<Message> {
        let truth = success(now_unix_ms);
        let of_order = |scripts| of_key(Some(key.clone()), scripts);
        let mut messages = match self {
            Self::TooManyScripts => vec![of_order(vec![truth.clone(); limits::MAX_SCRIPTS_PER_TASK + 1])],
            Self::NoScripts => vec![of_order(Vec::new())],
            Self::Repeated => vec![of_order(vec![truth.clone()]); REPEATS - 1],
            Self::Contradiction => {
                let failure =
                    ScriptResult { outcome: "FAILED".to_owned(), exit_code: Some(1), ..truth.clone() };
                vec![of_order(vec![failure])]
            }
            _ => self.messages_beyond_order(key, &truth),
        };
        messages.push(of_order(vec![self.change(truth)]));
        messages
    }

    /// Messages with keys other than that of the order, or with none.
    fn messages_beyond_order(self, key: &ExecutionKey, truth: &ScriptResult) -> Vec<Message> {
        let of_other = |other| vec![of_key(Some(other), vec![truth.clone()])];
        match self {
            Self::UnknownOrdinal => of_other(ExecutionKey { ordinal: u32::MAX, ..key.clone() }),
            Self::UnknownAttempt => of_other(ExecutionKey { attempt: u32::MAX, ..key.clone() }),
            Self::UnknownTask => {
                of_other(ExecutionKey { task_id: "../\0\u{1f980}".to_owned(), ..key.clone() })
            }
            Self::MissingKey => vec![of_key(None, vec![truth.clone()])],
            Self::OtherTarget => others(key).flat_map(of_other).collect(),
            Self::OtherTargetStarted => {
                let started = |key| StartedScript { key: Some(key), script: 0, started_at_unix_ms: i64::MIN };
                let scripts = others(key).chain([key.clone()]).map(started).collect();
                vec![Message::Started(Started { scripts })]
            }
            Self::OtherTargetReturned => {
                let returned = |key| {
                    let reason = "no\0room".to_owned();
                    Message::OrderReturn(OrderReturn {
                        key: Some(key),
                        reason,
                        is_full: true,
                        authenticator: None,
                    })
                };
                others(key).map(returned).collect()
            }
            Self::OtherDesktop => vec![Message::DesktopUpdate(Desktop {
                project_id: "another".to_owned(),
                desktop_id: desktop_id(0),
                os_host_name: "\0".to_owned(),
                connected_at_unix_ms: i64::MAX,
                incarnation: u64::MAX,
                ..Desktop::default()
            })],
            _ => Vec::new(),
        }
    }

    /// Changes the result of the order itself. Other lies leave it true.
    fn change(self, mut script: ScriptResult) -> ScriptResult {
        match self {
            Self::StartBeforeTime => script.started_at_unix_ms = BEFORE_POSTGRES_MS,
            Self::EndAfterTime => script.ended_at_unix_ms = i64::MAX,
            Self::EndBeforeStart => script.ended_at_unix_ms -= DAY_MS,
            Self::HugeDuration => {
                (script.started_at_unix_ms, script.ended_at_unix_ms) = (1, limits::MAX_UNIX_MS);
            }
            Self::NoTimes => (script.started_at_unix_ms, script.ended_at_unix_ms) = (0, 0),
            Self::ImpossibleExitCode => script.exit_code = Some(i32::MIN),
            Self::ImpossibleSignal => {
                script.outcome = "FAILED".to_owned();
                (script.exit_code, script.signal) = (Some(i32::MAX), Some(-9));
            }
            Self::NulCharacters => {
                script.outcome = "FAILED".to_owned();
                script.output = "\0\u{1f980}\0".to_owned();
                script.reason = "\0".to_owned();
                script.interpreter = "/bin/\0sh".to_owned();
                script.containment = "\0".to_owned();
                script.left_processes = vec![left("\0")];
                script.left_processes_count = u32::MAX;
            }
            Self::LongTexts => {
                script.output = "\u{1f980}".repeat(limits::MAX_OUTPUT_BYTES);
                script.reason = "r".repeat(limits::MAX_OUTPUT_BYTES);
                script.interpreter = "/".repeat(limits::MAX_OUTPUT_BYTES);
                script.left_processes = vec![left(&"p".repeat(1_000)); 1_000];
            }
            Self::OversizedMessage => script.output = "x".repeat(limits::MAX_AGENT_MESSAGE_BYTES + 1),
            Self::UnknownOutcome => script.outcome = "WON".to_owned(),
            Self::UnknownScript => script.script = u32::MAX,
            _ => {}
        }
        script
    }
}

/// Sequence of lies: first each of them once, in random order, then at random.
#[derive(Debug)]
pub(crate) struct Lies {
    rng: ChaCha8Rng,
    remaining: Vec<Lie>,
    /// Number of draws of each kind.
    pub(crate) drawn: BTreeMap<Lie, usize>,
}

impl Lies {
    pub(crate) fn new(mut rng: ChaCha8Rng) -> Self {
        let mut remaining = Lie::ALL.to_vec();
        remaining.shuffle(&mut rng);
        Self { rng, remaining, drawn: BTreeMap::new() }
    }

    pub(crate) fn draw(&mut self) -> Lie {
        let any = || Lie::ALL.choose(&mut self.rng).copied();
        let lie = self.remaining.pop().or_else(any).unwrap_or(Lie::StartBeforeTime);
        *self.drawn.entry(lie).or_default() += 1;
        lie
    }
}

/// Keys of the targets around that of the liar; they belong to other desktops.
fn others(key: &ExecutionKey) -> impl Iterator<Item = ExecutionKey> {
    let ordinals = key.ordinal.saturating_sub(NEIGHBOURS)..=key.ordinal.saturating_add(NEIGHBOURS);
    let others = ordinals.filter(|ordinal| *ordinal != key.ordinal);
    others.map(|ordinal| ExecutionKey { ordinal, ..key.clone() })
}

fn of_key(key: Option<ExecutionKey>, scripts: Vec<ScriptResult>) -> Message {
    Message::Result(OrderResult { key, scripts, ..OrderResult::default() })
}

fn success(now_unix_ms: i64) -> ScriptResult {
    ScriptResult {
        outcome: "SUCCESS".to_owned(),
        exit_code: Some(0),
        started_at_unix_ms: now_unix_ms,
        ended_at_unix_ms: now_unix_ms,
        ..ScriptResult::default()
    }
}

fn left(text: &str) -> LeftProcess {
    LeftProcess { pid: u32::MAX, command: text.to_owned(), user: text.to_owned(), ..LeftProcess::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::rng;

    #[test]
    fn every_lie_is_drawn_and_equal_seeds_lie_equally() {
        let draw = || {
            let mut lies = Lies::new(rng(7, 3));
            let drawn: Vec<Lie> = Lie::ALL.iter().map(|_| lies.draw()).collect();
            (drawn, lies.drawn)
        };
        assert_eq!(draw(), draw());
        let (_, drawn) = draw();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), Lie::ALL.map(|lie| (lie, 1)));
    }

    #[test]
    fn last_message_of_a_lie_is_a_result_of_the_order() {
        let key = ExecutionKey { task_id: "t".into(), ordinal: 3, attempt: 1 };
        for lie in Lie::ALL {
            let messages = lie.messages(&key, 1_764_000_000_000);
            let Some(Message::Result(last)) = messages.last() else { panic!("{lie:?}: {messages:?}") };
            assert_eq!((last.key.as_ref(), last.scripts.len()), (Some(&key), 1), "{lie:?}");
            let honest = [of_key(Some(key.clone()), vec![success(1_764_000_000_000)])];
            assert_ne!(messages, honest, "{lie:?} is no lie");
        }
    }
}
