//! Conversions of plain values: texts, filters, enums, times and field masks.

use domain::{Error, Timestamp, ids::IdPrefix};
use proto::{Word, time_opt};

/// Returns the text; empty for `None`.
pub(crate) fn text(value: Option<String>) -> String {
    value.unwrap_or_default()
}

/// Reads a text filter. An empty text means no filter.
pub(crate) fn filter(name: &'static str, value: String) -> Result<Option<String>, Error> {
    check_text(name, &value)?;
    Ok(Some(value).filter(|text| !text.is_empty()))
}

/// Reads a filter of alternatives. An empty entry is an error, because it would match everything.
pub(crate) fn filters(name: &'static str, values: Vec<String>) -> Result<Vec<String>, Error> {
    if values.iter().any(String::is_empty) {
        return Err(Error::invalid(name, "must not contain an empty entry; omit it"));
    }
    values.iter().try_for_each(|value| check_text(name, value))?;
    Ok(values)
}

/// Rejects NUL characters, which Postgres cannot store in text.
pub(crate) fn check_text(name: &'static str, value: &str) -> Result<(), Error> {
    if value.contains('\0') { Err(Error::invalid(name, "must not contain a NUL character")) } else { Ok(()) }
}

/// Returns the domain word of an enum number; `None` for 0 (unspecified). Unknown numbers are
/// errors.
pub(crate) fn word<W: Word>(name: &'static str, number: i32) -> Result<Option<&'static str>, Error> {
    let known =
        W::try_from(number).map_err(|_| Error::invalid(name, format!("{number} is not a known value")))?;
    Ok(Some(known.as_word()).filter(|word| !word.is_empty()))
}

/// Converts a timestamp of a client.
pub(crate) fn moment(
    name: &'static str,
    given: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    let out_of_range = || Error::invalid(name, "the timestamp is out of range");
    given.map(|given| time_opt(&given).ok_or_else(out_of_range)).transpose()
}

/// Reads a filter of the first digits of an id. An empty text means no filter.
pub(crate) fn id_prefix(name: &'static str, digits: &str) -> Result<Option<IdPrefix>, Error> {
    let given = Some(digits).filter(|digits| !digits.is_empty());
    given.map(str::parse).transpose().map_err(|error: Error| error.within(name))
}

/// Converts a time span to a protobuf duration.
pub(crate) fn duration(delta: chrono::TimeDelta) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: delta.num_seconds(), nanos: delta.subsec_nanos() })
}

/// Returns a predicate that selects the fields to change. `fields` pairs each changeable field with
/// whether the request sets it.
///
/// The mask `*` selects all fields. Without a mask, the fields that are set are selected. Unknown
/// fields and an empty selection are errors.
pub(crate) fn masked(
    mask: Option<&prost_types::FieldMask>,
    fields: &[(&'static str, bool)],
) -> Result<impl Fn(&str) -> bool + use<>, Error> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let is_known = |path: &&String| *path == "*" || fields.iter().any(|(name, _)| name == path);
    if let Some(path) = paths.iter().find(|path| !is_known(path)) {
        let shown: String = path.chars().take(64).collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let message = format!("{shown:?} is not a field that can change; use {}", names.join(", "));
        return Err(Error::invalid("update_mask", message));
    }
    let is_named = |name: &str| paths.iter().any(|path| path == "*" || path == name);
    let taken = fields.iter().filter(|(name, given)| if paths.is_empty() { *given } else { is_named(name) });
    let taken: Vec<&'static str> = taken.map(|(name, _)| *name).collect();
    if taken.is_empty() {
        return Err(Error::required("update_mask", "nothing to change; set a field or list one in the mask"));
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
        // Without a mask, the fields that are set are selected.
        assert_eq!(taken(&[], true), Ok([true, false]));
        assert!(taken(&[], false).unwrap_err().contains("nothing to change"));
        for paths in [&["c"][..], &["*", "c"]] {
            let message = taken(paths, true).unwrap_err();
            assert!(
                message.starts_with("update_mask: \"c\" is not a field that can change; use a, b"),
                "{message}"
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
