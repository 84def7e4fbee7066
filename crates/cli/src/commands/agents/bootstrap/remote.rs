//! Installation on one host over ssh.

use std::{io, path::PathBuf, process::Output, time::Duration};

use openssh::{KnownHosts, Session, SessionBuilder, Stdio};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};

use super::hosts::Host;
use crate::sanitize::sanitize_line;

/// The command on a host. Its text is the same for every host: script and token come through
/// standard input, the token first, and stay in files of the user or in variables of the shell.
const COMMAND: &str = r#"
umask 077
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' HUP INT TERM
IFS= read -r token || exit 1
cat >"$directory/install.sh" || exit 1
printf '%s\n' "$token" | sh "$directory/install.sh" --token-file - "$@"
"#;
/// Maximum bytes of a host's output that are kept: its end.
const MAX_OUTPUT_BYTES: usize = 16 << 10;
/// Maximum characters of a reason.
const MAX_REASON_CHARS: usize = 300;
/// Limit of the connection attempt, within the deadline of the host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which ssh asks a silent host for a sign of life; it gives up after three.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Line of the script that has its reason.
const ERROR_MARK: &str = "graywave: error: ";

/// What is installed, and how.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) script: String,
    pub(super) token: String,
    pub(super) version: Option<String>,
    pub(super) has_sudo: bool,
    /// Configuration file of ssh; `None` for that of the user.
    pub(super) ssh_config: Option<PathBuf>,
    /// Deadline of one host.
    pub(super) timeout: Duration,
}

/// End of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The agent is installed and attached.
    Installed,
    /// The host does not answer.
    Unreachable(String),
    /// ssh refuses the host, or the host refuses the user.
    Refused(String),
    /// The script failed.
    Failed(String),
    /// The deadline passed. The installation may go on.
    TimedOut(String),
    /// Ctrl-C came before the end.
    Interrupted,
}

impl Installation {
    /// Installs on a host, within the deadline.
    pub(super) async fn run(&self, host: &Host) -> Outcome {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.install(host)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::TimedOut(format!(
                "no end within {} s; --timeout sets the deadline",
                self.timeout.as_secs()
            )),
        }
    }

    async fn install(&self, host: &Host) -> Outcome {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout))
            .server_alive_interval(ALIVE_INTERVAL);
        if let Some(file) = &self.ssh_config {
            builder.config_file(file);
        }
        let session = match builder.connect(host.as_str()).await {
            Ok(session) => session,
            Err(error) => return connect_failure(&error),
        };
        let outcome = match self.execute(&session).await {
            Ok(output) => judge(&output),
            Err(error) => Outcome::Failed(reason(&error)),
        };
        drop(session.close().await);
        outcome
    }

    async fn execute(&self, session: &Session) -> Result<Output, openssh::Error> {
        let mut command = match self.has_sudo {
            true => session.command("sudo"),
            false => session.command("sh"),
        };
        if self.has_sudo {
            command.args(["-n", "--", "sh"]);
        }
        command.args(["-c", COMMAND, "graywave-bootstrap"]);
        if let Some(version) = &self.version {
            command.args(["--version", version]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().await?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let send = async {
            if let Some(mut stdin) = stdin {
                // A host that has failed already does not read: its output has the reason.
                drop(stdin.write_all(format!("{}\n{}", self.token, self.script).as_bytes()).await);
                drop(stdin.shutdown().await);
            }
        };
        let ((), stdout, stderr) = tokio::join!(send, tail(stdout), tail(stderr));
        let status = child.wait().await?;
        Ok(Output { status, stdout, stderr })
    }
}

/// Reads a stream to its end and keeps its last bytes.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut piece = [0; 4096];
    while let Ok(number @ 1..) = stream.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..number).unwrap_or_default());
        let surplus = kept.len().saturating_sub(MAX_OUTPUT_BYTES);
        kept.drain(..surplus);
    }
    kept
}

/// Judges the end of the remote command.
fn judge(output: &Output) -> Outcome {
    if output.status.success() {
        return Outcome::Installed;
    }
    let text = [output.stderr.as_slice(), output.stdout.as_slice()].map(String::from_utf8_lossy);
    let lines = || text.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| !line.is_empty());
    let last_error = lines().filter_map(|line| line.strip_prefix(ERROR_MARK)).next_back();
    let ended = || format!("the installation ended with {}", output.status.code().unwrap_or(-1));
    let of_stderr = || text[0].lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
    let reason = last_error.map(str::to_owned).or_else(of_stderr).unwrap_or_else(ended);
    let hint = match reason.contains("sudo") && reason.contains("password") {
        true => "; let the user run sudo without a password, or connect as root",
        false => "",
    };
    Outcome::Failed(format!("{}{hint}", short(&reason)))
}

/// Sorts the failures of a connection by what the user can do.
fn connect_failure(error: &openssh::Error) -> Outcome {
    let text = reason(error);
    let has = |part: &str| text.contains(part);
    if has("Host key verification failed") || has("host key is known") {
        Outcome::Refused(format!("{text}; connect once with ssh, and check and accept its key"))
    } else if has("Permission denied") || has("Too many authentication failures") {
        Outcome::Refused(format!("{text}; add a key to your ssh agent, or name it in your ssh configuration"))
    } else {
        Outcome::Unreachable(text)
    }
}

/// Returns the innermost cause: the outer ones only name the step.
fn reason(error: &openssh::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => "the program ssh is not installed on this machine".to_owned(),
        _ => short(&cause.to_string()),
    }
}

/// Cuts text of a host to one line that a terminal shows as it is.
fn short(text: &str) -> String {
    sanitize_line(text.trim()).chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;

    fn ended(code: i32, stdout: &str, stderr: &str) -> Outcome {
        let (stdout, stderr) = (stdout.as_bytes().to_vec(), stderr.as_bytes().to_vec());
        judge(&Output { status: ExitStatus::from_raw(code << 8), stdout, stderr })
    }

    #[test]
    fn reason_is_the_error_of_the_script() {
        assert_eq!(ended(0, "graywave: installed", "warning"), Outcome::Installed);
        let text = "curl: (6) no host\ngraywave: error: downloading failed\n+ trailing";
        assert_eq!(ended(1, "noise", text), Outcome::Failed("downloading failed".into()));
        assert_eq!(
            ended(1, "noise", "sh: mktemp: not found\n"),
            Outcome::Failed("sh: mktemp: not found".into())
        );
        assert_eq!(ended(4, "", ""), Outcome::Failed("the installation ended with 4".into()));
        let Outcome::Failed(reason) = ended(1, "", "sudo: a password is required") else {
            panic!("no failure")
        };
        assert!(reason.ends_with("or connect as root"), "{reason}");
        assert_eq!(ended(1, "", "\u{1b}[2Jx"), Outcome::Failed(" [2Jx".into()));
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_kept() {
        let long = [vec![b'a'; MAX_OUTPUT_BYTES * 3], b"end".to_vec()].concat();
        let kept = tail(Some(long.as_slice())).await;
        assert!(kept.len() == MAX_OUTPUT_BYTES && kept.ends_with(b"aend"));
    }

    #[test]
    fn command_has_neither_token_nor_quotes_of_a_host() {
        assert!(!COMMAND.contains("{}") && COMMAND.contains("read -r token"));
    }
}
