//! Lists of ids in requests.

use std::collections::HashSet;

use crate::{Error, FieldPath};

/// Parses ids and removes duplicates. The first occurrence stays.
pub(super) fn distinct<T>(field: &'static str, texts: Vec<String>) -> Result<Vec<T>, Error>
where
    T: std::str::FromStr<Err = Error> + Clone + Eq + std::hash::Hash,
{
    let mut seen = HashSet::with_capacity(texts.len());
    let mut ids = Vec::with_capacity(texts.len());
    for (place, text) in texts.into_iter().enumerate() {
        let id: T = text.parse().map_err(|error: Error| error.within(FieldPath::from(field).index(place)))?;
        if seen.insert(id.clone()) {
            ids.push(id);
        }
    }
    Ok(ids)
}
