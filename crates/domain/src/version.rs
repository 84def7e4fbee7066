//! Versions of programs: their order, and which of them work together.
//!
//! The schema gate ([`crate::schema`]) decides whether a program fits a database. These rules
//! decide whether two programs may talk to each other.

use std::{cmp::Ordering, fmt};

use crate::{Error, FieldPath};

/// Version of this program, which is that of all programs of its release.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Maximum number of different agent versions that a list by age looks at. Agents choose the text.
pub const MAX_VERSIONS: usize = 1_000;

/// A version by the rules of Semantic Versioning 2.0, such as 1.4.0 or 2.0.0-rc.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(semver::Version);

impl Version {
    /// Parses a version. Errors name `field`.
    ///
    /// # Errors
    ///
    /// The text is no semantic version, or it has build metadata, which no package has.
    pub fn parse(field: impl Into<FieldPath>, text: &str) -> Result<Self, Error> {
        let fix = "expected MAJOR.MINOR.PATCH, such as 1.4.0 or 2.0.0-rc.1, without a leading v";
        match semver::Version::parse(text) {
            Ok(version) if version.build.is_empty() => Ok(Self(version)),
            Ok(_) => {
                let message = format!("{text:?} has build metadata after +, and packages have none: {fix}");
                Err(Error::invalid(field, message))
            }
            Err(error) => Err(Error::invalid(field, format!("{text:?} is no version ({error}): {fix}"))),
        }
    }

    /// Reads the version that a program reports; `None` if it is no semantic version.
    #[must_use]
    pub fn reported(text: &str) -> Option<Self> {
        semver::Version::parse(text).ok().map(Self)
    }

    /// Compares by precedence: a pre-release precedes its release, and build metadata counts not.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }

    const fn minor_line(&self) -> (u64, u64) {
        (self.0.major, self.0.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reports whether a reported version precedes `than`. An unreadable one does not.
#[must_use]
pub fn is_older(reported: &str, than: &Version) -> bool {
    Version::reported(reported).is_some_and(|version| version.precedence(than) == Ordering::Less)
}

/// Selects the reported versions that precede `than`. Errors name `field`.
///
/// # Errors
///
/// More than [`MAX_VERSIONS`] versions are reported.
pub fn older_ones(
    field: impl Into<FieldPath>,
    reported: Vec<String>,
    than: &Version,
) -> Result<Vec<String>, Error> {
    if reported.len() > MAX_VERSIONS {
        let message = format!(
            "the agents of this project report more than {MAX_VERSIONS} different versions: list by version"
        );
        return Err(Error::out_of_range(field, message));
    }
    Ok(reported.into_iter().filter(|version| is_older(version, than)).collect())
}

/// Direction in which an upgrade to a version moves a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// To a newer version, or from an unreadable one.
    Up,
    /// Nowhere: the program has this version.
    None,
    /// To an older version.
    Down,
}

/// Returns the direction from a reported version to `target`.
#[must_use]
pub fn direction(reported: &str, target: &Version) -> Move {
    match Version::reported(reported).map(|version| version.precedence(target)) {
        Some(Ordering::Equal) => Move::None,
        Some(Ordering::Greater) => Move::Down,
        Some(Ordering::Less) | None => Move::Up,
    }
}

/// Two programs that talk to each other: the one that dials in, and the one that judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// An agent attaches to a worker.
    AgentToWorker,
    /// A worker sends a heartbeat to a scheduler.
    WorkerToScheduler,
}

impl Link {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::AgentToWorker => ("agent", "worker"),
            Self::WorkerToScheduler => ("worker", "scheduler"),
        }
    }
}

/// Judgement over the versions of two programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// The pair is tested: the same minor version, or the caller's is one minor version older or,
    /// for agents, newer.
    Tested,
    /// A version is unreadable, so the pair cannot be judged. It may talk.
    Unknown,
    /// The pair is not tested, and may talk.
    Untested(Mismatch),
    /// The pair may not talk.
    Refused(Mismatch),
}

/// Kind of a mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MismatchKind {
    /// The caller is too old.
    Behind,
    /// The caller is too new.
    Ahead,
}

