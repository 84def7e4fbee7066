//! `graywave agents bootstrap`: installs and enrols agents over the user's own ssh. Nothing is run
//! over SSH afterwards.

mod hosts;
mod install_script;
mod progress;
mod remote;
mod report;
mod token;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use clap_complete::{ArgValueCompleter, PathCompleter};
use futures::{StreamExt as _, stream};

use self::{
    hosts::{Host, host},
    progress::Progress,
    remote::{Installation, Outcome},
    report::HostReport,
    token::TokenFlags,
};
use crate::{
    Error, ExitStatus, args::read_unmarked, commands::CommonArgs, duration::seconds, number::number,
};

/// Deadline of one host.
const DEFAULT_TIMEOUT: &str = "5m";
/// Maximum number of hosts at the same time, and the default.
const MAX_PARALLEL: usize = 100;
const DEFAULT_PARALLEL: usize = 10;

const EXAMPLES: &str = "\
Examples:
  graywave agents bootstrap pc-1 pc-2 --ssh --sudo --api https://graywave
  graywave agents bootstrap --hosts-file hosts.txt --ssh --api https://graywave
  graywave agents bootstrap root@10.0.0.7 --ssh --script install.sh

ssh asks for nothing: keys come from an agent or from files without a passphrase, and each host key
must be known. sudo needs no password, or the user is root. A token never stands in a command line.
Exit code 0: the agent is installed on every host. 1: not on every host.";

/// Arguments of `graywave agents bootstrap`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BootstrapArgs {
    /// Hosts as for ssh: HOST, USER@HOST, ssh://USER@HOST:PORT or a name of your ssh configuration
    #[arg(value_name = "HOST", value_parser = host, required_unless_present = "hosts_file")]
    hosts: Vec<Host>,
    /// File with one host per line (# starts a comment line); - reads standard input
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    hosts_file: Option<PathBuf>,
    /// Install over SSH, with the program ssh and its configuration
    #[arg(long, required = true)]
    ssh: bool,
    /// URL of the REST API, which serves install.sh and the artefacts
    #[arg(long, value_name = "URL", required_unless_present = "script", conflicts_with = "script")]
    api: Option<String>,
    /// CA of the API's HTTPS certificate [default: the CAs of this machine]
    #[arg(long, value_name = "FILE", requires = "api", add = ArgValueCompleter::new(PathCompleter::file()))]
    api_ca: Option<PathBuf>,
    /// install.sh of the API in a file, if this machine does not reach the API
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    script: Option<PathBuf>,
    /// Run the installation with sudo, which must ask for no password
    #[arg(long)]
    sudo: bool,
    /// Version of the agents [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = plain)]
    version: Option<String>,
    #[command(flatten)]
    token: TokenFlags,
    /// Number of hosts at the same time, at most 100 [default: 10]
    #[arg(long, value_name = "N", value_parser = number(1, MAX_PARALLEL, 10), default_value_t = DEFAULT_PARALLEL,
          hide_default_value = true)]
    parallel: usize,
    /// Deadline of one host: 10m [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = DEFAULT_TIMEOUT,
          hide_default_value = true)]
    timeout: i64,
    /// Configuration file of ssh [default: that of the user]
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    ssh_config: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Parses a version, which becomes an argument of the remote script.
fn plain(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'~' | b'-');
    let starts = text.starts_with(|char: char| char.is_ascii_digit());
    match starts && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("expected a version, like 1.4.0".to_owned()),
    }
}

pub(super) async fn bootstrap(arguments: BootstrapArgs) -> Result<ExitStatus, Error> {
    let mut hosts = arguments.hosts.clone();
    if let Some(file) = &arguments.hosts_file {
        hosts.extend(hosts::parse(&read_unmarked(file, "list of hosts", hosts::MAX_FILE_BYTES)?)?);
    }
    let hosts = hosts::distinct(hosts)?;
    let script = match (&arguments.script, &arguments.api) {
        (Some(file), _) => read_unmarked(file, "script", install_script::MAX_BYTES)?,
        (None, Some(url)) => install_script::fetch(url, arguments.api_ca.as_deref()).await?,
        (None, None) => return Err(Error::misused("--api or --script is required")),
    };
    install_script::check(&script)?;
    let mut console = arguments.common.output.console();
    let token = arguments.token.obtain(hosts.len(), &arguments.common, &console).await?;
    let installation = Arc::new(Installation {
        script,
        token: token.secret().to_owned(),
        version: arguments.version,
        has_sudo: arguments.sudo,
        ssh_config: arguments.ssh_config,
        timeout: Duration::from_secs(arguments.timeout.unsigned_abs()),
    });
    let progress = Progress::new(hosts.len(), console.quiet);
    let outcomes = tokio::select! {
        outcomes = install(&hosts, &installation, arguments.parallel, &progress) => outcomes,
        _ = tokio::signal::ctrl_c() => progress.interrupted(&hosts),
    };
    progress.finish();
    // Also after Ctrl-C: nothing enrols with the token from then on.
    token.revoke(&console).await;
    let reports: Vec<_> =
        hosts.iter().zip(outcomes).map(|(host, outcome)| HostReport::new(host, outcome)).collect();
    report::show(&mut console, &reports)?;
    let all = reports.iter().all(HostReport::is_installed);
    Ok(if all { ExitStatus::Success } else { ExitStatus::Failed })
}

/// Installs on all hosts, `parallel` at the same time. Returns the outcomes in the hosts' order.
async fn install(
    hosts: &[Host],
    installation: &Arc<Installation>,
    parallel: usize,
    progress: &Progress,
) -> Vec<Outcome> {
    let each = hosts.iter().enumerate().map(|(place, host)| {
        let installation = Arc::clone(installation);
        async move {
            progress.begin(host);
            let outcome = installation.run(host).await;
            progress.end(place, host, &outcome);
            outcome
        }
    });
    stream::iter(each).buffered(parallel).collect().await
}
