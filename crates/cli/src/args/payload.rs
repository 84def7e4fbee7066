//! Payload of a task: saved scripts, a local file, or a command.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use clap_complete::{ArgValueCompleter, PathCompleter};
use domain::limits::{MAX_SCRIPT_CONTENT_CHARS, MAX_SCRIPT_NAME_CHARS};
use proto::admin::{Command, ScriptRevision, ScriptType, TaskSpec};

use super::{
    file_arg,
    interpreter::{self, of_rules},
    saved_script::{self, LocalScript},
};
use crate::{Error, client::Session, completion, output::Console, script_arg::script_id};

const HEADING: &str = "Script or command";

/// Flags that select the payload of a task.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PayloadFlags {
    /// Local script file; - reads standard input. Saved as a revision of your script of this name,
    /// or as a new script
    #[arg(value_name = "FILE", help_heading = HEADING, conflicts_with_all = ["script", "command"],
          add = ArgValueCompleter::new(PathCompleter::file()))]
    pub(crate) file: Option<PathBuf>,
    /// The same as FILE
    #[arg(long = "file", short = 'f', value_name = "FILE", help_heading = HEADING,
          conflicts_with_all = ["file", "script", "command"], alias = "filename",
          add = ArgValueCompleter::new(PathCompleter::file()))]
    pub(crate) file_flag: Option<PathBuf>,
    /// Saved script by name, id or first digits, at its newest or the given revision; repeat to
    /// run several in order
    #[arg(long, short, value_name = "SCRIPT[@REVISION]", value_delimiter = ',', value_parser = revision, help_heading = HEADING,
          conflicts_with = "command", visible_alias = "script-ids", aliases = ["script_ids", "script-id", "script_id"],
          add = ArgValueCompleter::new(completion::scripts))]
    pub(crate) script: Vec<ScriptRevision>,
    /// Value of a parameter that the scripts declare; repeat for several
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = named_value, help_heading = HEADING,
          conflicts_with = "command", aliases = ["parameter", "params"])]
    pub(crate) parameters: Vec<(String, String)>,
    /// Interpreter of the file or the command [default: by extension .ps1, .bat or .cmd, else
    /// SHELL]
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true, help_heading = HEADING,
          aliases = ["command-type", "command_type", "script-type"])]
    pub(crate) kind: Option<Kind>,
    /// Command line, under the API's name
    #[arg(long = "command", value_name = "LINE", help_heading = HEADING, hide = true,
          aliases = ["command-content", "command_content"], conflicts_with_all = ["file", "file_flag", "script", "command"])]
    pub(crate) command_content: Option<String>,
    /// Command line after --. A single word is used verbatim; several words are quoted for SHELL
    #[arg(last = true, value_name = "COMMAND", help_heading = HEADING)]
    pub(crate) command: Vec<String>,
}

/// Interpreter of a script or a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Kind {
    /// POSIX sh
    Shell,
    /// PowerShell
    Powershell,
    /// Windows batch file
    Bat,
}

/// Converts an interpreter to the script type of the admin service.
pub(crate) const fn script_type(kind: Kind) -> ScriptType {
    match kind {
        Kind::Shell => ScriptType::Shell,
        Kind::Powershell => ScriptType::Powershell,
        Kind::Bat => ScriptType::Bat,
    }
}

/// Selects the script type by the file extension; SHELL for an unknown extension.
fn type_of_file(path: &Path) -> ScriptType {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("ps1") => ScriptType::Powershell,
        Some("bat" | "cmd") => ScriptType::Bat,
        _ => ScriptType::Shell,
    }
}

/// Payload of a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Payload {
    /// Command line with its interpreter.
    Command(Command),
    /// Local file that is not saved as a script yet.
    File(LocalScript),
    /// Saved scripts, in the order in which they run.
    Scripts(Vec<ScriptRevision>),
}

impl PayloadFlags {
    /// Reads the payload from the flags and the local file, without a call to the control plane.
    pub(crate) fn read(self) -> Result<Payload, Error> {
        let command = self.command_content.map_or(self.command, |line| vec![line]);
        if !command.is_empty() {
            let kind = self.kind.map_or(ScriptType::Shell, script_type);
            let content = line(kind, &command)?;
            return Ok(Payload::Command(Command { command_type: kind.into(), content }));
        }
        if let Some(path) = self.file.as_ref().or(self.file_flag.as_ref()) {
            let (content, kind) = read_script(path, self.kind)?;
            let name = name_of(path);
            let name = name.chars().take(MAX_SCRIPT_NAME_CHARS).collect();
            return Ok(Payload::File(LocalScript { name, content, kind, parameters: Vec::new() }));
        }
        if self.script.is_empty() {
            return Err(Error::misused("nothing to run").try_next("a FILE, --script NAME, or -- COMMAND"));
        }
        Ok(Payload::Scripts(self.script))
    }
}

