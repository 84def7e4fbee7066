//! Exit codes that a request names.

use crate::Error;

/// Parses an exit code other than 0 in its only spelling, so that no two keys name the same code.
///
/// The range is that of Windows, whose codes have 32 bits: 3010, or -1073741510 for 0xC000013A.
/// Other systems have the codes 1 to 255.
pub fn parse(text: &str) -> Result<i32, Error> {
    let number: Option<i64> = text.trim().parse().ok();
    let code = number.and_then(|number| {
        // Windows shows codes also without a sign.
        i32::try_from(number).ok().or_else(|| u32::try_from(number).ok().map(u32::cast_signed))
    });
    match code {
        Some(0) => Err(Error::unreadable("0 is always a success")),
        Some(code) if code.to_string() == text => Ok(code),
        Some(code) => Err(Error::unreadable(format!("write this exit code as {code}"))),
        None => Err(Error::unreadable(format!(
            "an exit code is a number from {} to {}: no process ends with another one",
            i32::MIN,
            i32::MAX
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_of_windows_and_of_other_systems_are_read() {
        for code in [1, 255, 256, 3010, -1, -1_073_741_510, i32::MAX, i32::MIN] {
            assert_eq!(parse(&code.to_string()).unwrap(), code);
        }
    }

    #[test]
    fn other_spelling_of_a_code_is_refused_with_the_right_one() {
        for (text, right) in [
            ("03010", "3010"),
            ("+7", "7"),
            (" 7", "7"),
            ("-007", "-7"),
            ("3221225786", "-1073741510"),
            ("4294967295", "-1"),
        ] {
            let message = parse(text).unwrap_err().message;
            assert!(message.ends_with(&format!("as {right}")), "{text}: {message}");
        }
    }

    #[test]
    fn impossible_code_is_refused() {
        for text in
            ["0", "00", "-0", "", "x", "1.5", "0x10", "4294967296", "-2147483649", "9".repeat(40).as_str()]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_code_has_one_spelling(text in "[ +-]{0,2}[0-9]{0,11}") {
            if let Ok(code) = parse(&text) {
                prop_assert_eq!(code.to_string(), text);
            }
        }
    }
}
