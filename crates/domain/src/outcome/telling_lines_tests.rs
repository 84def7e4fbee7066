//! Outputs of common tools, each with the lines that say what went wrong.

use proptest::prelude::*;

use super::*;

fn told(output: &str) -> Vec<&str> {
    let TellingLines { lines, number } = telling_lines(output);
    lines[lines.len().saturating_sub(number)..].iter().map(|line| line.text).collect()
}

#[track_caller]
fn check(output: &str, expected: &[&str]) {
    assert_eq!(told(output), expected, "{output}");
}

#[test]
fn every_pattern_is_one() {
    assert!(PATTERNS.is_some());
}

#[test]
fn package_managers_name_the_package() {
    check(
        "Reading package lists... 0%\nReading package lists... Done\nBuilding dependency tree\n\
         E: Unable to locate package nginxx\n",
        &["E: Unable to locate package nginxx"],
    );
    check(
        "(Reading database ... 5%\n(Reading database ... 100%\nPreparing to unpack .../foo.deb ...\n\
         dpkg: error processing package foo (--configure):\nSetting up bar (1.2) ...\n\
         Errors were encountered while processing:\n foo\n\
         E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
        &["dpkg: error processing package foo (--configure):"],
    );
    check(
        "(1/5): foo.rpm   45% [====     ] 1.2 MB/s | 3 MB  00:02\nError: Unable to find a match: foo\n",
        &["Error: Unable to find a match: foo"],
    );
    check(
        "Collecting requests\n  Downloading requests-2.tar.gz (1.1 MB)\n     \u{2501}\u{2501}\u{2501}\u{2501}\u{2501} 1.1/1.1 MB 3.4 MB/s eta 0:00:00\n\
         ERROR: Could not find a version that satisfies the requirement nope (from versions: none)\n\
         ERROR: No matching distribution found for nope\n[notice] A new release of pip failed to amuse\n",
        &[
            "ERROR: Could not find a version that satisfies the requirement nope (from versions: none)",
            "ERROR: No matching distribution found for nope",
        ],
    );
    check(
        "npm http fetch GET 404\nnpm ERR! code E404\nnpm ERR! 404 Not Found - GET https://registry/x\nnpm ERR!\n\
         npm ERR! A complete log of this run can be found in: /root/.npm/_logs/1-debug.log\n",
        &["npm ERR! 404 Not Found - GET https://registry/x"],
    );
}

#[test]
fn downloads_and_containers_name_the_cause() {
    check(
        "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n\
                                         Dload  Upload   Total   Spent    Left  Speed\n\
         \x20 0     0    0     0    0     0      0      0 --:--:--  0:00:05 --:--:--     0\n\
         curl: (6) Could not resolve host: mirror.example\n",
        &["curl: (6) Could not resolve host: mirror.example"],
    );
    check(
        "a1b2c3d4e5f6: Pulling fs layer\n123456789012: Downloading\na1b2c3d4e5f6: Pull complete\n\
         Error response from daemon: pull access denied for x\n",
        &["Error response from daemon: pull access denied for x"],
    );
}

#[test]
fn windows_tools_name_the_cause() {
    check(
        "Get-Item : Cannot find path 'C:\\x' because it does not exist.\nAt C:\\Temp\\a.ps1:3 char:1\n\
         + Get-Item C:\\x\n+ ~~~~~~~~~~~~~\n    + CategoryInfo          : ObjectNotFound: (C:\\x:String) [Get-Item], ItemNotFoundException\n\
         \x20   + FullyQualifiedErrorId : PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand\n",
        &["Get-Item : Cannot find path 'C:\\x' because it does not exist."],
    );
    check(
        "MSI (s) (A4:5C) [10:11:12:345]: Product: Tool -- Error 1722. There is a problem with this package.\n\
         Action ended 10:11:12: INSTALL. Return value 3.\n\
         MSI (c) (A4:5C) [10:11:12:400]: MainEngineThread is returning 1603\n",
        &[
            "MSI (s) (A4:5C) [10:11:12:345]: Product: Tool -- Error 1722. There is a problem with this package.",
        ],
    );
    check(
        "'nope' is not recognized as an internal or external command,\noperable program or batch file.\n",
        &["'nope' is not recognized as an internal or external command,"],
    );
    check("正在安装\n拒绝访问。\n", &["拒绝访问。"]);
}

#[test]
fn tracebacks_end_with_their_exception() {
    check(
        "Traceback (most recent call last):\n  File \"/tmp/a.py\", line 3, in <module>\n    raise ValueError('failed to read')\n\
         ValueError: bad disk\n",
        &["ValueError: bad disk"],
    );
    check(
        "Exception in thread \"main\" java.io.IOException: no route\n\tat com.x.Main.run(Main.java:12)\n\t... 3 more\n",
        &["Exception in thread \"main\" java.io.IOException: no route"],
    );
    check("requests.exceptions.ConnectTimeout: host-1\n", &["requests.exceptions.ConnectTimeout: host-1"]);
}

#[test]
fn ansible_names_the_failed_task() {
    check(
        "TASK [install x] *****************\nok: [desktop-1]\nFAILED - RETRYING: install x (3 retries left).\n\
         fatal: [desktop-2]: FAILED! => {\"msg\": \"no such package\"}\nPLAY RECAP ****************\n\
         desktop-2 : ok=1    changed=0    unreachable=0    failed=1\n",
        &["fatal: [desktop-2]: FAILED! => {\"msg\": \"no such package\"}"],
    );
}

#[test]
fn failure_without_a_cause_gives_way_to_other_text() {
    for end in [
        "exit 1",
        "exit status 1",
        "make: *** [all] Error 2",
        "FAILED",
        "Command failed.",
        "rc=7",
        "error: exited with code 1",
        "process returned non-zero exit status 127.",
    ] {
        check(&format!("the mirror was gone\n50%\n{end}\n"), &["the mirror was gone"]);
        check(&format!("{end}\n"), &[end]);
    }
}

#[test]
fn trace_of_a_shell_counts_only_alone() {
    check("+ test -f /x\n+ grep -q error /x\n", &["+ grep -q error /x"]);
    check(
        "+ cat /x\ncat: /x: No such file or directory\n+ exit 1\n",
        &["cat: /x: No such file or directory"],
    );
}

#[test]
fn warnings_and_zero_counts_are_no_errors() {
    check(
        "WARNING: failed to load the theme\n0 errors, 3 warnings\nlast step\n",
        &["WARNING: failed to load the theme", "0 errors, 3 warnings", "last step"],
    );
    check(
        "[10:11:12] INFO no failed jobs\n2026-11-24T10:11:12Z ERROR no route\n",
        &["2026-11-24T10:11:12Z ERROR no route"],
    );
}

#[test]
fn lines_have_the_offsets_of_their_ends() {
    let output = "E: one\n\nE: two\n";
    let ends: Vec<usize> = telling_lines(output).lines.iter().map(|line| line.end).collect();
    assert_eq!(ends, [7, 15]);
    let many = "E: x1\n".to_owned() + &(0..20).map(|number| format!("E: y{number}\n")).collect::<String>();
    assert_eq!(told(&many).len(), ERROR_LINES);
}

proptest! {
    #[test]
    fn any_output_has_lines_of_its_own(output in any::<String>()) {
        for line in telling_lines(&output).lines {
            prop_assert!(output.get(..line.end).unwrap().trim_end().ends_with(line.text));
        }
    }
}
