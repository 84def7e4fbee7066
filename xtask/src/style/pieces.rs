//! The prose of a file: comments and string literals of Rust, comments of SQL and protobuf, text of
//! Markdown.

use std::path::Path;

use ra_ap_rustc_lexer::{FrontmatterAllowed, LiteralKind, TokenKind, tokenize};

/// Where a piece of prose stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `///` or `//!` in Rust.
    Doc,
    /// Any other comment.
    Comment,
    /// A string literal.
    Literal,
    /// Text of a Markdown page outside of code blocks.
    Page,
}

/// One line of prose without its markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    /// Line of the file, from 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// The prose of a file by its extension; empty for an unknown extension.
pub(super) fn of_file<'a>(path: &Path, text: &'a str) -> Vec<Piece<'a>> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => of_rust(text),
        Some("sql") => of_comments(text, "--"),
        Some("proto") => of_comments(text, "//"),
        Some("md") => of_markdown(text),
        _ => Vec::new(),
    }
}

fn of_rust(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut offset, mut line) = (Vec::new(), 0, 1);
    for token in tokenize(text, FrontmatterAllowed::No) {
        let end = offset + token.len as usize;
        let source = text.get(offset..end).unwrap_or_default();
        let kind = match token.kind {
            TokenKind::LineComment { doc_style: Some(_) }
            | TokenKind::BlockComment { doc_style: Some(_), .. } => Some(Kind::Doc),
            TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Some(Kind::Comment),
            TokenKind::Literal { kind: LiteralKind::Str { .. } | LiteralKind::RawStr { .. }, .. } => {
                Some(Kind::Literal)
            }
            _ => None,
        };
        if let Some(kind) = kind {
            let lines = source.lines().enumerate();
            pieces.extend(lines.map(|(index, text)| Piece {
                kind,
                line: line + index,
                text: unmarked(text),
            }));
        }
        line += source.matches('\n').count();
        offset = end;
    }
    pieces
}

/// A line of a comment or literal without slashes, quotes and indentation.
fn unmarked(line: &str) -> &str {
    line.trim().trim_start_matches(['/', '!', '*', '"']).trim_end_matches('"').trim()
}

fn of_comments<'a>(text: &'a str, marker: &str) -> Vec<Piece<'a>> {
    let comment = |(index, line): (usize, &'a str)| {
        let (_, text) = line.split_once(marker)?;
        Some(Piece { kind: Kind::Comment, line: index + 1, text: text.trim() })
    };
    text.lines().enumerate().filter_map(comment).collect()
}

fn of_markdown(text: &str) -> Vec<Piece<'_>> {
    outside_of_code(text).map(|(line, text)| Piece { kind: Kind::Page, line, text: text.trim() }).collect()
}

/// Lines of a Markdown page outside of its code blocks, each with its number from 1.
pub(super) fn outside_of_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}
