//! Faults on the identity of desktops: a lost data directory, and a copied one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::ensure;

use super::{runners, system::System};

/// Number of looks for a desktop on which no script runs.
const LOOKS: usize = 40;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// Name of a copied data directory.
const COPY: &str = "copy";
/// Time in which the runners of a killed agent end: longer than the timeout of a script.
const RUNNERS_END: Duration = Duration::from_secs(6);

/// Kills the agents of desktops and removes their data directories. Their runners are killed with
/// their scripts, or go on. The agents start again after `duration`, with the same desktop ids.
pub(crate) async fn lose_data(
    system: &System,
    desktops: &[usize],
    kills_runners: bool,
    duration: Duration,
) -> anyhow::Result<()> {
    for &desktop in desktops {
        // Held until the directory is gone: no other fault starts the agent meanwhile.
        let mut node = system.agents[desktop].lock().await;
        node.kill()?;
        let data = system.data_dir(desktop);
        if kills_runners {
            runners::kill_all(&data)?;
        }
        remove(&data, &system.spare_dir(desktop)?)?;
    }
    tokio::time::sleep(duration).await;
    for &desktop in desktops {
        system.agents[desktop].lock().await.run()?;
    }
    Ok(())
}

/// Removes a directory at once, although processes still write into it.
fn remove(data: &Path, spare: &Path) -> anyhow::Result<()> {
    if data.exists() {
        let lost = spare.join("lost");
        fs::rename(data, &lost)?;
        // What a runner writes there meanwhile stays, and nobody reads it.
        drop(fs::remove_dir_all(&lost));
    }
    Ok(())
}

/// Runs a second agent over a copy of a desktop's data directory, for `duration`. Both agents make
/// the same start, the copy first if `copy_is_first`. Returns the desktop: the first of the
/// candidates on which no script runs; `None` if scripts run on all of them. The copy is taken
/// while its agent is stopped, as an image of the machine would be.
pub(crate) async fn clone_one(
    system: &System,
    candidates: &[usize],
    copy_is_first: bool,
    duration: Duration,
) -> anyhow::Result<Option<usize>> {
    let Some((desktop, copy)) = copy_one(system, candidates).await? else { return Ok(None) };
    if !copy_is_first {
        system.agents[desktop].lock().await.run()?;
    }
    let mut clone = system.start_clone(desktop, copy.join(COPY))?;
    system.agents[desktop].lock().await.run()?;
    tokio::time::sleep(duration).await;
    clone.kill()?;
    // Its scripts end, or are killed at their timeout.
    tokio::time::sleep(RUNNERS_END).await;
    drop(fs::remove_dir_all(&copy));
    Ok(Some(desktop))
}

/// Copies the data directory of the first candidate on which no script runs, and leaves its agent
/// stopped. Returns the directory of the copy.
async fn copy_one(system: &System, candidates: &[usize]) -> anyhow::Result<Option<(usize, PathBuf)>> {
    for _ in 0..LOOKS {
        for &desktop in candidates {
            if let Some(copy) = copy_if_quiet(system, desktop).await? {
                return Ok(Some((desktop, copy)));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

/// Kills the agent of a desktop and copies its data directory. Starts the agent again and returns
/// `None` if a script runs.
async fn copy_if_quiet(system: &System, desktop: usize) -> anyhow::Result<Option<PathBuf>> {
    let data = system.data_dir(desktop);
    if !is_quiet(&data) {
        return Ok(None);
    }
    let mut node = system.agents[desktop].lock().await;
    node.kill()?;
    if !is_quiet(&data) {
        node.run()?;
        return Ok(None);
    }
    let spare = system.spare_dir(desktop)?;
    let copied = Command::new("cp").arg("-a").args([&data, &spare.join(COPY)]).status()?;
    ensure!(copied.success(), "cannot copy {}", data.display());
    Ok(Some(spare))
}

/// Whether a data directory is there and has no run.
fn is_quiet(data: &Path) -> bool {
    fs::read_dir(data.join("runs")).is_ok_and(|mut runs| runs.next().is_none())
}
