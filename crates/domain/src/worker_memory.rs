//! Number of agents whose connections fit into the memory of a worker.

use std::fmt;

/// Memory of a connected agent: an idle connection with TLS takes 60 to 64 KiB.
pub const AGENT_BYTES: u64 = 64 << 10;
/// Numerator and denominator of the share of the remaining memory that idle connections may fill.
/// The rest is for what connections hold while agents send and receive: each buffers up to 64 KiB
/// that is not read yet.
const AGENTS_SHARE: (u64, u64) = (3, 4);
/// Memory of a worker for all but its connections: the limits of orders, results and output that
/// wait in it (256, 64 and 8 MiB), and the process itself.
pub const WORKER_BASE_BYTES: u64 = 384 << 20;
/// Maximum number of agents of a worker that takes it from its memory. More of them make a worker's
/// loss expensive; a worker with more must say so.
pub const DEFAULT_MAX_AGENTS: usize = 50_000;

/// Memory that a worker may use, and what limits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Maximum number of bytes.
    pub bytes: u64,
    /// What sets the limit, for messages: a file of a cgroup, or the machine.
    pub source: String,
}

/// Number of agents that does not fit into the memory of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoesNotFit {
    /// Configured number; `None` if none is.
    pub configured: Option<usize>,
    /// Number of agents that fits.
    pub fits: usize,
    /// Memory that the configured number needs, or one agent without it.
    pub needed_bytes: u64,
    /// Limit of the memory.
    pub limit: MemoryLimit,
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { configured, fits, needed_bytes, limit } = self;
        let (needed, limit_mib, source) = (mib(*needed_bytes), mib(limit.bytes), &limit.source);
        match configured {
            Some(configured) => {
                write!(
                    f,
                    "worker.max_agents {configured} needs {needed} MiB, but {source} is {limit_mib} MiB: "
                )?;
            }
            None => write!(f, "a worker needs {needed} MiB, but {source} is {limit_mib} MiB: ")?,
        }
        match (configured, fits) {
            (Some(_), 1..) => write!(f, "set it to at most {fits}, or raise the limit to {needed} MiB"),
            _ => write!(f, "raise the limit to more than {} MiB", mib(WORKER_BASE_BYTES)),
        }
    }
}

impl std::error::Error for DoesNotFit {}

/// Rounds up to MiB.
const fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Memory of a worker with a number of agents.
fn needed_bytes(agents: usize) -> u64 {
    let (share, of) = AGENTS_SHARE;
    let idle = AGENT_BYTES.saturating_mul(agents as u64);
    WORKER_BASE_BYTES.saturating_add(idle.saturating_mul(of).div_ceil(share))
}

/// Decides how many agents a worker takes. `configured` is `worker.max_agents` if it is set, and
/// `limit` is `None` if the memory is unknown.
///
/// # Errors
///
/// The configured number does not fit, or none fits.
pub fn max_agents(configured: Option<usize>, limit: Option<MemoryLimit>) -> Result<usize, DoesNotFit> {
    let Some(limit) = limit else { return Ok(configured.unwrap_or(DEFAULT_MAX_AGENTS)) };
    let (share, of) = AGENTS_SHARE;
    let fits = limit.bytes.saturating_sub(WORKER_BASE_BYTES).saturating_mul(share) / of / AGENT_BYTES;
    let fits = usize::try_from(fits).unwrap_or(usize::MAX);
    match configured {
        Some(configured) if configured <= fits => Ok(configured),
        None if fits > 0 => Ok(fits.min(DEFAULT_MAX_AGENTS)),
        _ => {
            let needed_bytes = needed_bytes(configured.unwrap_or(1));
            Err(DoesNotFit { configured, fits, needed_bytes, limit })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(mib: u64) -> Option<MemoryLimit> {
        Some(MemoryLimit { bytes: mib << 20, source: "the memory limit /memory.max".to_owned() })
    }

    #[test]
    fn number_of_agents_follows_the_memory() {
        for (limit_mib, expected) in
            [(2_048, 19_968), (1_024, 7_680), (385, 12), (4_551, 50_000), (64 << 10, 50_000)]
        {
            assert_eq!(max_agents(None, limit(limit_mib)), Ok(expected), "{limit_mib} MiB");
        }
        assert_eq!(max_agents(None, None), Ok(50_000));
        assert_eq!(max_agents(Some(1_000_000), None), Ok(1_000_000), "nothing is known");
    }

    #[test]
    fn configured_number_is_kept_while_it_fits() {
        assert_eq!(max_agents(Some(100_000), limit(8_718)), Ok(100_000));
        assert_eq!(max_agents(Some(19_968), limit(2_048)), Ok(19_968));
        assert_eq!(max_agents(Some(0), limit(10)), Ok(0));
    }

    #[test]
    fn refusal_names_limit_fit_and_fix() {
        let refused = max_agents(Some(50_000), limit(2_048)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "worker.max_agents 50000 needs 4551 MiB, but the memory limit /memory.max is 2048 MiB: set it to at most \
             19968, or raise the limit to 4551 MiB"
        );
        let refused = max_agents(None, limit(384)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "a worker needs 385 MiB, but the memory limit /memory.max is 384 MiB: raise the limit to more than 384 MiB"
        );
        assert_eq!(max_agents(Some(1), limit(100)).unwrap_err().fits, 0);
    }
}
