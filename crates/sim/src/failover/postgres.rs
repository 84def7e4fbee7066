//! kill -9 of a whole Postgres.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// Kills the server of a data directory with all its processes; nothing when none runs.
///
/// A backend that outlives its postmaster would go on to commit and to answer for a while, which a
/// machine that died does not. So the postmaster is stopped first, which keeps it from making more
/// of them, and killed last.
pub(crate) fn kill(data: &Path) -> anyhow::Result<()> {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let Some(postmaster) = text.lines().next().and_then(|line| line.parse().ok()) else { return Ok(()) };
    // The file outlives the process, and its number may be another's by now.
    let is_ours = fs::read_link(format!("/proc/{postmaster}/cwd")).is_ok_and(|directory| directory == data);
    let Some(pid) = Pid::from_raw(postmaster).filter(|_| is_ours) else { return Ok(()) };
    kill_process(pid, Signal::STOP)?;
    for child in children(postmaster)? {
        // One that has just ended is as good.
        kill_process(child, Signal::KILL).ok();
    }
    kill_process(pid, Signal::KILL)?;
    Ok(())
}

fn children(parent: i32) -> anyhow::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if parent_of(&stat) == Some(parent) {
            found.extend(Pid::from_raw(number));
        }
    }
    Ok(found)
}

/// The second field behind the name, which is in brackets and may hold anything.
fn parent_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_of("7 (postgres: a) b) S 3 7 7 0"), Some(3));
        assert_eq!(parent_of("nonsense"), None);
    }
}
