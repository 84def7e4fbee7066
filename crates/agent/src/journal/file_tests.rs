use tempfile::TempDir;

use super::*;
use crate::journal::RunFacts;

fn key(task: &str) -> Key {
    Key { task: task.into(), ordinal: 0, attempt: 1 }
}

fn finished(task: &str, output: &str) -> Event {
    let result = Record { output: output.into(), ..Record::bare(0, ScriptOutcome::Failed, "exit code 1", 2) };
    Event::Finished { key: key(task), results: vec![result], action: None }
}

fn span(count: u32) -> Span {
    Span { first: 0, count }
}

fn open(dir: &TempDir) -> Journal {
    opened(dir.path()).journal
}

fn opened(dir: &Path) -> DataDir {
    open_data_dir(dir).unwrap()
}

fn log(dir: &TempDir) -> PathBuf {
    dir.path().join("journal.log")
}

fn append(dir: &TempDir, bytes: &[u8]) {
    File::options().append(true).open(log(dir)).unwrap().write_all(bytes).unwrap();
}

/// Outcome and output of a finished order's first script.
fn result(journal: &Journal, task: &str) -> Option<(String, String)> {
    let result = journal.book(|book| book.result(&key(task)))?;
    result.scripts.into_iter().next().map(|script| (script.outcome, script.output))
}

#[test]
fn what_was_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.start(key("a"), 0, span(1), 1).unwrap();
    journal.record(finished("a", "line 1\nline 2 \"grün\""));
    drop(journal);
    let journal = open(&dir);
    assert_eq!(result(&journal, "a"), Some(("FAILED".into(), "line 1\nline 2 \"grün\"".into())));
    assert_eq!(journal.book(|book| book.unacked_after(0)).len(), 1);
}

#[test]
fn a_start_is_on_disk_when_the_call_returns() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.start(key("a"), 0, span(1), 1).unwrap();
    let text = fs::read_to_string(log(&dir)).unwrap();
    let (crc, json) = text.lines().last().unwrap().split_once(' ').unwrap();
    assert_eq!(crc, format!("{:08x}", crc32fast::hash(json.as_bytes())));
    assert!(json.starts_with(r#"{"event":"started","key":{"task":"a""#), "{json}");
}

/// Span and current script of a running order.
fn running(journal: &Journal, task: &str) -> Option<(Span, Option<(u32, i64)>)> {
    let running = journal.book(|book| book.running_order(&key(task)))?;
    Some((running.span, running.current))
}

#[test]
fn start_without_an_end_is_running_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).start(key("a"), 0, span(2), 1).unwrap();
    for _ in 0..2 {
        assert_eq!(running(&open(&dir), "a"), Some((span(2), Some((0, 1)))));
    }
}

#[test]
fn first_script_survives_a_restart_and_older_lines_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let from_1 = Span { first: 1, count: 2 };
    open(&dir).start(key("a"), 1, from_1, 1).unwrap();
    let older = r#"{"event":"started","key":{"task":"b","ordinal":0,"attempt":1},"script":0,"script_count":1,"at":1}"#;
    append(&dir, format!("{:08x} {older}\n", crc32fast::hash(older.as_bytes())).as_bytes());
    let journal = open(&dir);
    assert_eq!(running(&journal, "a"), Some((from_1, Some((1, 1)))));
    assert_eq!(running(&journal, "b"), Some((span(1), Some((0, 1)))));
}

#[test]
fn a_torn_or_corrupt_tail_is_cut_off() {
    let whole = encode(&finished("b", "")).unwrap();
    let mut wrong = whole.clone();
    wrong[20] ^= 1;
    for tail in [&whole[..1], &whole[..whole.len() - 1], &wrong, b"\n", b"\0\0\0", b"\xff\n"] {
        let dir = tempfile::tempdir().unwrap();
        open(&dir).record(finished("a", ""));
        append(&dir, tail);
        let journal = open(&dir);
        assert!(result(&journal, "a").is_some() && result(&journal, "b").is_none(), "{tail:?}");
        journal.record(finished("c", ""));
        drop(journal);
        assert!(result(&open(&dir), "c").is_some(), "lines after a cut tail are readable");
        assert!(!dir.path().join("journal.damaged").exists());
    }
}

#[test]
fn damaged_line_is_lost_alone_and_the_file_is_saved_aside() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).record(finished("a", ""));
    append(&dir, b"00000000 {}\n");
    append(&dir, &encode(&finished("b", "")).unwrap());
    let damaged = fs::read(log(&dir)).unwrap();
    let id = fs::read_to_string(dir.path().join("agent-id")).unwrap();
    let DataDir { identity, journal, .. } = opened(dir.path());
    // The damaged line may have been a start.
    assert_ne!(identity.agent_id, id.trim_end());
    // A forgotten readable start would let its script start again.
    assert!(result(&journal, "a").is_some() && result(&journal, "b").is_some());
    assert_eq!(fs::read(dir.path().join("journal.damaged")).unwrap(), damaged);
}

#[test]
fn when_the_disk_is_full_nothing_starts_and_later_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.fill_disk();
    journal.start(key("a"), 0, span(1), 1).unwrap_err();
    journal.start(key("b"), 0, span(1), 1).unwrap();
    drop(journal);
    let journal = open(&dir);
    assert_eq!((running(&journal, "a"), running(&journal, "b")), (None, Some((span(1), Some((0, 1))))));
}