/// Two versions that do not fit, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The two programs.
    pub link: Link,
    /// Whether the caller is too old or too new.
    pub kind: MismatchKind,
    /// Version of the caller.
    pub caller: String,
    /// Version of the program that judges.
    pub judge: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, kind, caller, judge } = self;
        let (calling, judging) = link.names();
        let limit = "versions of neighbouring minor numbers work together";
        let (relation, fix) = match (kind, link) {
            (MismatchKind::Behind, Link::AgentToWorker) => {
                ("older", format!("`graywave agents upgrade --to {judge}`, or install its package by hand"))
            }
            (MismatchKind::Behind, Link::WorkerToScheduler) => {
                ("older", format!("upgrade this worker to {judge}"))
            }
            (MismatchKind::Ahead, Link::AgentToWorker) => (
                "newer",
                "connect to another worker, or upgrade the control plane before its agents".to_owned(),
            ),
            (MismatchKind::Ahead, Link::WorkerToScheduler) => {
                ("newer", "upgrade the schedulers before the workers".to_owned())
            }
        };
        write!(f, "{calling} {caller} is too much {relation} than {judging} {judge}; {limit}: {fix}")
    }
}

/// Judges the version of a caller. `judge` is the version of the program that it calls.
///
/// An agent that is too old may talk as long as it is at most one major version behind, because a
/// refused agent could not be upgraded by a rollout. A worker has no such need.
#[must_use]
pub fn judge(link: Link, caller: &str, judge: &str) -> Compatibility {
    let (Some(of_caller), Some(of_judge)) = (Version::reported(caller), Version::reported(judge)) else {
        return Compatibility::Unknown;
    };
    let mismatch = |kind| Mismatch { link, kind, caller: caller.to_owned(), judge: judge.to_owned() };
    let (caller_line, judge_line) = (of_caller.minor_line(), of_judge.minor_line());
    let is_behind = caller_line < judge_line;
    if is_neighbour(caller_line, judge_line) {
        let is_out_of_order = link == Link::WorkerToScheduler && caller_line > judge_line;
        return match is_out_of_order {
            true => Compatibility::Untested(mismatch(MismatchKind::Ahead)),
            false => Compatibility::Tested,
        };
    }
    match (is_behind, link) {
        (true, Link::AgentToWorker) if judge_line.0 - caller_line.0 <= 1 => {
            Compatibility::Untested(mismatch(MismatchKind::Behind))
        }
        (true, _) => Compatibility::Refused(mismatch(MismatchKind::Behind)),
        (false, _) => Compatibility::Refused(mismatch(MismatchKind::Ahead)),
    }
}

/// Reports whether two pairs of major and minor number are equal or differ by one minor number.
const fn is_neighbour(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 == other.0 && one.1.abs_diff(other.1) <= 1
}

/// Age of a caller relative to the program that it calls: a label of metrics, so the set is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelativeAge {
    /// The same version.
    Same,
    /// Older, and tested with it.
    Older,
    /// Newer, and tested with it.
    Newer,
    /// Older or newer than the tested versions.
    Untested,
    /// Unreadable version.
    Unknown,
}

impl RelativeAge {
    /// Every age.
    pub const ALL: [Self; 5] = [Self::Same, Self::Older, Self::Newer, Self::Untested, Self::Unknown];

