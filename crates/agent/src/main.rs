//! The program `graywave-agent`.

use std::{
    any::TypeId,
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use agent::{Enrolment, Restart, RunnerProgram, Token};
use anyhow::Context as _;
use clap::{CommandFactory as _, Parser};
use telemetry::BoxMakeWriter;
use tokio_util::sync::CancellationToken;

/// Name in logs and traces.
const NAME: &str = "graywave-agent";
/// Subcommand of services.
const SERVICE: &str = "service";
/// Number of log files that are kept.
const LOG_FILES: usize = 7;
/// Time that a service has to stop. The service control manager waits for 25 seconds.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Run on a desktop: dial a worker, execute each ordered script at most once, and report the
/// results.
#[derive(Debug, Parser)]
#[command(name = "graywave-agent", version, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// URL of a worker, as https://host:port, or http:// on this machine; repeat the flag for more
    /// (comma-separated in the variable)
    #[arg(
        long = "worker",
        value_name = "URL",
        env = "GRAYWAVE_AGENT_WORKER",
        required = true,
        value_delimiter = ','
    )]
    workers: Vec<String>,
    /// Project of the desktop; optional with a certificate or an enrolment token
    #[arg(long, value_name = "ID", env = "GRAYWAVE_AGENT_PROJECT", required_unless_present = "ca_file")]
    project: Option<String>,
    /// Id of the desktop. An enrolment proposes it, with the host name as default; later the
    /// certificate sets it
    #[arg(long, value_name = "ID", env = "GRAYWAVE_AGENT_DESKTOP_ID", required_unless_present = "ca_file")]
    desktop_id: Option<String>,
    /// Display name of the desktop [default: its id]
    #[arg(long, value_name = "NAME", env = "GRAYWAVE_AGENT_COMPUTER_NAME")]
    computer_name: Option<String>,
    /// Pool of the desktop
    #[arg(long, value_name = "ID", env = "GRAYWAVE_AGENT_POOL", default_value = "")]
    pool: String,
    /// Availability zone of the desktop
    #[arg(long, value_name = "NAME", env = "GRAYWAVE_AGENT_ZONE", default_value = "")]
    zone: String,
    /// Tag of the desktop; repeat the flag for more (comma-separated in the variable)
    #[arg(
        long = "tag",
        value_name = "KEY=VALUE",
        env = "GRAYWAVE_AGENT_TAG",
        value_parser = tag,
        value_delimiter = ','
    )]
    tags: Vec<(String, String)>,
    /// Directory of the journal and of running scripts; used by one agent at a time
    #[arg(long, value_name = "DIR", env = "GRAYWAVE_AGENT_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// User that runs scripts whose task names none [default: the agent's user]; needs an agent of
    /// root
    #[arg(long, value_name = "USER", env = "GRAYWAVE_AGENT_RUN_AS")]
    run_as: Option<String>,
    /// Mount namespace of scripts, such as /proc/1/ns/mnt, for a service manager that confines the
    /// agent [default: the agent's]; needs an agent of root
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_AGENT_SCRIPT_MOUNTS", hide = cfg!(windows))]
    script_mounts: Option<PathBuf>,
    /// PowerShell program, such as pwsh [default: powershell.exe of Windows, pwsh elsewhere]
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_AGENT_POWERSHELL")]
    powershell: Option<PathBuf>,
    /// Program that reboots the desktop or powers it off, and knows its boot id and its users
    /// [default: the system's]; see docs/reboots.md
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_AGENT_POWER_PROGRAM")]
    power_program: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Maximum number of orders that run at the same time
    #[arg(
        long,
        value_name = "COUNT",
        env = "GRAYWAVE_AGENT_MAX_PARALLEL",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    max_parallel: u16,
    /// Directory of log files, one for each day, 7 at most [default: standard error; for a service,
    /// log in the data directory]
    #[arg(long, value_name = "DIR", env = "GRAYWAVE_AGENT_LOG_DIR")]
    log_dir: Option<PathBuf>,
    /// OTLP/gRPC endpoint for spans of traced orders, as http://host:4317; without it no spans are
    /// sent
    #[arg(long, value_name = "URL", env = "GRAYWAVE_AGENT_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check whether the agent of the data directory is attached to a worker, for container health
    /// checks; exit code 0 if it is
    Healthcheck,
    /// Show running scripts, and directories that could not be removed
    Status,
    /// Stop the agent of the data directory; running scripts go on under their runners
    Stop {
        /// End running scripts too; their outcome is UNKNOWN
        #[arg(long)]
        now: bool,
    },
    /// Restart the agent once no order is queued or runs; its service manager starts the installed
    /// version
    Restart {
        /// Longest wait in seconds. Scripts that run then go on under their runners
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        within: u32,
        /// Restart at once, like --within 0
        #[arg(long, conflicts_with = "within")]
        now: bool,
    },
    /// Write manual pages
    Man {
        /// Output directory, one page per command; created if missing
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print the shell completion script
    Completion {
        /// Shell to complete in
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Register the agent as a service of Windows, with the options before this word
    #[command(subcommand, hide = cfg!(unix))]
    Service(ServiceCommand),
}

#[derive(Debug, clap::Subcommand)]
enum ServiceCommand {
    /// Register the service, or change its options; it starts with the machine
    Install {
        /// Copy the files of --ca-file and --enrolment-token-file into the data directory, and use
        /// the copies
        #[arg(long)]
        keep_files: bool,
    },
    /// Remove the service; its data directory stays
    Uninstall,
    /// Run as the service; the service control manager calls this
    Run,
}

impl Command {
    /// Runs a command that needs no data directory; `None` for the others.
    fn document(&self) -> Option<anyhow::Result<()>> {
        match self {
            Self::Man { dir } => Some(write_manual(dir)),
            Self::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut Args::command(), NAME, &mut script);
                Some(io::stdout().write_all(&script).map_err(Into::into))
            }
            _ => None,
        }
    }

    async fn run(&self, data_dir: &Path) -> anyhow::Result<()> {
        match self {
            Self::Man { .. } | Self::Completion { .. } => {}
            Self::Restart { within, now } => {
                let within = Duration::from_secs(if *now { 0 } else { u64::from(*within) });
                restart(data_dir, within).await?;
            }
            Self::Healthcheck => {
                anyhow::ensure!(agent::is_attached(data_dir), "not attached to a worker");
            }
            Self::Status => {
                let status = agent::status(data_dir)
                    .with_context(|| format!("reading the data directory {} failed", data_dir.display()))?;
                write!(io::stdout(), "{status}")?;
            }
            Self::Stop { now } => agent::stop_agent(data_dir, *now)
                .await
                .with_context(|| format!("stopping the agent of {} failed", data_dir.display()))?,
            Self::Service(command) => command.run(data_dir)?,
        }
        Ok(())
    }
}

