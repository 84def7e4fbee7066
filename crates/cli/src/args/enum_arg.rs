//! Parser for the words of an enum.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use proto::Word;

/// Parses a word of an enum into its number on the wire. Shell completion offers the words. Use
/// with `ignore_case`.
pub(crate) fn one_of<W: Word + Send + Sync + 'static>() -> impl TypedValueParser<Value = i32> {
    PossibleValuesParser::new(W::words()).map(|word| W::number(&word))
}