    /// Returns the value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Older => "older",
            Self::Newer => "newer",
            Self::Untested => "untested",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the age of an agent relative to its worker.
    #[must_use]
    pub fn of_agent(agent: &str, worker: &str) -> Self {
        match judge(Link::AgentToWorker, agent, worker) {
            Compatibility::Unknown => Self::Unknown,
            Compatibility::Untested(_) | Compatibility::Refused(_) => Self::Untested,
            Compatibility::Tested => {
                match Version::reported(worker).map(|of_worker| direction(agent, &of_worker)) {
                    Some(Move::Up) => Self::Older,
                    Some(Move::Down) => Self::Newer,
                    Some(Move::None) | None => Self::Same,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse("to", text).unwrap()
    }

    #[test]
    fn only_semantic_versions_are_accepted() {
        assert_eq!(version("2.0.0-rc.1").to_string(), "2.0.0-rc.1");
        for wrong in ["", "v1.2.3", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1:1.2.3", "1.2.3;reboot", "latest"]
        {
            let error = Version::parse("to", wrong).unwrap_err();
            assert_eq!(error.field.as_ref().unwrap().to_string(), "to", "{wrong}");
            assert!(error.message.contains("MAJOR.MINOR.PATCH"), "{}", error.message);
        }
        assert!(Version::parse("to", "1.2.3+deb12").unwrap_err().message.contains("build metadata"));
    }

    #[test]
    fn pre_release_precedes_its_release() {
        let order =
            ["0.9.0", "1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-alpha.11", "1.0.0-rc.1", "1.0.0", "1.0.10"];
        for pair in order.windows(2) {
            assert!(is_older(pair[0], &version(pair[1])), "{pair:?}");
            assert!(!is_older(pair[1], &version(pair[0])), "{pair:?}");
        }
        assert!(!is_older("test", &version("1.0.0")), "an unreadable version has no place");
        assert!(!is_older("1.0.0+deb12", &version("1.0.0")), "build metadata counts not");
    }

    #[test]
    fn older_versions_are_selected_of_a_bounded_number() {
        let reported = ["0.9.0", "1.0.0", "1.1.0", "test", ""].map(str::to_owned).to_vec();
        assert_eq!(older_ones("outdated", reported, &version("1.1.0")).unwrap(), ["0.9.0", "1.0.0"]);
        let many = (0..=MAX_VERSIONS).map(|number| format!("0.0.{number}")).collect();
        let error = older_ones("outdated", many, &version("1.1.0")).unwrap_err();
        assert_eq!(error.reason, crate::Reason::FieldOutOfRange);
    }

    #[test]
    fn version_of_this_program_is_readable() {
        assert_eq!(version(PROGRAM).to_string(), PROGRAM);
    }

    #[test]
    fn upgrade_leaves_out_the_version_that_it_leads_to() {
        let to = version("1.2.0");
        let directions = ["1.1.9", "1.2.0-rc.1", "1.2.0", "1.2.0+deb12", "1.2.1", "simulated"]
            .map(|reported| direction(reported, &to));
        assert_eq!(directions, [Move::Up, Move::Up, Move::None, Move::None, Move::Down, Move::Up]);
    }

    fn verdict(link: Link, caller: &str, own: &str) -> &'static str {
        match judge(link, caller, own) {
            Compatibility::Tested => "tested",
            Compatibility::Unknown => "unknown",
            Compatibility::Untested(_) => "untested",
            Compatibility::Refused(_) => "refused",
        }
    }

    #[test]
    fn agents_of_neighbouring_minor_versions_attach() {
        let of_agent = |agent| verdict(Link::AgentToWorker, agent, "1.4.2");
        for agent in ["1.4.0", "1.4.2", "1.4.9", "1.3.0", "1.5.7", "1.5.0-rc.1"] {
            assert_eq!(of_agent(agent), "tested", "{agent}");
        }
        // A refused agent could not be upgraded by a rollout.
        for agent in ["1.2.9", "1.0.0", "0.9.0"] {
            assert_eq!(of_agent(agent), "untested", "{agent}");
        }
        for agent in ["1.6.0", "2.0.0"] {
            assert_eq!(of_agent(agent), "refused", "{agent}");
        }
        assert_eq!(verdict(Link::AgentToWorker, "0.9.0", "2.0.0"), "refused");
        assert_eq!(of_agent("simulated"), "unknown");
    }

    #[test]
    fn schedulers_are_upgraded_before_workers() {
        let of_worker = |worker| verdict(Link::WorkerToScheduler, worker, "1.4.2");
        for worker in ["1.4.0", "1.4.9", "1.3.0"] {
            assert_eq!(of_worker(worker), "tested", "{worker}");
        }
        assert_eq!(of_worker("1.5.0"), "untested");
        for worker in ["1.2.9", "1.6.0", "0.9.0", "2.0.0"] {
            assert_eq!(of_worker(worker), "refused", "{worker}");
        }
        assert_eq!(of_worker(""), "unknown", "a worker of a version that reports none");
    }

    #[test]
    fn mismatch_names_both_versions_and_the_fix() {
        let Compatibility::Refused(mismatch) = judge(Link::AgentToWorker, "1.6.0", "1.4.2") else {
            panic!("two minor versions ahead")
        };
        let text = mismatch.to_string();
        assert!(text.contains("agent 1.6.0") && text.contains("worker 1.4.2"), "{text}");
        assert!(text.contains("upgrade the control plane before its agents"), "{text}");
        let Compatibility::Untested(mismatch) = judge(Link::AgentToWorker, "1.1.0", "1.4.2") else {
            panic!("three minor versions behind")
        };
        assert!(mismatch.to_string().contains("graywave agents upgrade --to 1.4.2"), "{mismatch}");
    }

    #[test]
    fn ages_of_agents_are_few() {
        let age = |agent| RelativeAge::of_agent(agent, "1.4.2").as_str();
        let agents = ["1.4.2", "1.4.1", "1.3.0", "1.4.3", "1.5.0", "1.0.0", "9.0.0", "x"];
        let ages = ["same", "older", "older", "newer", "newer", "untested", "untested", "unknown"];
        assert_eq!(agents.map(age), ages);
        assert!(ages.iter().all(|age| RelativeAge::ALL.iter().any(|it| it.as_str() == *age)));
    }
}
