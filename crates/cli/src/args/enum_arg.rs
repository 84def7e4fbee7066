//! Values of an enum, by their words.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use proto::Word;

/// Parses one of the words of an enum into its number on the wire. A shell offers the words. Use
/// with `ignore_case`.
pub(crate) fn one_of<W: Word + Send + Sync + 'static>() -> impl TypedValueParser<Value = i32> {
    PossibleValuesParser::new(W::words()).map(|word| W::number(&word))
}
