//! Output on a terminal: real processes in a pseudo terminal of common sizes.

use std::{
    fs,
    io::{Read as _, Write},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::{Value, json};

use crate::harness::{Dev, directory, wait_for};

const DESKTOPS: u32 = 6;
/// A rollout on more than 10 desktops is followed with bars instead of its output.
const DESKTOPS_WITH_BARS: u32 = 12;
/// Columns and lines.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];
/// Too low for the list of all desktops.
const LOW: (u16, u16) = (80, 5);
/// Tall enough that no output scrolls away.
const TALL: [(u16, u16); 2] = [(80, 60), (200, 60)];

struct Cluster {
    dev: Dev,
    directory: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        Self::of(DESKTOPS)
    }

    fn of(desktops: u32) -> Self {
        let directory = directory();
        let dev = Dev::start(&directory.path().join("data"), desktops, &[]);
        Self { dev, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a command that waits until a file of this name exists.
    fn waits_for(&self, name: &str) -> String {
        format!("until [ -e {} ]; do sleep 0.05; done", self.path(name).display())
    }

    fn open(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// Starts a command in a terminal.
    fn at_terminal(&self, arguments: &[&str], size: (u16, u16), more: &[(&str, &str)]) -> Terminal {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_graywave"));
        command.args(arguments);
        command.env("GRAYWAVE_GRPC", self.dev.ready["grpc"].as_str().unwrap());
        command.env("GRAYWAVE_TOKEN", self.dev.ready["token"].as_str().unwrap());
        command.env("GRAYWAVE_CONTEXTS", self.path("contexts.toml"));
        command.env("TERM", "xterm-256color");
        command.env("PAGER", "cat");
        command.env_remove("NO_COLOR");
        for (name, value) in more {
            command.env(name, value);
        }
        Terminal::start(command, size)
    }

    fn newest(&self) -> Value {
        self.dev.api.native().get("/tasks?page_size=1")["tasks"][0].clone()
    }

    fn status(&self, task_id: &str) -> String {
        self.dev.api.task(task_id)["status"].as_str().unwrap().to_owned()
    }
}

/// A terminal and its process.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    seen: Arc<Mutex<vt100::Parser>>,
    // Open until the test ends.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn start(command: CommandBuilder, (cols, rows): (u16, u16)) -> Self {
        let pair =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let seen = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 1_000)));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let parser = Arc::clone(&seen);
        // Ends when the terminal closes.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(read) = reader.read(&mut buffer)
                && read > 0
            {
                parser.lock().unwrap().process(&buffer[..read]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { child, keys, seen, _master: pair.master }
    }

    fn screen(&self) -> String {
        let parser = self.seen.lock().unwrap();
        let (_, columns) = parser.screen().size();
        // `contents` would join a full line with the next one.
        parser.screen().rows(0, columns).map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Waits until the screen shows all of these texts, and returns the screen.
    fn shows(&self, what: &[&str]) -> String {
        let is_shown = |screen: &String| what.iter().all(|it| screen.contains(it));
        let looking =
            || wait_for(&format!("{what:?} on the screen"), || Some(self.screen()).filter(is_shown));
        // On a timeout, the message shows the actual screen.
        std::panic::catch_unwind(AssertUnwindSafe(looking))
            .unwrap_or_else(|_| panic!("{what:?} is not on the screen:\n{}", self.screen()))
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end of the process and its output. Returns the exit code.
    fn ends(&mut self) -> u32 {
        wait_for("its end", || self.child.try_wait().unwrap()).exit_code()
    }
}

const CONTROL_C: &str = "\u{3}";

#[test]
fn a_rollout_is_followed_with_a_bar_for_each_wave() {
    let cluster = Cluster::of(DESKTOPS_WITH_BARS);
    for (number, size) in TALL.into_iter().enumerate() {
        let gate = format!("gate-{number}");
        let waits = cluster.waits_for(&gate);
        let run = ["run", "--canary", "2", "--fail-threshold", "1", "--all", "--", &waits];
        let mut terminal = cluster.at_terminal(&run, size, &[]);
        let words: &[&str] = if size.0 == 80 {
            &["0/2: 0 ok 0 bad 2 run 0 off"]
        } else {
            &["0 of 2: 0 succeeded, 0 failed (halts at 1), 2 in flight"]
        };
        let screen = terminal.shows(
            &[&["wave 1  OPEN", "wave 2  PENDING", "wave 1: opened", "Ctrl-C detaches"], words].concat(),
        );
        let lines: Vec<&str> = screen
            .lines()
            .filter(|line| line.contains("wave 1  OPEN") || line.contains("wave 2  PENDING"))
            .collect();
        assert_eq!(lines.len(), 2, "one line per wave, not per change: {screen}");
        assert!(lines.iter().all(|line| line.contains('▓') || line.contains('░')), "{screen}");
        cluster.open(&gate);
        let screen = terminal.shows(&[
            "wave 1: closed: 0 of 2 targets failed",
            "wave 2: closed",
            "ended: SUCCESS",
            "status:     SUCCESS",
        ]);
        assert!(!screen.contains("Ctrl-C detaches"), "the rollout has ended: {screen}");
        assert_eq!(terminal.ends(), 0);
    }
}

#[test]
fn a_halt_is_seen_and_ctrl_c_only_ends_the_looking() {
    let cluster = Cluster::of(DESKTOPS_WITH_BARS);
    let mut terminal = cluster.at_terminal(
        &[
            "run",
            "--canary=2",
            "--canary-desktop=desktop-0001",
            "--fail-threshold=1",
            "--all",
            "--",
            "case $GRAYWAVE_DESKTOP_ID in *0001) echo broken; exit 1;; esac",
        ],
        TALL[0],
        &[],
    );
    terminal.shows(&[
        "wave 1: halted: 1 of 2 targets failed",
        "status:     HALTED",
        "1 FAILED with exit code 1: broken",
        "graywave failures",
    ]);
    assert_eq!(terminal.ends(), 3);

    let waits = cluster.waits_for("gate");
    let mut terminal = cluster.at_terminal(&["run", "--all", "--", &waits], TALL[0], &[]);
    terminal.shows(&["wave 1  OPEN", "no failure threshold"]);
    terminal.press(CONTROL_C);
    let task_id = cluster.newest()["task_id"].as_str().unwrap().to_owned();
    terminal.shows(&["detached; the task continues", &format!("graywave watch {task_id}")]);
    assert_eq!(terminal.ends(), 130);
    assert_eq!(cluster.status(&task_id), "RUNNING");
    cluster.open("gate");
    assert_eq!(cluster.dev.api.ended(&task_id)["status"], "SUCCESS");
}

#[test]
fn the_whole_screen_is_drawn_and_its_keys_work() {
    let cluster = Cluster::new();
    let waits = cluster.waits_for("never");
    for size in SIZES {
        let desktops: Vec<String> = (1..=DESKTOPS).map(|n| format!("desktop-{n:04}")).collect();
        let task_id =
            cluster.dev.api.run(&waits, &desktops, json!({"gray_count": 2, "gray_fail_threshold": 1}));
        let mut terminal = cluster.at_terminal(&["watch", "latest"], size, &[]);
        let screen = terminal.shows(&[
            "RUNNING",
            "Waves",
            "1 OPEN",
            "2 PENDING",
            "Events",
            "wave 1: opened",
            "q detach",
        ]);
        assert!(screen.lines().next().unwrap().contains(&task_id), "{screen}");
        assert!(terminal.seen.lock().unwrap().screen().alternate_screen());
        terminal.press("?");
        terminal.shows(&["Keys", "press any key to close"]);
        terminal.press(" p");
        terminal.shows(&["Pause the task in wave 1 of 2: 2 desktops", "y: yes"]);
        terminal.press("y");
        terminal.shows(&["paused", "p resume"]);
        assert_eq!(cluster.newest()["paused"], true);
        terminal.press("py");
        terminal.shows(&["resumed", "p pause"]);
        // Quitting affects neither the task nor the terminal settings.
        terminal.press("q");
        assert_eq!(terminal.ends(), 130);
        terminal.shows(&["detached; the task continues"]);
        {
            let parser = terminal.seen.lock().unwrap();
            assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
        }
        assert_eq!(cluster.status(&task_id), "RUNNING");

        let mut terminal = cluster.at_terminal(&["watch", &task_id], size, &[("NO_COLOR", "1")]);
        terminal.shows(&["1 OPEN"]);
        terminal.press("s");
        terminal.shows(&["Stop the task in wave 1 of 2", "d: drain running scripts"]);
        terminal.press("x");
        terminal.shows(&["q detach"]);
        terminal.press("sk");
        terminal.shows(&["STOPPED (q: leave)"]);
        terminal.press("q");
        terminal.shows(&["status:     STOPPED"]);
        assert_eq!(terminal.ends(), 4);
    }
}

#[test]
fn who_is_ended_gives_the_terminal_back() {
    let cluster = Cluster::new();
    let waits = cluster.waits_for("never");
    let desktops = ["desktop-0001".to_owned()];
    let task_id = cluster.dev.api.run(&waits, &desktops, json!({}));
    let mut terminal = cluster.at_terminal(&["watch", &task_id], SIZES[0], &[]);
    terminal.shows(&["1 OPEN"]);
    let pid = rustix::process::Pid::from_raw(terminal.child.process_id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    terminal.shows(&["detached; the task continues"]);
    assert_eq!(terminal.ends(), 130);
    let parser = terminal.seen.lock().unwrap();
    assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
}

#[test]
fn list_of_more_lines_than_the_terminal_goes_through_the_pager() {
    let cluster = Cluster::new();
    let pager = [("GRAYWAVE_PAGER", "sed s/^/paged:/")];
    let mut terminal = cluster.at_terminal(&["desktops"], LOW, &pager);
    terminal.shows(&["paged:desktop-0005", "paged:desktop-0006"]);
    assert_eq!(terminal.ends(), 0);
    // Long lines are no reason for a pager.
    for (arguments, size) in [
        (&["desktops", "--no-pager"][..], LOW),
        (&["desktops"], TALL[0]),
        (&["desktops", "-o", "wide"], TALL[0]),
    ] {
        let mut terminal = cluster.at_terminal(arguments, size, &pager);
        assert!(!terminal.shows(&["desktop-0006"]).contains("paged:"), "{arguments:?}");
        assert_eq!(terminal.ends(), 0);
    }
    let mut terminal = cluster.at_terminal(&["show", "nothing"], TALL[0], &pager);
    terminal.shows(&["error: invalid task id \"nothing\""]);
    assert_eq!(terminal.ends(), 2);
}

#[test]
fn many_desktops_in_one_wave_are_confirmed_by_their_number() {
    let cluster = Cluster::new();
    let (grpc, token) = (&cluster.dev.ready["grpc"], &cluster.dev.ready["token"]);
    let login = ["login", "--grpc", grpc.as_str().unwrap(), "--token", token.as_str().unwrap()];
    for setup in [&login[..], &["config", "confirm-above", "5"]] {
        assert_eq!(cluster.at_terminal(setup, TALL[0], &[]).ends(), 0);
    }
    let run = ["run", "--all", "--", "true"];
    for (answer, shown, code) in [("y", "nothing was run", 1), ("6", "status:     SUCCESS", 0)] {
        let mut terminal = cluster.at_terminal(&run, TALL[0], &[]);
        terminal.shows(&["worst case", "6 desktops start at once; at worst, 6 fail."]);
        terminal.shows(&["Type the number of desktops to run it:"]);
        terminal.press(&format!("{answer}\r"));
        terminal.shows(&[shown]);
        assert_eq!(terminal.ends(), code);
    }
}

#[test]
fn who_asks_is_shown_the_plan_and_may_say_no() {
    let cluster = Cluster::new();
    let run = ["run", "--ask", "--canary", "2", "--all", "--", "true"];
    let mut terminal = cluster.at_terminal(&run, TALL[0], &[]);
    terminal.shows(&["worst case", "CANARY", "Run it? [y/N]"]);
    terminal.press("n\r");
    terminal.shows(&["nothing was run"]);
    assert_eq!(terminal.ends(), 1);
    let mut terminal = cluster.at_terminal(&run, TALL[0], &[]);
    let screen = terminal.shows(&["Run it? [y/N]"]);
    terminal.press("y\r");
    terminal.shows(&["status:     SUCCESS"]);
    assert_eq!(terminal.ends(), 0);
    // The preview and the run have the same canaries.
    let canaries: Vec<&str> = screen
        .lines()
        .filter(|line| line.contains("sampled: "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let task_id = cluster.newest()["task_id"].as_str().unwrap().to_owned();
    let targets = cluster.dev.api.native().get(&format!("/tasks/{task_id}/targets"));
    let ran: Vec<&str> = targets["targets"].as_array().unwrap()[..2]
        .iter()
        .map(|it| it["desktop_id"].as_str().unwrap())
        .collect();
    assert_eq!((canaries.len(), &canaries), (2, &ran), "{screen}");
}