/// Requests a restart, and prints when the agent restarts.
async fn restart(data_dir: &Path, within: Duration) -> anyhow::Result<()> {
    let asked = agent::restart_agent(data_dir, within).await;
    let text = match asked
        .with_context(|| format!("restarting the agent of {} failed", data_dir.display()))?
    {
        Restart::Now => "the agent restarts".to_owned(),
        Restart::Later => {
            format!("orders run: the agent restarts after them, or in {} s", within.as_secs())
        }
        Restart::NotSupervised => anyhow::bail!(
            "the agent of {} has no service manager that would start it again: use `graywave-agent stop` and start it",
            data_dir.display()
        ),
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Writes the manual pages.
fn write_manual(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    clap_mangen::generate_to(Args::command(), dir)
        .with_context(|| format!("cannot write manual pages to {}", dir.display()))
}

impl ServiceCommand {
    fn run(&self, data_dir: &Path) -> anyhow::Result<()> {
        match self {
            Self::Install { keep_files } => {
                let options = std::env::args_os().skip(1).take_while(|argument| argument != SERVICE);
                // The service works in another directory, and its variables may differ.
                let options = absolute_options(options, |path| std::path::absolute(path))?.into_iter();
                let data_dir = &std::path::absolute(data_dir)?;
                let data_dir_option = [OsString::from("--data-dir"), data_dir.into()];
                let run = [SERVICE, "run"].map(OsString::from);
                let mut options: Vec<_> = without_option(options, "--data-dir").collect();
                let kept = if *keep_files { kept_files(&mut options, data_dir) } else { Vec::new() };
                let arguments = options.into_iter().chain(data_dir_option).chain(run).collect();
                // Creates the data directory, which only the system and administrators can read.
                agent::install_service(arguments, data_dir).context("registering the service failed")?;
                kept.iter().try_for_each(|(from, to)| keep(from, to))
            }
            Self::Uninstall => agent::uninstall_service().context("removing the service failed"),
            Self::Run => anyhow::bail!("only the service control manager runs the service"),
        }
    }
}

/// Arguments with absolute paths. A PowerShell that is a name alone stays one.
fn absolute_options(
    arguments: impl Iterator<Item = OsString>,
    absolute: impl Fn(&Path) -> io::Result<PathBuf>,
) -> io::Result<Vec<OsString>> {
    let command = Args::command();
    let flag_of = |argument: &clap::Arg| {
        let is_path = argument.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        argument.get_long().filter(|_| is_path).map(|name| format!("--{name}"))
    };
    let flags: Vec<_> = command.get_arguments().filter_map(flag_of).collect();
    let absolute = |flag: &str, path: &Path| {
        let is_name = flag == "--powershell" && path.components().nth(1).is_none();
        if is_name { Ok(path.to_owned()) } else { absolute(path) }
    };
    let mut before = None;
    arguments
        .map(|argument| {
            if let Some(flag) = before.take() {
                return absolute(flag, Path::new(&argument)).map(OsString::from);
            }
            before = flags.iter().map(String::as_str).find(|flag| argument == *flag);
            match argument.to_str().and_then(|text| text.split_once('=')) {
                Some((flag, path)) if flags.iter().any(|of_path| of_path == flag) => {
                    let mut joined = OsString::from(format!("{flag}="));
                    joined.push(absolute(flag, Path::new(path))?);
                    Ok(joined)
                }
                _ => Ok(argument),
            }
        })
        .collect()
}

/// Files of a service that its data directory keeps, by their options.
const KEPT_FILES: [(&str, &str); 2] =
    [("--ca-file", "ca.pem"), ("--enrolment-token-file", "enrolment-token")];

/// Replaces the files in the arguments by their copies in the data directory. Returns each file
/// with its copy, unless it is that copy.
fn kept_files(arguments: &mut [OsString], data_dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut copies = Vec::new();
    for (option, name) in KEPT_FILES {
        let (copy, joined) = (data_dir.join(name), format!("{option}="));
        let mut is_value = false;
        for argument in arguments.iter_mut() {
            let text = argument.to_string_lossy().into_owned();
            let joined_path = text.strip_prefix(&joined);
            if is_value || joined_path.is_some() {
                let file = joined_path.map_or_else(|| PathBuf::from(&*argument), PathBuf::from);
                *argument = if is_value { OsString::new() } else { OsString::from(&joined) };
                argument.push(&copy);
                if file != copy {
                    copies.push((file, copy.clone()));
                }
            }
            is_value = !is_value && text == option;
        }
    }
    copies
}

/// Copies a file into the data directory, with the access rights of that directory.
fn keep(from: &Path, to: &Path) -> anyhow::Result<()> {
    let content = std::fs::read(from).with_context(|| format!("reading {} failed", from.display()))?;
    std::fs::write(to, content).with_context(|| format!("writing {} failed", to.display()))
}

/// Arguments without an option and its value.
fn without_option(arguments: impl Iterator<Item = OsString>, option: &str) -> impl Iterator<Item = OsString> {
    let with_value = format!("{option}=");
    let mut is_value = false;
    arguments.filter(move |argument| {
        let is_left_out = std::mem::take(&mut is_value);
        let text = argument.to_string_lossy();
        is_value = !is_left_out && text == option;
        !is_left_out && !is_value && !text.starts_with(&with_value)
    })
}

/// TLS files: all three, the CA file alone for an agent that enrols, or none if the worker is on
/// this machine.
#[derive(Debug, clap::Args)]
struct TlsArgs {
    /// Certificates of the trusted CAs; read again when the file changes, like the other two files
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_AGENT_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Certificate of the desktop
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_AGENT_CERT_FILE")]
    cert_file: Option<PathBuf>,
    /// Private key of the desktop's certificate
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_AGENT_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// File with the enrolment token for an agent without a certificate; alternatively set
    /// GRAYWAVE_AGENT_ENROLMENT_TOKEN
    #[arg(
        long,
        value_name = "FILE",
        env = "GRAYWAVE_AGENT_ENROLMENT_TOKEN_FILE",
        requires = "ca_file",
        conflicts_with_all = ["cert_file", "key_file"]
    )]
    enrolment_token_file: Option<PathBuf>,
}

