//! `cargo xtask compat`: today's programs with those of the last release.

mod frames;
mod programs;
mod scenario;

use crate::say;
use programs::Programs;

/// Checks that recorded frames only grow, which needs no programs. The tests of crate `proto`
/// replay the frames.
pub(crate) fn frames() -> anyhow::Result<()> {
    frames::check()
}

/// Upgrades a cluster from old programs to new ones and back, role by role, with rollouts between.
///
/// `old` is a directory of programs or a revision; without one, the last tag. `new` is a directory;
/// without one, today's programs.
pub(crate) fn run(old: Option<&str>, new: Option<&str>) -> anyhow::Result<()> {
    frames::check()?;
    let old = match old {
        Some(old) => Programs::of(old)?,
        None => match programs::last_tag()? {
            Some(tag) => Programs::of(&tag)?,
            None => {
                say(
                    "== NOT TESTED: no release is tagged, so there are no old programs; the tests replay recorded \
                     frames. `--old DIR|REV` names other programs",
                );
                return Ok(());
            }
        },
    };
    let new = match new {
        Some(directory) => Programs::in_directory(directory.into())?,
        None => Programs::of_today()?,
    };
    say(&format!("-- from {} to {}", old.version()?, new.version()?));
    scenario::run(&old, &new)
}
