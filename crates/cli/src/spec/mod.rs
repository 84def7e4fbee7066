//! What is to run, where and how: from flags to the request.

mod desktops;
mod input;
mod measures;
mod payload;
mod rollout;

use clap::builder::{PossibleValuesParser, TypedValueParser};
pub(crate) use desktops::DesktopFlags;
pub(crate) use measures::pair;
pub(crate) use payload::{
    Kind, Payload, PayloadFlags, name_of, read_script, script_type, type_of_file, warn_of_line_ends,
};
use proto::Word;
pub(crate) use rollout::{Ending, RolloutFlags};

/// One of the words of an enum, in whatever case, as its number on the wire; a shell is offered them. With `ignore_case`.
pub(crate) fn one_of<W: Word + Send + Sync + 'static>() -> impl TypedValueParser<Value = i32> {
    PossibleValuesParser::new(W::words()).map(|word| W::number(&word))
}
