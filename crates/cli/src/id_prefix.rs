//! Generated ids by their first digits.

use crate::{Error, sanitize::sanitize_line};

/// Number of hexadecimal digits of a whole id.
const WHOLE: usize = 32;
/// Number of digits that a table shows. They are the milliseconds of the creation time, so two ids
/// share them only if they were made in the same millisecond.
const SHORT: usize = 12;
/// Maximum number of candidates of an ambiguous name; also the page size of their request.
pub(crate) const CANDIDATES: i32 = 6;

/// Digits of an id that a user typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Digits {
    /// A whole id.
    Whole(String),
    /// The first digits of an id.
    Prefix(String),
}

impl Digits {
    /// Reads hexadecimal digits, with or without the hyphens of a UUID; `None` for other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|char| *char != '-').collect();
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits.len() {
            _ if !is_hex => None,
            WHOLE => Some(Self::Whole(digits.to_lowercase())),
            ..WHOLE => Some(Self::Prefix(digits.to_lowercase())),
            _ => None,
        }
    }
}

/// Shortens a generated id for a table. Other ids stay as they are.
pub(crate) fn short(id: &str) -> &str {
    let is_generated = id.len() == WHOLE && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_generated { id.get(..SHORT).unwrap_or(id) } else { id }
}

/// Returns the id of the only candidate: pairs of an id and its description. `list` is the command
/// that lists all of them.
///
/// Without a candidate, the request is refused. With several, the command line is ambiguous.
pub(crate) fn only(
    what: &str,
    typed: &str,
    candidates: Vec<(String, String)>,
    list: &str,
) -> Result<String, Error> {
    let typed = sanitize_line(typed);
    match candidates.as_slice() {
        [] => Err(Error::refused(format!("no {what} matches {typed:?}")).try_next(list)),
        [(id, _)] => Ok(id.clone()),
        several => {
            let shown = several.iter().take(usize::try_from(CANDIDATES - 1).unwrap_or_default());
            let failure = Error::misused(format!("{typed:?} matches several {what}s"));
            let failure = shown.fold(failure, |failure, (id, text)| {
                failure.try_next(format!("{}: {}", sanitize_line(id), sanitize_line(text)))
            });
            if several.len() < usize::try_from(CANDIDATES).unwrap_or_default() {
                return Err(failure);
            }
            Err(failure.try_next(list))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitStatus;

    #[test]
    fn digits_are_a_whole_id_or_its_start() {
        let whole = "01a22ee6b00070008000000000000000";
        assert_eq!(Digits::parse(&whole.to_uppercase()), Some(Digits::Whole(whole.into())));
        let with_hyphens = "01a22ee6-b000-7000-8000-000000000000";
        assert_eq!(Digits::parse(with_hyphens), Some(Digits::Whole(whole.into())));
        assert_eq!(Digits::parse("01A2"), Some(Digits::Prefix("01a2".into())));
        for wrong in ["", "-", "patch.sh", "01a2 ", &format!("{whole}0")] {
            assert_eq!(Digits::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn table_shortens_generated_ids_only() {
        assert_eq!(short("01a22ee6b00070008000000000000000"), "01a22ee6b000");
        for kept in ["desktop-1", "01a22ee6b000", "01a22ee6-b000-7000-8000-000000000000"] {
            assert_eq!(short(kept), kept);
        }
    }

    #[test]
    fn several_candidates_are_a_mistake_that_lists_them() {
        let candidates = |count: usize| (0..count).map(|n| (format!("id{n}"), "by ann".to_owned())).collect();
        let of = |count| only("script", "patch", candidates(count), "graywave scripts");
        let none = of(0).unwrap_err();
        assert_eq!(none.exit_status, ExitStatus::Refused);
        assert_eq!(none.to_string(), "no script matches \"patch\"\n  try: graywave scripts");
        assert_eq!(of(1).unwrap(), "id0");
        let two = of(2).unwrap_err();
        assert_eq!(two.exit_status, ExitStatus::Misused);
        assert_eq!(
            two.to_string(),
            "\"patch\" matches several scripts\n  try: id0: by ann\n  try: id1: by ann"
        );
        let six = of(6).unwrap_err().to_string();
        assert!(six.ends_with("id4: by ann\n  try: graywave scripts"), "{six}");
    }
}
