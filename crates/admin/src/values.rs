//! Values as they are written and read.

use domain::{Error, Timestamp};
use proto::{Word, time_opt};

/// A text that may say nothing.
pub(crate) fn text(value: Option<String>) -> String {
    value.unwrap_or_default()
}

/// A filter by text: an empty one asks for nothing.
pub(crate) fn filter(name: &str, value: String) -> Result<Option<String>, Error> {
    check_text(name, &value)?;
    Ok(Some(value).filter(|text| !text.is_empty()))
}

/// Texts of a filter.
pub(crate) fn filters(name: &str, values: Vec<String>) -> Result<Vec<String>, Error> {
    values.iter().try_for_each(|value| check_text(name, value))?;
    Ok(values.into_iter().filter(|text| !text.is_empty()).collect())
}

/// No text of the database holds a NUL.
pub(crate) fn check_text(name: &str, value: &str) -> Result<(), Error> {
    if value.contains('\0') { Err(Error::invalid(format!("{name} holds a NUL character"))) } else { Ok(()) }
}

/// The word of an enum; `None` where it is not given.
pub(crate) fn word<W: Word>(name: &str, number: i32) -> Result<Option<&'static str>, Error> {
    let known = W::try_from(number).map_err(|_| Error::invalid(format!("{name} {number} is not known")))?;
    Ok(Some(known.as_word()).filter(|word| !word.is_empty()))
}

/// A moment that a client names.
pub(crate) fn moment(name: &str, given: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Error> {
    let out_of_range = || Error::invalid(format!("{name} is no time of the calendar"));
    given.map(|given| time_opt(&given).ok_or_else(out_of_range)).transpose()
}

/// How long something lasts.
pub(crate) fn duration(delta: chrono::TimeDelta) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: delta.num_seconds(), nanos: delta.subsec_nanos() })
}

/// The fields that a mask names, of those that it may name; all of them where it is left out or says `*`.
pub(crate) fn masked<'a>(
    mask: Option<&prost_types::FieldMask>,
    known: &[&'a str],
) -> Result<Vec<&'a str>, Error> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if paths.is_empty() || paths.iter().any(|path| path == "*") {
        return Ok(known.to_vec());
    }
    paths
        .iter()
        .map(|path| {
            known.iter().copied().find(|name| name == path).ok_or_else(|| {
                let shown: String = path.chars().take(64).collect();
                Error::invalid(format!("update_mask names {shown:?}: it may name {}", known.join(", ")))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_names_what_may_be_changed() {
        let masked = |paths: &[&str]| {
            let mask = prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
            masked(Some(&mask), &["a", "b"])
        };
        assert_eq!(masked(&[]).unwrap(), ["a", "b"]);
        assert_eq!(masked(&["*"]).unwrap(), ["a", "b"]);
        assert_eq!(masked(&["b"]).unwrap(), ["b"]);
        assert!(masked(&["c"]).unwrap_err().message.starts_with("update_mask names \"c\": it may name a, b"));
    }
}
