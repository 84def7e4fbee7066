use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;

fn create(dir: &TempDir) -> (Arc<Scratch>, WorkDir) {
    let scratch = Scratch::new(dir.path());
    let work_dir = scratch.create("first", None).unwrap();
    (scratch, work_dir)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "timed out waiting for {what}");
        thread::yield_now();
    }
}

#[test]
fn dropped_directory_is_removed_unless_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (scratch, mut work_dir) = create(&dir);
    assert_eq!(fs::metadata(work_dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::create_dir_all(work_dir.path().join("a/b")).unwrap();
    let used = work_dir.path().to_owned();
    work_dir.set_in_use(true);
    drop(work_dir);
    let unused = scratch.create("next-1", None).unwrap();
    let path = unused.path().to_owned();
    drop(unused);
    wait_for("the removal", || !path.exists());
    assert!(used.join("a/b").exists());
}

#[test]
fn leftovers_are_removed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (scratch, of_this_agent) = create(&dir);
    let scripts = dir.path().join("scripts");
    fs::create_dir_all(scripts.join("run-old/a/b")).unwrap();
    fs::create_dir_all(scripts.join("other/a")).unwrap();
    fs::create_dir_all(dir.path().join("scripts-3/run-old/a")).unwrap();
    fs::create_dir_all(dir.path().join("scripts-x/run-old/a")).unwrap();
    fs::write(scripts.join("run-file"), "").unwrap();
    symlink(dir.path().join("scripts-x"), scripts.join("run-link")).unwrap();
    let _sweep = scratch.remove_leftovers();
    let own = of_this_agent.path().file_name().unwrap().to_str().unwrap();
    wait_for("the removal", || {
        names(&scripts) == ["other", own] && names(&dir.path().join("scripts-3")).is_empty()
    });
    assert!(scripts.join("other/a").exists() && dir.path().join("scripts-x/run-old/a").exists());
}

#[test]
fn leftover_in_which_a_process_runs_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let scripts = dir.path().join("scripts");
    fs::create_dir_all(scripts.join("run-used/a")).unwrap();
    fs::create_dir_all(scripts.join("run-unused/a")).unwrap();
    let mut process = std::process::Command::new("sleep")
        .arg("300")
        .current_dir(scripts.join("run-used/a"))
        .spawn()
        .unwrap();
    let scratch = Scratch::new(dir.path());
    let _sweep = scratch.remove_leftovers();
    wait_for("the removal", || names(&scripts) == ["run-used"]);
    process.kill().unwrap();
    process.wait().unwrap();
    let _sweep = scratch.remove_leftovers();
    wait_for("the removal", || names(&scripts).is_empty());
}

#[test]
fn unusable_scripts_directory_is_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    let scripts = dir.path().join("scripts");
    let scratch = Scratch::new(dir.path());
    let place = |work_dir: &WorkDir| work_dir.path().parent().unwrap().file_name().unwrap().to_owned();
    fs::write(&scripts, "").unwrap();
    symlink("/tmp", dir.path().join("scripts-1")).unwrap();
    assert_eq!(place(&scratch.create("next-2", None).unwrap()), "scripts-2");
    fs::remove_file(&scripts).unwrap();
    assert_eq!(place(&scratch.create("next-3", None).unwrap()), "scripts");
    assert!(dir.path().join("scripts-1").is_symlink());
}

#[test]
fn scripts_directory_without_permissions_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (scratch, work_dir) = create(&dir);
    let scripts = work_dir.path().parent().unwrap();
    fs::set_permissions(scripts, Permissions::from_mode(0o000)).unwrap();
    scratch.create("next-4", None).unwrap();
    assert_eq!(fs::metadata(scripts).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn wait_for_a_removal_ends_with_it_or_at_once_if_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (scratch, mut work_dir) = create(&dir);
    let (path, removed) = (work_dir.path().to_owned(), work_dir.removed());
    drop(work_dir);
    removed.await;
    assert!(!path.exists());
    let mut work_dir = scratch.create("next-5", None).unwrap();
    let (path, removed) = (work_dir.path().to_owned(), work_dir.removed());
    work_dir.set_in_use(true);
    drop(work_dir);
    removed.await;
    assert!(path.exists());
}

#[tokio::test]
async fn removals_that_panic_keep_no_thread_from_later_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (scratch, work_dir) = create(&dir);
    for _ in 0..4 {
        drop(scratch.remover.hold());
    }
    let path = work_dir.path().to_owned();
    drop(work_dir);
    tokio::time::timeout(Duration::from_secs(60), scratch.idle()).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn ended_sweep_leaves_directories_of_the_next_agent() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(dir.path());
    // The sweep runs after both jobs.
    let held = [scratch.remover.hold(), scratch.remover.hold()];
    drop(scratch.remove_leftovers());
    let (_next, of_the_next_agent) = create(&dir);
    for job in held {
        job.send(()).unwrap();
    }
    scratch.idle().await;
    assert!(of_the_next_agent.path().exists());
}
