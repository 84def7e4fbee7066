//! Running a program as another user.

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::{RUNNER_ARGUMENT, UnixUser, User};

/// First argument of the process that becomes another user and executes a program.
const AS_ARGUMENT: &str = "__as";
/// Exit code if the program cannot be executed, as in a shell.
const NOT_EXECUTABLE: u8 = 126;

/// Command that executes a program as another user, through this same executable: the standard
/// library cannot set supplementary groups.
pub(super) fn command(user: &User, program: &str) -> io::Result<Command> {
    let User::Unix(user) = user else {
        return Err(io::Error::other("a user of another system"));
    };
    let mut command = Command::new("/proc/self/exe");
    if env::args_os().nth(1).is_some_and(|argument| argument == RUNNER_ARGUMENT) {
        command.arg(RUNNER_ARGUMENT);
    }
    command.arg(AS_ARGUMENT).arg(serde_json::to_string(user)?).arg(program);
    Ok(command)
}

/// Becomes another user and executes a program, if the arguments say so. Returns on failure, and
/// `None` for other arguments. A failure is written to standard error: the output of the script.
pub(crate) fn run_as(arguments: &[OsString]) -> Option<ExitCode> {
    let [first, user, program, rest @ ..] = arguments else { return None };
    if first != AS_ARGUMENT {
        return None;
    }
    let error = match user.to_str().map(serde_json::from_str::<UnixUser>) {
        Some(Ok(user)) => match become_user(&user) {
            Ok(()) => Command::new(program).args(rest).exec(),
            Err(error) => error,
        },
        _ => io::Error::other("the user is malformed"),
    };
    drop(writeln!(io::stderr(), "graywave-runner: running {} failed: {error}", program.display()));
    Some(ExitCode::from(NOT_EXECUTABLE))
}

fn become_user(user: &UnixUser) -> io::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setgid(Gid::from_raw(user.gid))?;
    setuid(Uid::from_raw(user.uid))?;
    Ok(())
}
