//! Tags of a desktop: agent tags, and operator tags that take precedence.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error, Reason,
    limits::{MAX_DESKTOP_TEXT_CHARS, MAX_TAGS_PER_DESKTOP},
};

/// Tag values by name.
pub type Tags = BTreeMap<String, String>;

/// A change of a desktop's operator tags. Tags that it does not name stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Tags to set, whether or not they exist.
    pub set: Tags,
    /// Names of operator tags to remove, whether or not they exist.
    pub remove: BTreeSet<String>,
}

impl TagChange {
    /// Checks the change against the limits, before any data is read.
    pub fn check(&self) -> Result<(), Error> {
        if self.set.is_empty() && self.remove.is_empty() {
            return Err(Error::required("set", "name at least one tag to set or to remove"));
        }
        for (field, number) in [("set", self.set.len()), ("remove", self.remove.len())] {
            if number > MAX_TAGS_PER_DESKTOP {
                let message = format!("{number} tags are given: at most {MAX_TAGS_PER_DESKTOP} are allowed");
                return Err(Error::out_of_range(field, message));
            }
        }
        for (name, value) in &self.set {
            check_name("set", name)?;
            check_text("set", "a tag's value", value)?;
        }
        for name in &self.remove {
            check_name("remove", name)?;
            if self.set.contains_key(name) {
                let message = format!("the tag {name:?} cannot be set and removed in one change");
                return Err(Error::field(Reason::FieldsExclusive, "remove", message));
            }
        }
        Ok(())
    }

    /// Returns the operator tags after the change. `agents` are the tags that the agent reports.
    ///
    /// # Errors
    ///
    /// A removal of a tag that only the agent reports, and too many tags.
    pub fn apply(&self, agents: &Tags, operators: &Tags) -> Result<Tags, Error> {
        for name in &self.remove {
            if let Some(value) = agents.get(name).filter(|_| !operators.contains_key(name)) {
                let message = format!(
                    "the desktop's agent reports the tag {name:?} as {value:?}: set a value to override it"
                );
                return Err(Error::invalid("remove", message));
            }
        }
        let mut tags = operators.clone();
        tags.retain(|name, _| !self.remove.contains(name));
        tags.extend(self.set.clone());
        if tags.len() > MAX_TAGS_PER_DESKTOP {
            let message = format!(
                "the desktop would have {} operator tags: at most {MAX_TAGS_PER_DESKTOP} are allowed",
                tags.len()
            );
            return Err(Error::out_of_range("set", message));
        }
        Ok(tags)
    }
}

/// Checks that a tag name can be used in a selection `k=v,k2=v2`.
fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::required(field, "a tag's name must not be empty"));
    }
    if let Some(sign) = name.chars().find(|sign| matches!(sign, '=' | ',')) {
        let message = format!("a tag's name must not contain {sign:?}: no task could choose desktops by it");
        return Err(Error::invalid(field, message));
    }
    check_text(field, "a tag's name", name)
}

fn check_text(field: &'static str, what: &str, text: &str) -> Result<(), Error> {
    if text.chars().count() > MAX_DESKTOP_TEXT_CHARS {
        let message = format!("{what} has more than {MAX_DESKTOP_TEXT_CHARS} characters");
        return Err(Error::out_of_range(field, message));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("{what} must not contain a control character")));
    }
    Ok(())
}

/// Returns the effective tags: operator tags over agent tags.
pub fn effective(agents: &Tags, operators: &Tags) -> Tags {
    agents.iter().chain(operators).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn change(set: &[(&str, &str)], remove: &[&str]) -> TagChange {
        TagChange { set: tags(set), remove: remove.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn many(number: usize) -> Tags {
        (0..number).map(|number| (number.to_string(), String::new())).collect()
    }

    #[test]
    fn an_operators_tag_wins_and_gives_way_again() {
        let (agents, none) = (tags(&[("pool", "finance"), ("os", "linux")]), Tags::new());
        let operators = change(&[("pool", "lab"), ("owner", "ann")], &[]).apply(&agents, &none).unwrap();
        let now = effective(&agents, &operators);
        assert_eq!(now, tags(&[("pool", "lab"), ("os", "linux"), ("owner", "ann")]));
        let operators = change(&[], &["pool", "never-there"]).apply(&agents, &operators).unwrap();
        assert_eq!(operators, tags(&[("owner", "ann")]));
        assert_eq!(effective(&agents, &operators)["pool"], "finance");
    }

    #[test]
    fn what_only_the_agent_says_is_overruled_and_not_removed() {
        let error = change(&[], &["os"]).apply(&tags(&[("os", "linux")]), &Tags::new()).unwrap_err();
        assert!(error.to_string().contains("to override it"), "{}", error);
    }

    #[test]
    fn a_change_is_bounded_and_says_something() {
        let long = "ä".repeat(MAX_DESKTOP_TEXT_CHARS);
        change(&[(&long, &long)], &["x"]).check().unwrap();
        let longer = format!("{long}x");
        let wrong = [
            (change(&[], &[]), "set: name at least one tag"),
            (change(&[("", "x")], &[]), "name must not be empty"),
            (change(&[(&longer, "x")], &[]), "set: a tag's name has more than 256"),
            (change(&[("x", &longer)], &[]), "set: a tag's value has more than 256"),
            (change(&[("x", "a\u{0}b")], &[]), "set: a tag's value must not contain a control character"),
            (change(&[("a=b", "x")], &[]), "must not contain '='"),
            (change(&[], &["a,b"]), "remove: a tag's name must not contain ','"),
            (change(&[("x", "1")], &["x"]), "cannot be set and removed"),
            (TagChange { set: many(MAX_TAGS_PER_DESKTOP + 1), ..TagChange::default() }, "51 tags are given"),
        ];
        for (change, said) in wrong {
            let message = change.check().unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
        let full = many(MAX_TAGS_PER_DESKTOP);
        let error = change(&[("one more", "")], &[]).apply(&Tags::new(), &full).unwrap_err();
        assert!(error.to_string().contains("at most 50 are allowed"), "{}", error);
        // A slot that the same change frees may be used.
        change(&[("another", "")], &["0"]).apply(&full, &full).unwrap();
    }

    fn some_tags() -> impl Strategy<Value = Tags> {
        proptest::collection::btree_map("[a-e]", "[x-z]", 0..5)
    }

    proptest! {
        /// Set tags have the new value, removed tags fall back to the agent's value, and all others
        /// stay.
        #[test]
        fn every_tag_is_what_the_last_word_on_it_says(
            agents in some_tags(), operators in some_tags(), set in some_tags(),
            remove in proptest::collection::btree_set("[a-e]", 0..4),
        ) {
            let remove: BTreeSet<String> = remove
                .into_iter()
                .filter(|name| !set.contains_key(name) && (operators.contains_key(name) || !agents.contains_key(name)))
                .collect();
            let change = TagChange { set, remove };
            let after = change.apply(&agents, &operators).unwrap();
            prop_assert_eq!(&change.apply(&agents, &after).is_err(), &change.remove.iter().any(|name| agents.contains_key(name)));
            let now = effective(&agents, &after);
            for name in ["a", "b", "c", "d", "e"] {
                let expected = if let Some(value) = change.set.get(name) {
                    Some(value)
                } else if change.remove.contains(name) {
                    agents.get(name)
                } else {
                    operators.get(name).or_else(|| agents.get(name))
                };
                prop_assert_eq!(now.get(name), expected, "{}", name);
            }
        }
    }
}