impl TlsArgs {
    /// Certificate files or enrolment settings. The token variable is used if no token file is
    /// named.
    fn into_certificates(
        self,
        variable: Option<String>,
    ) -> Result<(Option<mtls::Files>, Option<Enrolment>), String> {
        let Self { ca_file, cert_file, key_file, enrolment_token_file } = self;
        if let (Some(ca_file), None, None) = (&ca_file, &cert_file, &key_file) {
            let token = enrolment_token_file.map(Token::File).or_else(|| variable.map(Token::Text));
            return Ok((None, Some(Enrolment { ca_file: ca_file.clone(), token })));
        }
        Ok((mtls::FilesGiven { ca_file, cert_file, key_file }.all_or_none()?, None))
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl Args {
    /// The data directory, which every command needs.
    fn data_dir(&self) -> anyhow::Result<PathBuf> {
        let data_dir = self.data_dir.clone().or_else(agent::default_data_dir);
        data_dir.context("no data directory: set --data-dir or GRAYWAVE_AGENT_DATA_DIR")
    }

    fn into_config(self) -> anyhow::Result<agent::Config> {
        let data_dir = self.data_dir()?;
        let variable = std::env::var(agent::TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let (tls, enrolment) = self.tls.into_certificates(variable).map_err(anyhow::Error::msg)?;
        let mut desktop =
            agent::this_machine(self.project.unwrap_or_default(), self.desktop_id.unwrap_or_default());
        if let Some(name) = self.computer_name {
            desktop.computer_name = name;
        }
        desktop.pool_id = self.pool;
        desktop.availability_zone = self.zone;
        desktop.tags = self.tags.into_iter().collect();
        let runner = RunnerProgram::find()?.in_mount_namespace(self.script_mounts);
        let mut config = agent::Config::new(self.workers, desktop, data_dir, runner);
        config.max_parallel = usize::from(self.max_parallel);
        config.run_as_user = self.run_as;
        config.powershell = self.powershell;
        config.power = self.power_program.map_or(agent::Power::System, agent::Power::Program);
        config.tls = tls;
        config.enrolment = enrolment;
        config.is_supervised = agent::is_supervised();
        config.proxies = mtls::ProxySettings::from_env();
        Ok(config)
    }
}

fn main() -> ExitCode {
    // Before anything else starts: the runner needs none of it.
    if let Some(code) = runner::main_if_asked() {
        return code;
    }
    let outcome = match agent::run_as_init() {
        Some(ended) => ended.map_err(anyhow::Error::from),
        None => {
            let ended = match Args::try_parse() {
                Ok(args) if matches!(args.command, Some(Command::Service(ServiceCommand::Run))) => {
                    run_service(Ok(args))
                }
                Ok(args) => run(args),
                Err(error) if is_service(std::env::args_os()) => run_service(Err(error)),
                Err(error) => error.exit(),
            };
            ended.map(|()| ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        drop(writeln!(io::stderr(), "error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Whether the service control manager has started this process, also with arguments of another
/// version.
fn is_service(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<_> = arguments.collect();
    arguments.ends_with(&[SERVICE, "run"].map(OsString::from))
}

/// Runs the agent as a service, with log files in its data directory. An error of the arguments is
/// reported like one of the agent: the manager waits for a process that ends before.
fn run_service(args: Result<Args, clap::Error>) -> anyhow::Result<()> {
    let main = move |stop: CancellationToken, set_running: &dyn Fn()| {
        let args = args.map_err(anyhow::Error::from).and_then(with_data_dir);
        let args = args.map_err(|error| format!("{error:#}"))?;
        // The network may come later: the agent dials until it does.
        set_running();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.context("starting the runtime failed").and_then(|runtime| {
            let late = async {
                stop.cancelled().await;
                tokio::time::sleep(STOP_LIMIT).await;
            };
            let outcome = runtime.block_on(async {
                tokio::select! {
                    ended = Box::pin(serve(args, stop.clone())) => ended,
                    () = late => Err(anyhow::anyhow!("the agent has not stopped within {STOP_LIMIT:?}")),
                }
            });
            // A blocking write may still run, and the journal bears its loss.
            runtime.shutdown_background();
            outcome
        });
        // With its causes.
        ended.map_err(|error| format!("{error:#}"))
    };
    agent::run_service(main).context("connecting to the service control manager failed")
}

/// Arguments with absolute paths of the data directory, which exists from then on, and of the log
/// files.
fn with_data_dir(mut args: Args) -> anyhow::Result<Args> {
    let data_dir = std::path::absolute(args.data_dir()?)?;
    let log_dir = agent::enter_data_dir(&data_dir, "log")
        .with_context(|| format!("the data directory {} is unusable", data_dir.display()))?;
    args.log_dir.get_or_insert(log_dir);
    args.data_dir = Some(data_dir);
    Ok(args)
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(command) = &args.command {
        if let Some(ended) = command.document() {
            return ended;
        }
        return command.run(&args.data_dir()?).await;
    }
    let stop = CancellationToken::new();
    let requested = agent::stop_requested().context("installing the signal handlers failed")?;
    let on_signal = stop.clone();
    tokio::spawn(async move {
        requested.await;
        tracing::info!("stopping");
        on_signal.cancel();
    });
    Box::pin(serve(args, stop)).await
}

/// Runs the agent until `stop` is cancelled.
async fn serve(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let telemetry =
        telemetry::Config { otlp_endpoint: args.otlp_endpoint.clone(), ..telemetry::Config::default() };
    let telemetry = match &args.log_dir {
        Some(directory) => telemetry::init_to(&telemetry, NAME, log_files(directory)?, false)?,
        None => telemetry::init(&telemetry, NAME)?,
    };
    let outcome = Box::pin(agent::run(args.into_config()?, stop)).await;
    telemetry.shutdown().await;
    Ok(outcome?)
}

/// Log files of a directory. The oldest ones are removed.
fn log_files(directory: &Path) -> anyhow::Result<BoxMakeWriter> {
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix(NAME)
        .filename_suffix("log")
        .max_log_files(LOG_FILES)
        .build(directory);
    let files = files.with_context(|| format!("creating log files in {} failed", directory.display()))?;
    Ok(BoxMakeWriter::new(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn data_directory_may_follow_a_command() {
        for line in ["graywave-agent status --data-dir /d", "graywave-agent --data-dir /d stop --now"] {
            let args = Args::parse_from(line.split_whitespace());
            assert_eq!(args.data_dir().unwrap(), Path::new("/d"), "{line}");
        }
        let unnamed = Args::parse_from(["graywave-agent", "status"]).data_dir();
        assert_eq!(unnamed.ok(), agent::default_data_dir());
    }

    #[test]
    fn option_is_left_out_with_its_value() {
        let arguments = ["--a", "1", "--b", "2", "--b=3", "--c"].map(OsString::from);
        let left: Vec<_> = without_option(arguments.into_iter(), "--b").collect();
        assert_eq!(left, ["--a", "1", "--c"]);
    }

    #[test]
    fn paths_of_a_service_are_absolute() {
        let line = "--ca-file a --log-dir=b --pool c --powershell pwsh --data-dir d --tag x=e --worker=f";
        let arguments = line.split_whitespace().map(OsString::from);
        let absolute = absolute_options(arguments, |path| Ok(Path::new("/w").join(path))).unwrap();
        let path = |name: &str| Path::new("/w").join(name).into_os_string();
        let mut log = OsString::from("--log-dir=");
        log.push(path("b"));
        assert_eq!(absolute[1..3], [path("a"), log]);
        assert_eq!(absolute[3..7], ["--pool", "c", "--powershell", "pwsh"]);
        assert_eq!(absolute[8], path("d"));
        assert_eq!(absolute[9..], ["--tag", "x=e", "--worker=f"]);
        let arguments = ["--powershell", "bin/pwsh"].map(OsString::from).into_iter();
        let absolute = absolute_options(arguments, |path| Ok(Path::new("/w").join(path))).unwrap();
        assert_eq!(absolute[1], path("bin/pwsh"));
    }

    #[test]
    fn service_is_known_by_its_last_arguments() {
        let is = |line: &str| is_service(line.split_whitespace().map(OsString::from));
        assert!(is("graywave-agent --gone service run"));
        assert!(!is("graywave-agent service run --data-dir d") && !is("graywave-agent service install"));
    }

    #[test]
    fn options_may_precede_the_registration_of_a_service() {
        let line = "graywave-agent --worker https://w:9443 --ca-file ca.pem service install";
        let args = Args::parse_from(line.split_whitespace());
        assert!(matches!(
            args.command,
            Some(Command::Service(ServiceCommand::Install { keep_files: false }))
        ));
        assert_eq!(args.workers, ["https://w:9443"]);
    }

    #[test]
    fn arguments_become_a_configuration() {
        let args = "graywave-agent --worker http://a:1 --worker http://b:2 --project p --desktop-id d --pool q \
                    --zone z --tag a=1 --tag b=x=y --data-dir /tmp/none --max-parallel 2";
        let config = Args::parse_from(args.split_whitespace()).into_config().unwrap();
        assert_eq!(config.worker_urls, ["http://a:1", "http://b:2"]);
        assert_eq!(config.max_parallel, 2);
        let desktop = config.desktop;
        assert_eq!((desktop.computer_name.as_str(), desktop.pool_id.as_str()), ("d", "q"));
        assert_eq!(desktop.tags.get("b").map(String::as_str), Some("x=y"));
        assert!(!desktop.os_host_name.is_empty());
        assert!(tag("=x").is_err());
    }

    #[test]
    fn kept_files_are_named_by_their_copies() {
        let given = ["--ca-file=/a b/ca.pem", "--enrolment-token-file", "/t", "--pool", "--ca-file"];
        let mut arguments = given.map(OsString::from);
        let copies = kept_files(&mut arguments, Path::new("/data"));
        let copy = |name: &str| Path::new("/data").join(name).into_os_string();
        let mut ca_file = OsString::from("--ca-file=");
        ca_file.push(copy("ca.pem"));
        assert_eq!(arguments[..3], [ca_file, "--enrolment-token-file".into(), copy("enrolment-token")]);
        let expected = [("/a b/ca.pem", "/data/ca.pem"), ("/t", "/data/enrolment-token")];
        assert_eq!(copies, expected.map(|(from, to)| (PathBuf::from(from), PathBuf::from(to))));
        // Again, with the copies: nothing is to be copied.
        assert!(kept_files(&mut arguments, Path::new("/data")).is_empty());
    }

    #[test]
    fn the_cas_alone_mean_an_enrolment() {
        let parsed = |more: &str| {
            let args = format!("graywave-agent --worker https://a:1 --data-dir /tmp/none {more}");
            Args::try_parse_from(args.split_whitespace()).map(|args| args.into_config())
        };
        let config = parsed("--ca-file ca --enrolment-token-file token").unwrap().unwrap();
        let enrolment = config.enrolment.unwrap();
        assert!(config.tls.is_none() && config.desktop.desktop_id.is_empty());
        assert!(matches!(enrolment.token, Some(Token::File(path)) if path.ends_with("token")));
        let config = parsed("--ca-file ca --cert-file cert --key-file key").unwrap().unwrap();
        assert!(config.tls.is_some() && config.enrolment.is_none());
        assert!(parsed("--ca-file ca --cert-file cert").unwrap().is_err());
        assert!(parsed("--enrolment-token-file token").is_err());
        assert!(parsed("").unwrap_err().to_string().contains("--project"));
        assert!(parsed("--ca-file a --cert-file b --key-file c --enrolment-token-file d").is_err());
    }
}