impl Payload {
    /// Resolves the names of scripts to their ids, and checks the parameters of a file.
    pub(crate) async fn resolve(
        &mut self,
        session: &Session,
        parameters: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        match self {
            Self::Scripts(scripts) => {
                for script in scripts {
                    script.script_id = script_id(session, &script.script_id).await?;
                }
                Ok(())
            }
            Self::File(script) => saved_script::check_parameters(session, script, parameters).await,
            Self::Command(_) => Ok(()),
        }
    }

    /// Sets the payload of a task for a preview. A file becomes a command, so that nothing is
    /// saved.
    pub(crate) fn look(&self, task: &mut TaskSpec) {
        match self.clone() {
            Self::Command(command) => task.command = Some(command),
            Self::File(LocalScript { content, kind, .. }) => {
                // A command declares none; they are checked with the saved script.
                task.parameters.clear();
                task.command = Some(Command { command_type: kind.into(), content });
            }
            Self::Scripts(scripts) => task.scripts = scripts,
        }
    }

    /// Sets the payload of a task for a run. A file is first saved as a script.
    pub(crate) async fn apply(
        self,
        task: &mut TaskSpec,
        session: &Session,
        console: &Console,
    ) -> Result<(), Error> {
        match self {
            Self::Command(command) => task.command = Some(command),
            Self::File(script) => task.scripts = vec![saved_script::save(session, console, script).await?],
            Self::Scripts(scripts) => task.scripts = scripts,
        }
        Ok(())
    }
}

