//! Validation of reboots and of the return of desktops in a rollout object.

use crate::{
    Error,
    limits::{MAX_AGENT_VERSION_CHARS, MAX_RETURN_TIMEOUT_SECONDS},
    return_policy::ReturnPolicy,
};

/// Fields of the rollout object that belong together.
#[derive(Debug, Default)]
pub(super) struct ReturnRequest {
    pub(super) post_finish: Option<String>,
    pub(super) if_user_active: Option<String>,
    pub(super) agent_version: Option<String>,
    pub(super) timeout_seconds: Option<i64>,
    /// Checked exit codes that ask for a reboot.
    pub(super) reboot_exit_codes: Vec<i32>,
}

/// Validates the fields. The published API writes `REBOOT`, and its text says `reboot`: both are
/// accepted.
pub(super) fn check_returns(request: ReturnRequest) -> Result<ReturnPolicy, Error> {
    let ReturnRequest { post_finish, if_user_active, agent_version, timeout_seconds, reboot_exit_codes } =
        request;
    let policy = ReturnPolicy {
        post_finish: post_finish.map(|word| parse("post_finish", &word.to_lowercase())).transpose()?,
        if_user_active: if_user_active
            .map(|word| parse("if_user_active", &word))
            .transpose()?
            .unwrap_or_default(),
        agent_version: agent_version.map(check_version).transpose()?,
        timeout_seconds: timeout_seconds.map(check_timeout).transpose()?,
        reboot_exit_codes,
    };
    if policy.post_finish == Some(crate::return_policy::PostFinish::Stop) && policy.agent_version.is_some() {
        let message = "a desktop that is powered off has no agent to attach: leave out post_finish stop";
        return Err(Error::invalid("agent_version", message));
    }
    Ok(policy)
}

fn parse<T: std::str::FromStr<Err = Error>>(field: &'static str, word: &str) -> Result<T, Error> {
    word.parse().map_err(|error: Error| error.within(field))
}

fn check_version(version: String) -> Result<String, Error> {
    let chars = version.chars().count();
    if chars > MAX_AGENT_VERSION_CHARS {
        let message = format!("{chars} characters are given: at most {MAX_AGENT_VERSION_CHARS} are allowed");
        return Err(Error::out_of_range("agent_version", message));
    }
    if version.is_empty() || !version.chars().all(|char| char.is_ascii_graphic()) {
        let message = format!("{version:?} is no version: write it as agents report it, like 0.2.0");
        return Err(Error::invalid("agent_version", message));
    }
    Ok(version)
}

fn check_timeout(seconds: i64) -> Result<u32, Error> {
    let fits = |seconds: &u32| (1..=MAX_RETURN_TIMEOUT_SECONDS).contains(&i64::from(*seconds));
    u32::try_from(seconds).ok().filter(fits).ok_or_else(|| {
        let message = format!("{seconds} seconds are out of range: 1 to {MAX_RETURN_TIMEOUT_SECONDS}");
        Error::out_of_range("return_timeout_seconds", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::return_policy::{IfUserActive, PostFinish};

    fn field(request: ReturnRequest) -> String {
        check_returns(request).unwrap_err().field.unwrap().to_string()
    }

    #[test]
    fn words_of_both_spellings_are_read() {
        for (word, action) in [
            ("REBOOT", PostFinish::Reboot),
            ("reboot", PostFinish::Reboot),
            ("STOP", PostFinish::Stop),
            ("stop", PostFinish::Stop),
        ] {
            let request = ReturnRequest { post_finish: Some(word.into()), ..ReturnRequest::default() };
            assert_eq!(check_returns(request).unwrap().post_finish, Some(action), "{word}");
        }
        let request = ReturnRequest { if_user_active: Some("ask".into()), ..ReturnRequest::default() };
        assert_eq!(check_returns(request).unwrap().if_user_active, IfUserActive::Ask);
        assert_eq!(check_returns(ReturnRequest::default()).unwrap(), ReturnPolicy::default());
    }

    #[test]
    fn value_out_of_its_limits_names_its_field() {
        let text = |text: &str| Some(text.to_owned());
        let wrong = ReturnRequest { post_finish: text("restart"), ..ReturnRequest::default() };
        assert_eq!(field(wrong), "post_finish");
        let wrong = ReturnRequest { if_user_active: text("now"), ..ReturnRequest::default() };
        assert_eq!(field(wrong), "if_user_active");
        for version in [String::new(), "1 2".into(), "\u{0}".into(), "1".repeat(65)] {
            let wrong = ReturnRequest { agent_version: Some(version), ..ReturnRequest::default() };
            assert_eq!(field(wrong), "agent_version");
        }
        for seconds in [0, -1, MAX_RETURN_TIMEOUT_SECONDS + 1, i64::MAX] {
            let wrong = ReturnRequest { timeout_seconds: Some(seconds), ..ReturnRequest::default() };
            assert_eq!(field(wrong), "return_timeout_seconds");
        }
    }

    #[test]
    fn version_of_a_desktop_that_is_powered_off_is_refused() {
        let wrong = ReturnRequest {
            post_finish: Some("stop".into()),
            agent_version: Some("1.0.0".into()),
            ..ReturnRequest::default()
        };
        assert_eq!(field(wrong), "agent_version");
    }
}
