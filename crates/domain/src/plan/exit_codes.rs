//! Validation of the exit codes of a rollout object.

use std::collections::BTreeMap;

use crate::{Error, FieldPath, limits, outcome::exit_code, policy::Weight};

/// Exit codes by their meaning.
#[derive(Debug, Default)]
pub(super) struct ExitCodes {
    /// Codes whose weight differs from that of FAILED.
    pub(super) weights: BTreeMap<i32, Weight>,
    /// Codes besides 0 that are a success.
    pub(super) successes: Vec<i32>,
    /// Codes that are a success and ask for a reboot.
    pub(super) reboots: Vec<i32>,
}

/// Parses exit codes. Error fields are relative to the rollout object.
pub(super) fn check_exit_codes(codes: BTreeMap<String, String>) -> Result<ExitCodes, Error> {
    if codes.len() > limits::MAX_EXIT_CODES {
        let message =
            format!("{} exit codes are given: at most {} are allowed", codes.len(), limits::MAX_EXIT_CODES);
        return Err(Error::out_of_range("exit_codes", message));
    }
    let mut checked = ExitCodes::default();
    for (code, word) in codes {
        let field = || FieldPath::from("exit_codes").key(&code);
        let number = exit_code::parse(&code).map_err(|error| error.within(field()))?;
        match word.as_str() {
            "success" => checked.successes.push(number),
            "reboot" => checked.reboots.push(number),
            weight => {
                let weight = weight
                    .parse()
                    .map_err(|_| Error::invalid(field(), "must be success, reboot, count, ignore or halt"))?;
                checked.weights.insert(number, weight);
            }
        }
    }
    Ok(checked)
}
