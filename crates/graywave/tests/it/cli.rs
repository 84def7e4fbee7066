//! The commands of operators on a running cluster: every form of output, what is told of what goes wrong, and exit codes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use insta::{Settings, assert_snapshot};
use serde_json::Value;

use crate::harness::{Dev, directory, graywave, wait_for};

const DESKTOPS: u32 = 6;
/// The same canaries each time.
const SEED: &str = "--seed=7";

struct Operator {
    dev: Dev,
    directory: tempfile::TempDir,
}

impl Operator {
    fn new() -> Self {
        let directory = directory();
        let dev = Dev::start(&directory.path().join("data"), DESKTOPS, &[]);
        Self { dev, directory }
    }

    fn text(&self, key: &str) -> &str {
        self.dev.ready[key].as_str().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command without a credential.
    fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = graywave();
        command.args(arguments).env("GRAYWAVE_CONTEXTS", self.path("contexts.toml")).stdin(Stdio::null());
        for name in ["GRAYWAVE_GRPC", "GRAYWAVE_TOKEN", "GRAYWAVE_CONTEXT", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.env("GRAYWAVE_GRPC", self.text("grpc")).env("GRAYWAVE_TOKEN", self.text("token"));
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A line of a shell that knows the cluster.
    fn shell(&self, line: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("GRAYWAVE_CONTEXTS", self.path("contexts.toml")).stdin(Stdio::null());
        command.env("GRAYWAVE_GRPC", self.text("grpc")).env("GRAYWAVE_TOKEN", self.text("token"));
        command.output().unwrap()
    }

    /// What a command that is good prints.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// The command, its exit code, and what it says to whom.
    fn told(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let arguments: Vec<_> = command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
        let code = output.status.code().unwrap();
        format!("$ graywave {}\n{out}{err}-> {code}\n", arguments.join(" "))
    }

    fn task(&self, arguments: &[&str]) -> String {
        let all = [&["run", "--detach", "--quiet"][..], arguments].concat();
        self.good(&all).trim().to_owned()
    }

    fn ended(&self, task_id: &str) -> String {
        wait_for("the task's end", || {
            let task = self.json(&["show", task_id]);
            (!task["end_time"].is_null()).then(|| task["status"].as_str().unwrap().to_owned())
        })
    }
}

/// What differs from run to run is as wide as it was.
fn settings() -> Settings {
    let mut settings = Settings::clone_current();
    for (pattern, with) in [
        (r"worker-[0-9a-f]{32}", "worker-WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW"),
        (r"\b[0-9a-f]{64}\b", "SHA256"),
        (r"\b[0-9a-f]{32}\b", "IDIDIDIDIDIDIDIDIDIDIDIDIDIDIDID"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD HH:MM:SS"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS"),
        (r"after \d+m?s", "after TOOK"),
        (r" \d+s( |\n)", " Ns$1"),
        (r"(host name|time zone|os_host_name|time_zone)(.?:) .*", "$1$2 ..."),
        (r"127\.0\.0\.1:\d+ *", "127.0.0.1:PORT "),
        (r"graywave-test-[0-9A-Za-z]+", "graywave-test"),
        (r"/[^ ]*/graywave-test", "/TMP/graywave-test"),
        (r"(token|key):[0-9A-Za-z]+", "$1:ID"),
        (r#"(credential|source|request_id|user_agent|"?seed"?)("?:) .*"#, "$1$2 ..."),
    ] {
        settings.add_filter(pattern, with);
    }
    settings
}

const FORMS: [&str; 5] = ["table", "wide", "json", "yaml", "name"];

#[test]
fn every_list_has_every_form() {
    let operator = Operator::new();
    let _guard = settings().bind_to_scope();
    let script = operator.path("patch.sh");
    fs::write(&script, "echo patched\ncase $GRAYWAVE_DESKTOP_ID in *2) exit 3;; esac\n").unwrap();
    let script = script.to_str().unwrap();
    let run =
        ["run", script, "--canary-desktop=desktop-0002", "--canary=2", SEED, "--fail-threshold=1", "--all"];
    let halted = operator.output(&run);
    assert_eq!(halted.status.code(), Some(3), "{}", String::from_utf8_lossy(&halted.stderr));
    let out = String::from_utf8(halted.stdout).unwrap();
    assert!(out.contains("status:     HALTED") && out.contains("1 of 2 targets failed"), "{out}");
    let err = String::from_utf8(halted.stderr).unwrap();
    assert!(err.contains("wave 1: halted") && err.contains("graywave failures "), "{err}");
    // The same content is the same script.
    operator.task(&[script, "--desktop", "desktop-0001"]);
    assert_eq!(operator.good(&["scripts", "-o", "name"]).lines().count(), 1);
    let task_id = operator.good(&["ls", "--status", "HALTED", "-o", "name"]).trim().to_owned();
    let script_id = operator.good(&["scripts", "-o", "name"]).trim().to_owned();
    operator.ended(operator.good(&["ls", "--limit", "1", "-o", "name"]).trim());

    let lists: [(&str, Vec<&str>); 8] = [
        ("ls", vec!["ls", "--status", "HALTED"]),
        ("desktops", vec!["desktops", "--limit", "2"]),
        ("workers", vec!["workers"]),
        ("records", vec!["records", &task_id, "--status", "FAILED"]),
        ("failures", vec!["failures", &task_id]),
        ("scripts", vec!["scripts"]),
        ("revisions", vec!["scripts", "revisions", &script_id]),
        ("audit", vec!["audit", "--action", "workspace:scripts:create"]),
    ];
    for (name, arguments) in lists {
        for form in FORMS {
            let text = operator.good(&[&arguments[..], &["-o", form]].concat());
            if form == "json" {
                let parsed: Value = serde_json::from_str(&text).unwrap();
                assert!(parsed.is_array(), "{name}: {text}");
            }
            assert_snapshot!(format!("{name}_{form}"), text);
        }
    }
    for form in ["table", "wide", "name"] {
        let text = operator.good(&["show", &task_id, "-o", form]);
        assert_snapshot!(format!("show_{form}"), text);
    }
    assert_eq!(operator.json(&["show", &task_id])["status"], "HALTED");
    assert_snapshot!("explain", operator.good(&["explain", &task_id, "desktop-0002"]));
    assert_snapshot!("script", operator.good(&["scripts", "show", &script_id]));
    assert_snapshot!("desktop", operator.good(&["desktops", "show", "desktop-0002"]));
    assert_eq!(
        operator.good(&["scripts", "show", &script_id, "--content"]),
        fs::read_to_string(script).unwrap()
    );
    let logs = operator.good(&["logs", "desktop-0002", "--task", &task_id]);
    assert_eq!(logs, "patched\n");
    let plan = ["preview", "--waves=1,50%:1,rest:20%/2", SEED, "--all", "--", "true"];
    assert_snapshot!("preview", operator.good(&plan));
    let plan = ["preview", "--waves=1,rest", SEED, "--all", "--with-desktops", "-o=json", "--", "true"];
    let plan: Value = serde_json::from_str(&operator.good(&plan)).unwrap();
    assert_eq!(plan["waves"][1]["desktop_ids"].as_array().unwrap().len(), 5);
}

#[test]
fn a_mistake_is_told_with_what_to_do_and_has_its_exit_code() {
    let operator = Operator::new();
    let _guard = settings().bind_to_scope();
    let ended = operator.task(&["--desktop", "desktop-0001", "--", "true"]);
    operator.ended(&ended);
    let mistakes: [&[&str]; 26] = [
        &["run", "--canary", "5", "--", "true"],
        &["run", "--all"],
        &["run", "--canary", "50", "--all", "--", "true"],
        &["run", "--canary", "5", "--fail-threshold", "7", "--all", "--", "true"],
        &["run", "--canary", "five", "--all", "--", "true"],
        &["run", "--waves", "2,2", "--all", "--", "true"],
        &["run", "--desktop", "nobody", "--", "true"],
        &["run", "--tag", "no=such", "--", "true"],
        &["run", "--script", "abc", "--all"],
        &["run", "nowhere.sh", "--all"],
        &["run", "--rollout", "/etc/hostname", "--all", "--", "true"],
        &["show", "123"],
        &["pause", &ended],
        &["approve", &ended],
        &["concurrency", &ended, "many"],
        &["explain", &ended, "nobody"],
        &["logs", "nobody"],
        &["ls", "--status", "NICE"],
        &["retry"],
        &["scripts", "show", "nope"],
        &["desktops", "show", "nobody"],
        &["desktops", "tag", "nobody", "a=b"],
        &["workers", "drain", "nobody"],
        &["config", "use", "nowhere"],
        &["ls", "--context", "nowhere"],
        &["frobnicate"],
    ];
    let told: Vec<String> = mistakes.iter().map(|it| operator.told(&mut operator.command(it))).collect();
    assert_snapshot!("mistakes", told.join("\n"));

    let mut elsewhere = operator.command(&["ls"]);
    let told = [
        operator.told(operator.command(&["ls"]).env("GRAYWAVE_TOKEN", "wrong")),
        operator.told(operator.command(&["ls"]).env("GRAYWAVE_TOKEN", "w\u{f6}rong")),
        operator.told(elsewhere.env("GRAYWAVE_GRPC", "127.0.0.1:1")),
        operator.told(operator.command(&["ls"]).env("GRAYWAVE_GRPC", "graywave.example.com:9090")),
        operator.told(operator.command(&["ls"]).env("GRAYWAVE_GRPC", "not an address")),
        operator.told(&mut operator.bare(&["ls"])),
    ];
    assert_snapshot!("connections", told.join("\n"));
}

#[test]
fn a_rollout_is_held_approved_stopped_and_retried() {
    let operator = Operator::new();
    let gate = operator.path("gate");
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    // Paused and resumed, with another concurrency, approved, and run to its end.
    let task = operator.task(&["--waves=1,rest", "--approve-before=2", "--all", "--", &waits]);
    operator.good(&["pause", &task]);
    assert_eq!(operator.json(&["show", "latest"])["paused"], true);
    operator.good(&["resume", &task]);
    operator.good(&["concurrency", &task, "2"]);
    assert_eq!(operator.json(&["show", &task])["max_concurrency"], 2);
    operator.good(&["concurrency", &task, "unlimited"]);
    fs::write(&gate, "").unwrap();
    wait_for("the wait for approval", || {
        let task = operator.json(&["show", &task]);
        task["waiting_for"].as_str().filter(|it| it.contains("approv")).map(|_| ())
    });
    assert!(operator.good(&["approve", &task]).contains("status:"));
    assert_eq!(operator.ended(&task), "SUCCESS");
    let watched = operator.output(&["watch", &task]);
    assert_eq!(watched.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&watched.stderr).contains("wave 2: approved"));

    // Stopped; a rollout that was stopped is none that succeeded.
    fs::remove_file(&gate).unwrap();
    let task = operator.task(&["--all", "--", &waits]);
    operator.good(&["stop", &task]);
    assert_eq!(operator.ended(&task), "STOPPED");
    assert_eq!(operator.output(&["watch", &task]).status.code(), Some(4));
    // Retried, to a good end.
    fs::write(&gate, "").unwrap();
    let retried = operator.output(&["retry", &task, "-o", "name"]);
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    // Something fails and no threshold halts it.
    let failed = operator.output(&["run", "--desktop=desktop-0001", "--quiet", "--", "exit 9"]);
    assert_eq!((failed.status.code(), failed.stderr.is_empty()), (Some(1), true));
    let what_if = operator.good(&["what-if", "latest", "--total-fail-threshold", "1"]);
    assert!(what_if.contains("HALTED"), "{what_if}");

    // The project.
    operator.good(&["freeze", "--reason", "until Monday"]);
    assert!(operator.good(&["limits", "--max-in-flight", "9"]).contains("until Monday"));
    let project = operator.json(&["unfreeze"]);
    assert_eq!(
        (&project["freeze"]["frozen"], &project["limits"]["max_in_flight"]),
        (&Value::Bool(false), &9.into())
    );
}

#[test]
fn how_a_rollout_ended_counts_also_where_nobody_reads_it() {
    let operator = Operator::new();
    let line = |rest: &str| {
        let run = format!("{} run --canary 2 --all -- 'exit 1'", env!("CARGO_BIN_EXE_graywave"));
        let output = operator.shell(&format!("({run}; echo ended with $? >&3) 3>&1 {rest}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // What cannot be written to a full disk is a failure of this machine.
    for (nobody, code) in [
        (">/dev/null 2>&1", 3),
        (">/dev/full 2>/dev/null", 1),
        (">&- 2>/dev/null", 3),
        ("2>/dev/full >/dev/null", 3),
        ("2>&- >/dev/null", 3),
    ] {
        assert_eq!(line(nobody).trim(), format!("ended with {code}"), "{nobody}");
    }
    let piped = format!(
        "{{ {} run --canary 2 --all -- 'exit 1'; echo ended with $? >&2; }} | true",
        env!("CARGO_BIN_EXE_graywave")
    );
    let output = operator.shell(&piped);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ended with 3"), "{output:?}");
}

#[test]
fn what_people_and_desktops_say_does_not_control_the_terminal() {
    let operator = Operator::new();
    let evil = "echo \u{1b}[31mX\u{1b}]0;pwn\u{7} \u{202e}txt";
    let task = operator.task(&["--desktop", "desktop-0001", "--", evil]);
    operator.ended(&task);
    operator.good(&["desktops", "tag", "desktop-0001", "evil=\u{202e}x"]);
    operator.good(&["freeze", "--reason", evil]);
    for command in [
        &["show", &task][..],
        &["show", &task, "-o", "wide"],
        &["ls", "-o", "wide"],
        &["limits"],
        &["desktops", "show", "desktop-0001"],
        &["desktops", "-o", "wide"],
        &["logs", "desktop-0001"],
        &["explain", &task],
    ] {
        let shown = operator.good(command);
        let bad = shown.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{command:?}: {shown:?}");
    }
}

#[test]
fn what_runs_may_come_from_standard_input_and_looking_saves_nothing() {
    let operator = Operator::new();
    let script = operator.path("patch.sh");
    fs::write(&script, "echo patched\r\n").unwrap();
    let preview = operator.good(&["preview", script.to_str().unwrap(), "--canary", "2", "--all"]);
    assert!(preview.contains("at worst"), "{preview}");
    assert_eq!(operator.good(&["scripts", "-o", "name"]), "", "looking saves nothing");
    let binary = env!("CARGO_BIN_EXE_graywave");
    let output = operator.shell(&format!("echo 'echo from a pipe' | {binary} run - --desktop desktop-0001"));
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("saved stdin as script") && told.contains("what it printed: graywave logs"),
        "{told}"
    );
    assert_eq!(operator.good(&["logs", "desktop-0001"]), "from a pipe\n");
    // Not refused: somebody may mean it.
    let output = operator.output(&["run", script.to_str().unwrap(), "--desktop", "desktop-0001"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("patch.sh has the line ends of Windows"), "{told}");
    let output = operator.shell(&format!(
        "printf 'desktop-0001\\ndesktop-0002\\n' | {binary} run --desktops-file - --quiet -- true"
    ));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(operator.json(&["show", "latest"])["target_count"], 2);
}

#[test]
fn desktops_and_scripts_are_looked_after() {
    let operator = Operator::new();
    operator.good(&["desktops", "tag", "desktop-0001", "ring=early,owner=ann"]);
    assert_eq!(operator.good(&["desktops", "--tag", "ring=early", "-o", "name"]), "desktop-0001\n");
    let task = operator.task(&["--tag", "ring=early", "--", "true"]);
    assert_eq!(operator.ended(&task), "SUCCESS");
    operator.good(&["desktops", "tag", "desktop-0001", "--remove", "ring"]);
    assert_eq!(operator.good(&["desktops", "--tag", "ring=early", "-o", "name"]), "");
    operator.good(&["desktops", "retire", "desktop-0002"]);
    assert_eq!(operator.good(&["desktops", "-o", "name"]).lines().count(), 5);
    assert_eq!(operator.good(&["desktops", "--only-retired", "-o", "name"]), "desktop-0002\n");
    operator.good(&["desktops", "unretire", "desktop-0002"]);
    wait_for("the desktop that is back", || {
        (operator.good(&["desktops", "--online", "-o", "name"]).lines().count() == 6).then_some(())
    });
    let revoked = operator.good(&["desktops", "revoke", "never-seen"]);
    assert!(revoked.contains("no desktop of this id has ever been connected"), "{revoked}");
    let token = operator.good(&["desktops", "enrol", "--desktop", "new-one"]);
    assert!(token.lines().count() == 1 && token.len() > 20, "{token}");

    let file = operator.path("a.ps1");
    fs::write(&file, "Get-Date\n").unwrap();
    let saved =
        operator.json(&["scripts", "save", file.to_str().unwrap(), "--description", "what time is it?"]);
    assert_eq!((&saved["name"], &saved["script_type"]), (&"a.ps1".into(), &"POWERSHELL".into()));
    let id = saved["script_id"].as_str().unwrap();
    let updated = operator.json(&["scripts", "update", id, "--name", "clock"]);
    assert_eq!(
        (&updated["name"], &updated["revision"], &updated["content"]),
        (&"clock".into(), &2.into(), &"Get-Date\n".into())
    );
    operator.good(&["scripts", "rm", id]);
    assert_eq!(operator.good(&["scripts", "-o", "name"]), "");
}

#[test]
fn contexts_are_kept_for_this_user_alone() {
    let operator = Operator::new();
    let _guard = settings().bind_to_scope();
    let (grpc, token) = (operator.text("grpc").to_owned(), operator.text("token").to_owned());
    let login = |context: &str, token: &str| {
        let mut command = operator.bare(&["login", "--context", context, "--grpc", &grpc]);
        let file = operator.path("token");
        fs::write(&file, format!("{token}\n")).unwrap();
        command.stdin(fs::File::open(file).unwrap()).output().unwrap()
    };
    let refused = login("prod", "wrong");
    assert_eq!(refused.status.code(), Some(5));
    let file = operator.path("contexts.toml");
    assert!(!file.exists(), "a token that is not good is not kept");
    assert!(login("prod", &token).status.success() && login("other", &token).status.success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let good = |arguments: &[&str]| {
        let output = operator.bare(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(good(&["desktops", "-o", "name"]).lines().count(), 6);
    assert_snapshot!("contexts", good(&["config"]));
    let shown = good(&["config", "show", "prod"]);
    assert!(!shown.contains(&token), "{shown}");
    assert_snapshot!("context", shown);
    good(&["config", "use", "prod"]);
    assert!(good(&["config"]).contains("*        prod"));
    good(&["config", "rm", "prod"]);
    assert!(good(&["config", "path"]).trim() == file.to_str().unwrap());
    let none = operator.bare(&["ls"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "none counts any more");
    // Others may read it: it is not used.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = operator.bare(&["ls", "--context", "other"]).output().unwrap();
    assert!(open.status.code() == Some(2) && String::from_utf8_lossy(&open.stderr).contains("chmod 600"));
}

#[test]
fn the_environment_of_a_dev_cluster_is_all_that_is_needed() {
    let operator = Operator::new();
    let environment = operator.path("data/env");
    let line = format!(". {} && {} desktops -o name", environment.display(), env!("CARGO_BIN_EXE_graywave"));
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("GRAYWAVE_CONTEXTS", operator.path("none"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).lines().count(),
        6,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_shell_is_offered_what_the_cluster_has() {
    let operator = Operator::new();
    let task = operator.task(&["--desktop", "desktop-0001", "--", "true"]);
    // As the function that bash is given asks.
    let offered = |words: &[&str]| {
        let mut command = operator.command(&[&["--", "graywave"], words].concat());
        command
            .env("GRAYWAVE_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true");
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offered(&["show", task.get(..8).unwrap()]), [task.as_str()]);
    assert_eq!(offered(&["run", "--desktop", "desktop-000"]).len(), 6);
    assert_eq!(offered(&["run", "--desktop", "desktop-0001,desktop-0003"]), ["desktop-0001,desktop-0003"]);
    assert!(offered(&["workers", "drain", ""])[0].starts_with("worker-"));
    assert_eq!(offered(&["pa"]), ["pause"]);
    assert!(offered(&["run", "--can"]).contains(&"--canary".to_owned()));
    for shell in ["bash", "zsh", "fish"] {
        let text = operator.good(&["completion", shell]);
        assert!(text.contains("COMPLETE") && text.contains("graywave"), "{shell}: {text}");
    }
    let unreachable = operator
        .command(&["--", "graywave", "show", ""])
        .env("GRAYWAVE_GRPC", "127.0.0.1:1")
        .env("GRAYWAVE_COMPLETE", "fish")
        .output()
        .unwrap();
    assert!(unreachable.status.success() && unreachable.stderr.is_empty(), "a prompt is no place for errors");
}

#[test]
fn help_says_what_there_is() {
    let help = |arguments: &[&str]| {
        let output = graywave().args(arguments).env("COLUMNS", "100").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect::<String>()
    };
    let _guard = settings().bind_to_scope();
    assert_snapshot!("help", help(&["--help"]));
    assert_snapshot!("help_run", help(&["run", "-h"]));
    assert_snapshot!("help_stop", help(&["stop", "--help"]));
    let directory = directory();
    let pages = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let path = directory.path().join("man");
    help(&["man", "--dir", path.to_str().unwrap()]);
    let pages = pages(&path);
    for page in ["graywave.1", "graywave-run.1", "graywave-desktops-tag.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} of {pages:?}");
    }
    assert!(fs::read_to_string(path.join("graywave-run.1")).unwrap().contains("fail\\-threshold"));
}
