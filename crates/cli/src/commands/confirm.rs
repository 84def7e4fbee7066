//! Questions before a command changes something. They go to standard error, so that standard output
//! stays for the result.

use std::io::{IsTerminal as _, Write as _};

use proto::admin::PreviewTaskResponse;

use crate::{Error, format::many};

/// A question about a plan, before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Yes or no (`--ask`).
    YesOrNo,
    /// The number of desktops that start in the first wave.
    NumberOfDesktops(u32),
}

/// Reports whether a person can be asked: standard input and standard error are a terminal.
fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Returns the question about a plan of `desktops` in one wave; `None` if the command may run it
/// without one.
///
/// # Errors
///
/// The question needs a terminal.
pub(super) fn question(ask: bool, desktops: Option<u32>) -> Result<Option<Question>, Error> {
    question_for(ask, desktops, is_interactive())
}

fn question_for(ask: bool, desktops: Option<u32>, is_interactive: bool) -> Result<Option<Question>, Error> {
    match (desktops, ask, is_interactive) {
        (Some(desktops), _, true) => Ok(Some(Question::NumberOfDesktops(desktops))),
        (None, true, true) => Ok(Some(Question::YesOrNo)),
        (None, false, _) => Ok(None),
        (_, true, false) => Err(Error::misused("--ask needs a terminal")
            .try_next("graywave preview, then graywave run without --ask")),
        (Some(desktops), false, false) => Err(Error::misused(format!(
            "{desktops} desktops would start at once, without a gray wave before them"
        ))
        .try_next("--canary 5: runs 5 desktops first")
        .try_next("--yes: runs it without a question")),
    }
}

/// Asks about a shown plan.
///
/// # Errors
///
/// Any other answer declines.
pub(super) fn agree(question: Question, plan: &PreviewTaskResponse) -> Result<(), Error> {
    let is_agreed = match question {
        Question::YesOrNo => is_yes(&asked("Run it? [y/N] ")?),
        Question::NumberOfDesktops(desktops) => {
            let failed = plan.worst_case.unwrap_or_default().failed;
            is_number_typed(desktops, &format!("; at worst, {failed} fail"))?
        }
    };
    if is_agreed { Ok(()) } else { Err(Error::declined("declined; nothing was run")) }
}

/// Asks for the number of desktops that a retry starts at once, if it is above `confirm_above`.
///
/// # Errors
///
/// Any other answer declines, and without a terminal `--yes` is required.
pub(super) fn confirm_retry(desktops: u32, confirm_above: u32) -> Result<(), Error> {
    match question(false, (desktops > confirm_above).then_some(desktops))? {
        Some(Question::NumberOfDesktops(desktops)) if !is_number_typed(desktops, "")? => {
            Err(Error::declined("declined; nothing was run"))
        }
        _ => Ok(()),
    }
}

fn is_number_typed(desktops: u32, more: &str) -> Result<bool, Error> {
    let many = many(desktops, "desktop");
    let answer = asked(&format!("{many} start at once{more}.\nType the number of desktops to run it: "))?;
    Ok(is_number(&answer, desktops))
}

/// Asks whether a change may be made, unless `--yes` is given.
///
/// # Errors
///
/// The answer is not yes, or there is no terminal to ask on.
pub(super) fn confirm(question: &str, is_yes_given: bool) -> Result<(), Error> {
    if is_yes_given {
        return Ok(());
    }
    if !is_interactive() {
        return Err(Error::misused(format!("without a terminal, --yes must confirm: {question}"))
            .try_next("the same command with --yes"));
    }
    if is_yes(&asked(&format!("{question} [y/N] "))?) {
        Ok(())
    } else {
        Err(Error::declined("declined; nothing was changed"))
    }
}

/// Prints a question and reads the answer. The end of the input is an empty answer.
fn asked(question: &str) -> Result<String, Error> {
    let mut error = std::io::stderr();
    drop(write!(error, "{question}").and_then(|()| error.flush()));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Error::local("cannot read the answer", error))?;
    Ok(answer)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Reports whether an answer is the number, also with separators: `20,000`.
fn is_number(answer: &str, number: u32) -> bool {
    let digits: String =
        answer.trim().chars().filter(|c| !matches!(c, ',' | '.' | '_' | ' ' | '\'')).collect();
    digits == number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitStatus;

    #[test]
    fn many_desktops_in_one_wave_need_a_terminal_or_yes() {
        assert_eq!(question_for(false, None, false).unwrap(), None);
        assert_eq!(question_for(true, None, true).unwrap(), Some(Question::YesOrNo));
        for ask in [false, true] {
            let asked = question_for(ask, Some(21), true).unwrap();
            assert_eq!(asked, Some(Question::NumberOfDesktops(21)));
        }
        let refused = question_for(false, Some(21), false).unwrap_err();
        assert_eq!(refused.exit_status, ExitStatus::Misused);
        let text = refused.to_string();
        assert!(text.starts_with("21 desktops would start at once") && text.contains("--yes"), "{text}");
        assert!(question_for(true, None, false).unwrap_err().to_string().starts_with("--ask needs"));
    }

    #[test]
    fn answer_is_the_number_or_yes() {
        for answer in ["20000\n", " 20,000 ", "20_000", "20.000", "20'000", "20 000"] {
            assert!(is_number(answer, 20_000), "{answer}");
        }
        for answer in ["", "y", "2000", "200000", "-20000", "0x4e20"] {
            assert!(!is_number(answer, 20_000), "{answer}");
        }
        assert!(is_yes("y\n") && is_yes("YES") && !is_yes("") && !is_yes("yep"));
    }
}
