//! Capabilities of the terminal.

/// Reports whether the terminal can only print text (`TERM` is `dumb` or unset).
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
