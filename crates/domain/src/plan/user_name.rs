//! Name of the user that runs the scripts of a task.

use crate::{Error, limits};

const FIELD: &str = "run_as_user";

/// Validates the name of a local user, such as `www-data`: a lower-case letter or `_`, then
/// lower-case letters, digits, `_`, `.` and `-`, and `$` at the end for a machine account.
pub(super) fn check_run_as_user(name: String) -> Result<String, Error> {
    let chars = name.chars().count();
    if chars > limits::MAX_USER_NAME_CHARS {
        let message =
            format!("{chars} characters are given: at most {} are allowed", limits::MAX_USER_NAME_CHARS);
        return Err(Error::out_of_range(FIELD, message));
    }
    if name.contains(['\\', '@']) {
        let message = format!("{name:?} names a domain: give the name of a user on the desktop alone");
        return Err(Error::invalid(FIELD, message));
    }
    if !is_user_name(&name) {
        let message = format!(
            "{name:?} is not the name of a user: a lower-case letter or _, then lower-case letters, digits, _, . and -"
        );
        return Err(Error::invalid(FIELD, message));
    }
    Ok(name)
}

fn is_user_name(name: &str) -> bool {
    let stem = name.strip_suffix('$').unwrap_or(name);
    let is_first = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_next = |c: char| is_first(c) || c.is_ascii_digit() || matches!(c, '.' | '-');
    stem.starts_with(is_first) && stem.chars().all(is_next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn local_user_names_are_accepted() {
        for name in ["root", "www-data", "_apt", "a", "j.doe2", "desktop$", &"x".repeat(32)] {
            assert_eq!(check_run_as_user(name.to_owned()).unwrap(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in
            ["", "$", "0root", "Root", "-x", ".x", "a b", "a\n", "a;id", "a$b", "a/b", "j\u{f6}rg", "a:b"]
        {
            assert_eq!(
                check_run_as_user(name.to_owned()).unwrap_err().reason,
                Reason::FieldInvalid,
                "{name:?}"
            );
        }
        let long = check_run_as_user("x".repeat(33)).unwrap_err();
        assert_eq!((long.reason, long.field.unwrap().to_string().as_str()), (Reason::FieldOutOfRange, FIELD));
    }

    #[test]
    fn user_of_a_domain_is_refused_with_the_reason() {
        for name in ["CORP\\anna", "anna@corp.example"] {
            let error = check_run_as_user(name.to_owned()).unwrap_err();
            assert!(error.message.contains("names a domain"), "{error}");
        }
    }
}