/// Parses `SCRIPT` or `SCRIPT@REVISION`; revision 0 is the newest. A name may contain an at sign.
fn revision(text: &str) -> Result<ScriptRevision, String> {
    let of = |script: &str, revision| ScriptRevision {
        script_id: script.to_owned(),
        revision,
        ..ScriptRevision::default()
    };
    match text.rsplit_once('@') {
        Some((script, number)) if is_number(number) => match number.parse() {
            Ok(revision @ 1..) => Ok(of(script, revision)),
            _ => Err(format!("invalid revision {number:?}: expected a number from 1, as in {script}@2")),
        },
        Some((script, "")) => Err(format!("the revision is missing: expected a number, as in {script}@2")),
        _ => Ok(of(text, 0)),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses `NAME=VALUE`. The value may contain further equals signs, and may be empty.
fn named_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Collects the values of parameters.
///
/// # Errors
///
/// A parameter is named twice.
pub(crate) fn parameters(given: &[(String, String)]) -> Result<BTreeMap<String, String>, Error> {
    let mut values = BTreeMap::new();
    for (name, value) in given {
        if values.insert(name.clone(), value.clone()).is_some() {
            return Err(Error::misused(format!("--param {name} is given twice")));
        }
    }
    Ok(values)
}

/// Joins the words of a command into one line. For SHELL, the words are quoted, because the
/// operator's shell already split them.
fn line(kind: ScriptType, words: &[String]) -> Result<String, Error> {
    match (kind, words) {
        (_, [line]) => Ok(line.clone()),
        (ScriptType::Shell, words) => shlex::try_join(words.iter().map(String::as_str))
            .map_err(|error| Error::misused(format!("cannot quote the command for SHELL: {error}"))),
        (_, words) => Ok(words.join(" ")),
    }
}

/// Returns the name of the script in a file: the file name, or `stdin`.
pub(crate) fn name_of(path: &Path) -> String {
    if file_arg::is_stdin(path) {
        return "stdin".to_owned();
    }
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Warns of a script whose lines do not all end alike.
pub(crate) fn warn_of_line_ends(console: &Console, name: &str, content: &str, kind: ScriptType) {
    for warning in domain::warning::of_scripts([(of_rules(kind), name, content)]) {
        console.say(&format!("warning: {}\n  try: sed -i 's/\\r$//' {name}", warning.message));
    }
}

/// Reads a script file exactly as it is, with its type: `kind`, or else by the file extension.
/// Fails if the file is empty, too long or not UTF-8, or if no shell can run it.
pub(crate) fn read_script(path: &Path, kind: Option<Kind>) -> Result<(String, ScriptType), Error> {
    let text = file_arg::read(path, "script", MAX_SCRIPT_CONTENT_CHARS * 4).map_err(|failure| {
        // Without the two hyphens, clap takes a command for a file name.
        let is_word = path.components().count() == 1 && path.extension().is_none() && !path.exists();
        match is_word && !file_arg::is_stdin(path) {
            true => {
                failure.try_next(format!("graywave run ... -- {}: a command goes after --", path.display()))
            }
            false => failure,
        }
    })?;
    check_script(&text).map_err(|why| Error::misused(format!("cannot run {}: {why}", path.display())))?;
    let kind = kind.map_or_else(|| type_of_file(path), script_type);
    interpreter::check(path, of_rules(kind), &text)?;
    Ok((text, kind))
}

/// Checks the content of a script file by the rules of the control plane.
fn check_script(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let chars = text.chars().count();
    if chars > MAX_SCRIPT_CONTENT_CHARS {
        return Err(format!("the script has {chars} characters; the limit is {MAX_SCRIPT_CONTENT_CHARS}"));
    }
    domain::script::check_content("content", text).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_are_split_again_by_the_desktops_shell() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let of = |kind, it: &[&str]| line(kind, &words(it)).unwrap();
        assert_eq!(of(ScriptType::Shell, &["systemctl", "restart", "agent"]), "systemctl restart agent");
        assert_eq!(of(ScriptType::Shell, &["echo", "two words", "$HOME"]), "echo 'two words' '$HOME'");
        assert_eq!(of(ScriptType::Shell, &["echo $HOME | wc -c"]), "echo $HOME | wc -c");
        assert_eq!(of(ScriptType::Powershell, &["Get-Item", "C:\\"]), "Get-Item C:\\");
    }

    #[test]
    fn a_file_is_run_by_what_its_ending_says() {
        let of = |name: &str| type_of_file(Path::new(name));
        assert_eq!(
            (of("a.sh"), of("a"), of("a.PS1")),
            (ScriptType::Shell, ScriptType::Shell, ScriptType::Powershell)
        );
        assert_eq!((of("a.cmd"), of("a.bat")), (ScriptType::Bat, ScriptType::Bat));
    }

    #[test]
    fn a_command_that_was_taken_for_a_file_is_guessed() {
        let message = |name: &str| read_script(Path::new(name), None).unwrap_err().to_string();
        assert!(message("uptime-of-nothing").contains("graywave run ... -- uptime-of-nothing"));
        assert!(!message("nowhere.sh").contains("--:"));
    }

    #[test]
    fn script_file_is_read_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let content = "\u{feff}echo 1\r\necho 2\r\n";
        let read = read_script(&file("a.sh", content.as_bytes()), None).unwrap();
        assert_eq!(read, (content.to_owned(), ScriptType::Shell));
        let message = |path: &Path| read_script(path, None).unwrap_err().to_string();
        assert!(message(&file("nul.sh", b"a\0b")).contains("NUL character; character 2"));
        assert!(message(&file("wide.sh", b"e\0c\0h\0o\0")).contains("the text is UTF-16"));
        assert!(message(&file("wide.ps1", b"\xff\xfee\0")).contains("the text is UTF-16"));
    }

    #[test]
    fn program_of_another_interpreter_is_refused_in_each_shell_type() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.py");
        std::fs::write(&path, "print(1)\n").unwrap();
        for kind in [None, Some(Kind::Shell)] {
            let error = read_script(&path, kind).unwrap_err();
            assert_eq!(error.exit_status, crate::ExitStatus::Misused);
        }
        assert!(read_script(&path, Some(Kind::Powershell)).is_ok());
    }

    #[test]
    fn revision_is_a_number_after_the_last_at_sign() {
        let of = |text: &str| revision(text).map(|it| (it.script_id, it.revision));
        assert_eq!((of("abc"), of("abc@3")), (Ok(("abc".into(), 0)), Ok(("abc".into(), 3))));
        assert_eq!(of("a@home.sh@2"), Ok(("a@home.sh".into(), 2)));
        assert_eq!(of("a@home.sh"), Ok(("a@home.sh".into(), 0)), "a name with an at sign");
        assert!(of("abc@").is_err() && of("abc@0").is_err() && of("abc@99999999999").is_err());
    }
}
