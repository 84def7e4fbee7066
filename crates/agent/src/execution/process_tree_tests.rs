use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, Stdio},
};

use super::*;

/// Number of live processes with the mark.
pub(crate) fn carriers(mark: &str) -> usize {
    let wanted = format!("{}={mark}", MARK);
    let carries = |entry: &fs::DirEntry| {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    fs::read_dir("/proc").unwrap().flatten().filter(carries).count()
}

/// Starts a marked `cat`, with `before` in front on its command line. It is running on return.
fn cat(mark: &str, before: &[&str]) -> Child {
    let words = [before, &["cat"]].concat();
    let mut cat = Command::new(words[0])
        .args(&words[1..])
        .env(MARK, mark)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(echoes(&mut cat));
    cat
}

fn echoes(cat: &mut Child) -> bool {
    let mut answer = String::new();
    let asked = cat.stdin.as_mut().unwrap().write_all(b"x\n");
    asked.is_ok()
        && BufReader::new(cat.stdout.as_mut().unwrap()).read_line(&mut answer).is_ok()
        && answer == "x\n"
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn kills_by_the_exact_mark_whoever_left_the_group() {
    let mark = unique("marked");
    // A group leader cannot leave its group: setsid forks, and waits for its child.
    let mut gone = cat(&mark, &["setsid", "--wait"]);
    let mut spared = cat(&format!("{mark}0"), &[]);
    assert!(kill(None, &mark));
    assert_eq!(gone.wait().unwrap().signal(), Some(9));
    // The output ends only when all writers have closed it, including the child that left.
    assert_eq!(std::io::read_to_string(gone.stdout.take().unwrap()).unwrap(), "");
    assert!(echoes(&mut spared));
    spared.kill().unwrap();
    spared.wait().unwrap();
}

#[test]
fn kills_the_group_even_where_the_mark_was_cleared() {
    let mark = unique("group");
    let mut gone = cat(&mark, &["env", "-i"]);
    assert!(kill(Some(gone.id()), &mark));
    assert_eq!(gone.wait().unwrap().signal(), Some(9));
}

/// Each process has ended, or runs another program, before it can be inspected twice.
#[test]
fn kills_what_forks_and_executes_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sh");
    for (name, content) in [("exec", "exec setsid sh \"$0\""), ("fork", "setsid sh \"$0\" &")] {
        fs::write(&file, format!("echo; {content}")).unwrap();
        for round in 0..5 {
            let mark = unique(&format!("{name}-{round}"));
            let mut script = Command::new("sh")
                .arg(&file)
                .env(MARK, &mark)
                .process_group(0)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = BufReader::new(script.stdout.take().unwrap());
            output.read_line(&mut String::new()).unwrap();
            assert!(kill(None, &mark));
            // The output ends when its last writer closes it.
            let (closed, ended) = std::sync::mpsc::channel();
            thread::spawn(move || closed.send(std::io::read_to_string(output).is_ok()));
            assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(true), "{mark} lives on");
            script.wait().unwrap();
        }
    }
}

#[test]
fn nothing_to_kill_is_done_at_once() {
    assert!(kill(None, &unique("nobody")));
    assert!(kill(Some(u32::MAX), &unique("nobody")));
}

#[test]
fn a_process_without_an_environment_is_alive_and_none_of_ours() {
    let mut bare =
        Command::new("cat").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert!(echoes(&mut bare));
    let id = Pid::from_child(&bare);
    assert!(!may_show_one_yet(id) && matches!(environ(id), Environ::Empty));
    assert!(kill(None, &unique("bare")));
    assert!(echoes(&mut bare));
    bare.kill().unwrap();
    bare.wait().unwrap();
}
