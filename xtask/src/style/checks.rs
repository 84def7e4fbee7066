//! The rules, each as a function from text to faults.

use std::path::Path;

use super::{
    Fault,
    phrases::BANNED,
    pieces::{Kind, Piece, outside_of_code},
};

/// Columns of a comment line in code.
const MAX_COMMENT_COLUMNS: usize = 100;
/// Columns of a line of Markdown outside of tables and code blocks.
const MAX_PAGE_COLUMNS: usize = 120;
/// Characters of a test's name.
const MAX_TEST_NAME_CHARS: usize = 60;

/// Attributes that make a function a test.
const TEST_ATTRIBUTES: [&str; 2] = ["#[test]", "#[tokio::test"];

/// Calls that read a message, followed by a call that decides by its text.
const MESSAGES: [&str; 3] = [".message()", ".message", ".to_string()"];
const DECISIONS: [&str; 4] = [".contains(", ".starts_with(", ".ends_with(", ".replace("];

/// Phrases that are banned, at word boundaries and in any case.
pub(super) fn phrases(pieces: &[Piece<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for piece in pieces {
        let text = piece.text.to_lowercase();
        for (phrase, instead) in BANNED {
            if contains_phrase(&text, phrase) {
                faults.push(Fault {
                    line: Some(piece.line),
                    message: format!("\"{phrase}\" is banned; write {instead}"),
                });
            }
        }
    }
    faults
}

fn contains_phrase(text: &str, phrase: &str) -> bool {
    let is_boundary = |neighbour: Option<char>| neighbour.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    text.match_indices(phrase).any(|(at, found)| {
        let (before, after) =
            (text.get(..at).unwrap_or_default(), text.get(at + found.len()..).unwrap_or_default());
        is_boundary(before.chars().next_back()) && is_boundary(after.chars().next())
    })
}

/// Comment lines and lines of Markdown beyond their width. Tables and code blocks may be wider, and
/// so may a line that a link makes too long.
pub(super) fn long_lines(path: &Path, text: &str) -> Vec<Fault> {
    let (marker, limit) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs" | "proto") => ("//", MAX_COMMENT_COLUMNS),
        Some("sql") => ("--", MAX_COMMENT_COLUMNS),
        Some("md") => {
            return outside_of_code(text).filter_map(|line| too_long(line, MAX_PAGE_COLUMNS)).collect();
        }
        _ => return Vec::new(),
    };
    let comments = (1..).zip(text.lines()).filter(|(_, line)| line.trim_start().starts_with(marker));
    comments.filter_map(|line| too_long(line, limit)).collect()
}

fn too_long((number, line): (usize, &str), limit: usize) -> Option<Fault> {
    let columns = line.chars().count();
    let is_table = line.trim_start_matches(['/', '!', ' ']).starts_with('|');
    let message = format!("{columns} columns; at most {limit}");
    (columns > limit && !is_table && !line.contains("](")).then_some(Fault { line: Some(number), message })
}

/// Doc comments of one word, which only repeat a name.
pub(super) fn one_word_docs(path: &Path, pieces: &[Piece<'_>]) -> Vec<Fault> {
    if path.extension().is_none_or(|extension| extension != "rs") {
        return Vec::new();
    }
    let is_doc = |index: Option<usize>, line: usize| {
        index
            .and_then(|index| pieces.get(index))
            .is_some_and(|piece| piece.kind == Kind::Doc && piece.line == line)
    };
    let mut faults = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let is_alone =
            !is_doc(index.checked_sub(1), piece.line - 1) && !is_doc(Some(index + 1), piece.line + 1);
        let words = piece.text.split_whitespace().count();
        if piece.kind == Kind::Doc && is_alone && words == 1 && piece.text.ends_with('.') {
            let message =
                format!("a doc comment of one word, \"{}\": say shape, unit or meaning", piece.text);
            faults.push(Fault { line: Some(piece.line), message });
        }
    }
    faults
}

/// Decisions by the text of a message in production code: the reason or the field decides.
pub(super) fn prose_decisions(path: &Path, text: &str) -> Vec<Fault> {
    let is_source = path.components().any(|part| part.as_os_str() == "src") && path.starts_with("crates");
    let is_test = path.to_str().is_some_and(|path| path.contains("tests"));
    if !is_source || is_test || path.extension().is_none_or(|extension| extension != "rs") {
        return Vec::new();
    }
    let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let decides = |line: &&str| {
        MESSAGES.iter().any(|message| DECISIONS.iter().any(|call| line.contains(&format!("{message}{call}"))))
    };
    let lines = production.lines().enumerate().filter(|(_, line)| decides(line));
    lines
        .map(|(index, _)| Fault {
            line: Some(index + 1),
            message: "a decision by the text of a message: branch on kind, reason or field".to_owned(),
        })
        .collect()
}

/// Tests in Rust whose name is too long to be read in a list of tests.
pub(super) fn long_test_names(path: &Path, text: &str) -> Vec<Fault> {
    if path.extension().is_none_or(|extension| extension != "rs") {
        return Vec::new();
    }
    let (mut faults, mut is_test) = (Vec::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        is_test |= TEST_ATTRIBUTES.iter().any(|attribute| line.trim_start().starts_with(attribute));
        let Some(name) = function_name(line).filter(|_| is_test) else { continue };
        is_test = false;
        let chars = name.chars().count();
        if chars > MAX_TEST_NAME_CHARS {
            let message = format!(
                "a test name of {chars} characters, at most {MAX_TEST_NAME_CHARS}: write condition_expected_result"
            );
            faults.push(Fault { line: Some(number), message });
        }
    }
    faults
}

/// Name of the function that a line declares; `None` on any other line.
fn function_name(line: &str) -> Option<&str> {
    let declared = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
    let name = declared.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}