#[test]
fn failed_write_of_a_finish_is_repeated_with_the_next_line() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.start(key("a"), 0, span(1), 1).unwrap();
    journal.fill_disk();
    journal.record(finished("a", "kept"));
    assert!(result(&journal, "a").is_some());
    journal.start(key("b"), 0, span(1), 1).unwrap();
    drop(journal);
    assert_eq!(result(&open(&dir), "a"), Some(("FAILED".into(), "kept".into())));
}

#[test]
fn opening_drops_only_the_output_of_acknowledged_results() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.record(finished("a", "output of a"));
    journal.record(finished("b", "output of b"));
    journal.record(Event::Acked { key: key("a") });
    drop(journal);
    let journal = open(&dir);
    assert_eq!(result(&journal, "a"), Some(("FAILED".into(), String::new())));
    assert_eq!(result(&journal, "b"), Some(("FAILED".into(), "output of b".into())));
    let text = fs::read_to_string(log(&dir)).unwrap();
    assert!(!text.contains("output of a") && text.contains("output of b"));
}

#[test]
fn a_grown_file_is_rewritten_while_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    let output = "x".repeat(1 << 20);
    let mut largest = 0;
    for number in 0..20 {
        let task = number.to_string();
        journal.record(finished(&task, &output));
        journal.record(Event::Acked { key: key(&task) });
        largest = largest.max(fs::metadata(log(&dir)).unwrap().len());
    }
    journal.record(finished("last", "kept"));
    assert!(largest < COMPACT_BYTES + (2 << 20), "{largest}");
    drop(journal);
    let journal = open(&dir);
    assert!((0..20).all(|number| result(&journal, &number.to_string()).is_some()));
    assert_eq!(result(&journal, "last").unwrap().1, "kept");
}

#[test]
fn data_directory_is_for_one_agent() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/data");
    let DataDir { lock, .. } = opened(&dir);
    assert!(matches!(open_data_dir(&dir), Err(Error::Locked(locked)) if locked == dir));
    drop(lock);
    opened(&dir);
}

#[test]
fn dropped_lock_is_free_despite_a_childs_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let DataDir { lock, .. } = opened(dir.path());
    let _of_a_child = lock.try_clone().unwrap();
    drop(lock);
    opened(dir.path());
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_with_its_path() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    let dir = parent.path().join("file/data");
    let error = open_data_dir(&dir).unwrap_err();
    assert!(error.to_string().starts_with(&format!("data directory {}: ", dir.display())), "{error}");
}

#[test]
fn crash_before_the_new_journal_leaves_no_old_id() {
    let dir = tempfile::tempdir().unwrap();
    let old = opened(dir.path()).identity.agent_id;
    fs::remove_file(log(&dir)).unwrap();
    let content = read(dir.path()).unwrap();
    let new = agent_id::load_or_make(dir.path(), content.is_whole).unwrap().agent_id;
    assert!(!log(&dir).exists(), "the id precedes the journal");
    let after_crash = opened(dir.path()).identity.agent_id;
    assert!(new != old && after_crash != old);
    assert_eq!(opened(dir.path()).identity.agent_id, after_crash);
}

#[test]
fn journal_without_its_first_line_is_whole_if_it_has_another() {
    let dir = tempfile::tempdir().unwrap();
    let id = opened(dir.path()).identity.agent_id;
    fs::write(log(&dir), encode(&finished("a", "")).unwrap()).unwrap();
    assert_eq!(opened(dir.path()).identity.agent_id, id, "a journal of an earlier version");
}

#[test]
fn complete_last_line_that_is_damaged_is_a_loss() {
    for (tail, is_loss) in
        [(&b"00000000 {}\n"[..], true), (b"\0\0\n", true), (b"00000000 {", false), (b"\0", false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let id = opened(dir.path()).identity.agent_id;
        append(&dir, tail);
        assert_eq!(opened(dir.path()).identity.agent_id != id, is_loss, "{tail:?}");
    }
}

#[test]
fn finish_is_synced_unless_runs_prove_it() {
    let facts = RunFacts {
        interpreter: "/bin/sh".into(),
        signal: None,
        containment: "MARK".into(),
        left_processes: Vec::new(),
        left_processes_count: 0,
    };
    let bare = |outcome| Record::bare(0, outcome, "", 1);
    let ran = Record { run: Some(Box::new(facts)), ..bare(ScriptOutcome::Failed) };
    assert!(are_proved_by_runs(std::slice::from_ref(&ran)));
    assert!(are_proved_by_runs(&[ran.clone(), bare(ScriptOutcome::Skipped)]));
    assert!(!are_proved_by_runs(&[ran, bare(ScriptOutcome::Stopped)]));
    assert!(!are_proved_by_runs(&[bare(ScriptOutcome::Skipped)]));
    assert!(!are_proved_by_runs(&[bare(ScriptOutcome::Rejected)]));
}

/// With any bytes in its log, a journal opens, and takes and keeps new results.
// The harness of mutated inputs runs on the machines of developers.
#[cfg(unix)]
#[test]
fn fuzz_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.start(key("a"), 0, span(2), 1).unwrap();
    journal.record(finished("a", "line 1\nline 2 \"grün\""));
    journal.start(key("b"), 0, span(1), 1).unwrap();
    drop(journal);
    let sample = fs::read(log(&dir)).unwrap();
    testkit::fuzz("journal", &[sample], |input| {
        let dir = tempfile::tempdir().unwrap();
        // The first opening creates the other files of the directory.
        drop(open(&dir));
        fs::write(log(&dir), input).unwrap();
        let journal = open(&dir);
        journal.record(finished("new", "output"));
        drop(journal);
        assert_eq!(result(&open(&dir), "new"), Some(("FAILED".into(), "output".into())));
    });
}
