//! PowerShell, and a stand-in where it is not installed.

use std::{
    env,
    path::{Path, PathBuf},
};

use proto::{agent::Order, types::Script};

use crate::{fake_worker::FakeWorker, order, start, start_with};

fn powershell(name: &str, content: &str) -> Order {
    let script = Script {
        script_id: String::new(),
        script_type: "POWERSHELL".to_owned(),
        content: content.to_owned(),
    };
    Order { scripts: vec![script], ..order(name, &[]) }
}

/// Program that stands for PowerShell: cargo builds it together with this test.
fn stand_in() -> PathBuf {
    let test = env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap().join("examples");
    let program = directory.join("powershell-stand-in").with_extension(env::consts::EXE_EXTENSION);
    assert!(program.is_file(), "build the examples first: {}", program.display());
    program
}

#[tokio::test]
async fn configured_program_gets_the_start_file_and_the_script() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start_with(&worker, dir.path(), |config| config.powershell = Some(stand_in()));
    let mut session = worker.session().await;
    session.order(powershell("stand-in", "param($a)\nexit 7")).await;
    let script = session.result().await.scripts.remove(0);
    assert_eq!((script.outcome.as_str(), script.exit_code), ("FAILED", Some(7)), "{script:?}");
    let options = if cfg!(windows) {
        "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File"
    } else {
        "-NoLogo -NoProfile -NonInteractive -File"
    };
    assert_eq!(script.output, format!("{options} true \"\\u{{feff}}param($a)\\nexit 7\"\n"));
    agent.stop().await;
}

#[tokio::test]
async fn installed_powershell_keeps_codes_and_text() {
    if !["/usr/bin/pwsh", "/usr/local/bin/pwsh"].iter().any(|program| Path::new(program).exists()) {
        skip("PowerShell is not installed");
        return;
    }
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let cases = [
        ("text", "Write-Output 'grün ✓'", 0, "grün ✓"),
        ("exit", "exit 5", 5, ""),
        ("program", "/bin/sh -c 'exit 7'", 7, ""),
        ("error", "throw 'broken'", 1, "broken"),
        ("goes-on", "Get-Item /no/such\nWrite-Output 'after'", 0, "after"),
        ("param", "param([int] $a = 5)\nWrite-Output $a", 0, "5"),
        ("using", "using namespace System.Text\n[StringBuilder]::new('x').ToString()", 0, "x"),
    ];
    for (name, content, code, text) in cases {
        session.order(powershell(name, content)).await;
        let script = session.result().await.scripts.remove(0);
        assert_eq!(script.exit_code, Some(code), "{name}: {script:?}");
        assert!(script.output.contains(text), "{name}: {script:?}");
    }
    agent.stop().await;
}

#[expect(clippy::print_stderr, reason = "a skipped test reports its reason")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}
