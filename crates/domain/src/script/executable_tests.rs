use proptest::prelude::*;

use super::*;
use crate::Reason;

fn shell(content: &str) -> String {
    executable(ScriptType::Shell, content).into_owned()
}

#[test]
fn byte_order_mark_is_removed_for_every_type() {
    for script_type in ScriptType::ALL {
        assert_eq!(executable(script_type, "\u{feff}set -e\nfalse\n"), "set -e\nfalse\n");
        assert_eq!(executable(script_type, "\u{feff}\u{feff}x"), "x", "two tools may each add one");
        assert_eq!(executable(script_type, "a\u{feff}b"), "a\u{feff}b", "within the text it is data");
    }
    assert!(shell("\u{feff}#!/usr/bin/env python3\r\nprint(1)\r\n").starts_with("#!/usr/bin/env python3\n"));
}

#[test]
fn crlf_of_all_lines_becomes_lf_in_shell_scripts() {
    for (content, expected) in [
        ("printf v1 > /tmp/probe\r\nexit 0\r\n", "printf v1 > /tmp/probe\nexit 0\n"),
        ("a\r\nb", "a\nb"),
        ("a\r\nb\r", "a\nb\n"),
        ("exit 0\r", "exit 0\n"),
        ("\r", "\n"),
        ("\r\n\r\n", "\n\n"),
        ("a\r\r\nb\r\r\n", "a\nb\n"),
        ("printf 'a\rb'\r\n", "printf 'a\rb'\n"),
        ("cat <<E\r\nx\r\nE\r\n", "cat <<E\nx\nE\n"),
    ] {
        assert_eq!(shell(content), expected, "{content:?}");
        assert!(!has_mixed_line_ends(ScriptType::Shell, content), "{content:?}");
    }
}

#[test]
fn other_shell_scripts_stay_as_they_are() {
    for content in ["a\nb\n", "a", "", "\n", "printf 'a\rb'\n", "printf '\r' && x\ny"] {
        assert_eq!(shell(content), content, "{content:?}");
        assert!(!has_mixed_line_ends(ScriptType::Shell, content), "{content:?}");
    }
}

#[test]
fn mixed_line_ends_stay_and_are_reported() {
    for content in
        ["a\r\nb\n", "a\nb\r\n", "a\nb\r", "cat <<E\nx\r\nE\n", "echo a\recho b\r", "echo a\recho b"]
    {
        assert_eq!(shell(content), content, "{content:?}");
        assert!(has_mixed_line_ends(ScriptType::Shell, content), "{content:?}");
        assert!(has_mixed_line_ends(ScriptType::Shell, &format!("\u{feff}{content}")), "{content:?}");
        assert!(!has_mixed_line_ends(ScriptType::Bat, content), "{content:?}");
    }
}

#[test]
fn powershell_and_bat_keep_their_line_ends() {
    for script_type in [ScriptType::Powershell, ScriptType::Bat] {
        for content in ["a\r\nb\r\n", "a\r\nb\n", "a\r"] {
            assert_eq!(executable(script_type, content), content);
        }
    }
}

#[test]
fn utf_16_is_refused_by_its_name() {
    let utf_16 = |text: &str, mark: &str, is_big: bool| {
        let pair = |c: char| if is_big { format!("\0{c}") } else { format!("{c}\0") };
        format!("{mark}{}", text.chars().map(pair).collect::<String>())
    };
    for content in [
        utf_16("echo one\r\n", "", false),
        utf_16("echo one\r\n", "", true),
        // The byte order mark FF FE or FE FF, decoded as Latin-1, lossily, or as UTF-8 code points.
        utf_16("echo one\n", "\u{ff}\u{fe}", false),
        utf_16("echo one\n", "\u{fe}\u{ff}", true),
        utf_16("echo one\n", "\u{fffd}\u{fffd}", false),
        utf_16("echo one\n", "\u{feff}", false),
        utf_16("x", "", false),
        "\u{fffe}echo".to_owned(),
    ] {
        let error = check_encoding("content", &content).unwrap_err();
        assert_eq!(error.to_string(), "content: the text is UTF-16: save it as UTF-8", "{content:?}");
    }
}

#[test]
fn nul_is_refused_with_its_place() {
    for (content, place) in [("a\0b", 2), ("\0", 1), ("echo one\0", 9), ("a\0\0\0", 2)] {
        let error = check_encoding("command.content", content).unwrap_err();
        assert_eq!((error.reason, error.kind()), (Reason::FieldInvalid, crate::ErrorKind::Invalid));
        assert!(error.message.contains(&format!("character {place} is one")), "{error}");
    }
}

#[test]
fn only_a_byte_order_mark_is_no_content() {
    assert_eq!(check_encoding("content", "\u{feff}").unwrap_err().reason, Reason::FieldRequired);
    assert!(check_encoding("content", "\u{feff}true").is_ok() && check_encoding("content", " ").is_ok());
}

proptest! {
    #[test]
    fn executable_text_is_stable(content in "[a\r\n\u{feff} ]{0,12}") {
        for script_type in ScriptType::ALL {
            let once = executable(script_type, &content).into_owned();
            prop_assert_eq!(executable(script_type, &once), once.as_str());
            prop_assert!(!once.starts_with(BYTE_ORDER_MARK));
        }
    }

    #[test]
    fn text_without_mark_and_carriage_return_is_unchanged(content in "[^\r\u{feff}]{0,40}") {
        prop_assert_eq!(shell(&content), content);
    }
}
