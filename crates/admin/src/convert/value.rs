//! Values as they are written and read.

use domain::{Error, Timestamp};
use proto::{Word, time_opt};

/// A text that may say nothing.
pub(crate) fn text(value: Option<String>) -> String {
    value.unwrap_or_default()
}

/// A filter by text: an empty one asks for nothing.
pub(crate) fn filter(name: &'static str, value: String) -> Result<Option<String>, Error> {
    check_text(name, &value)?;
    Ok(Some(value).filter(|text| !text.is_empty()))
}

/// Texts of a filter, of which one must be so. An empty one is a mistake, and not a wish for all
/// there is.
pub(crate) fn filters(name: &'static str, values: Vec<String>) -> Result<Vec<String>, Error> {
    if values.iter().any(String::is_empty) {
        return Err(Error::invalid(name, "must not contain an empty text: leave it out"));
    }
    values.iter().try_for_each(|value| check_text(name, value))?;
    Ok(values)
}

/// No text of the database holds a NUL.
pub(crate) fn check_text(name: &'static str, value: &str) -> Result<(), Error> {
    if value.contains('\0') { Err(Error::invalid(name, "must not contain a NUL character")) } else { Ok(()) }
}

/// The word of an enum; `None` where it is not given.
pub(crate) fn word<W: Word>(name: &'static str, number: i32) -> Result<Option<&'static str>, Error> {
    let known =
        W::try_from(number).map_err(|_| Error::invalid(name, format!("{number} is not a known value")))?;
    Ok(Some(known.as_word()).filter(|word| !word.is_empty()))
}

/// A moment that a client names.
pub(crate) fn moment(
    name: &'static str,
    given: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    let out_of_range = || Error::invalid(name, "not a time of the calendar");
    given.map(|given| time_opt(&given).ok_or_else(out_of_range)).transpose()
}

/// How long something lasts.
pub(crate) fn duration(delta: chrono::TimeDelta) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: delta.num_seconds(), nanos: delta.subsec_nanos() })
}

/// Whether a field is to be taken, by a mask: of those that may be named with whether each is
/// given. `*` names them all; where there is no mask, those are taken that are given.
pub(crate) fn masked(
    mask: Option<&prost_types::FieldMask>,
    fields: &[(&'static str, bool)],
) -> Result<impl Fn(&str) -> bool + use<>, Error> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let is_known = |path: &&String| *path == "*" || fields.iter().any(|(name, _)| name == path);
    if let Some(path) = paths.iter().find(|path| !is_known(path)) {
        let shown: String = path.chars().take(64).collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let message = format!("{shown:?} is not a field that can change: use {}", names.join(", "));
        return Err(Error::invalid("update_mask", message));
    }
    let is_named = |name: &str| paths.iter().any(|path| path == "*" || path == name);
    let taken = fields.iter().filter(|(name, given)| if paths.is_empty() { *given } else { is_named(name) });
    let taken: Vec<&'static str> = taken.map(|(name, _)| *name).collect();
    if taken.is_empty() {
        return Err(Error::required("update_mask", "nothing to change: no field is given or named"));
    }
    Ok(move |name: &str| taken.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_names_what_may_be_changed() {
        let taken = |paths: &[&str], a_is_given: bool| {
            let mask = prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
            let taken = masked(Some(&mask), &[("a", a_is_given), ("b", false)]);
            taken.map(|taken| ["a", "b"].map(taken)).map_err(|error| error.to_string())
        };
        assert_eq!(taken(&["*"], false), Ok([true, true]));
        assert_eq!(taken(&["b"], true), Ok([false, true]));
        // Without a mask what is given is meant.
        assert_eq!(taken(&[], true), Ok([true, false]));
        assert!(taken(&[], false).unwrap_err().contains("nothing to change"));
        for paths in [&["c"][..], &["*", "c"]] {
            let told = taken(paths, true).unwrap_err();
            assert!(
                told.starts_with("update_mask: \"c\" is not a field that can change: use a, b"),
                "{told}"
            );
        }
        assert!(masked(None, &[("a", true)]).unwrap()("a"));
    }

    #[test]
    fn an_empty_text_in_a_filter_is_a_mistake() {
        assert_eq!(filters("desktop_ids", vec!["a".into()]).unwrap(), ["a"]);
        assert!(filters("desktop_ids", vec!["a".into(), String::new()]).is_err());
        assert!(filters("desktop_ids", vec!["a\0".into()]).is_err());
    }
}
