//! Tags of a desktop: what its agent says, and what operators have made of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error,
    limits::{MAX_DESKTOP_TEXT_CHARS, MAX_TAGS_PER_DESKTOP},
};

/// Names with their values.
pub type Tags = BTreeMap<String, String>;

/// What an operator wants of a desktop's tags; what it does not name stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Tags to set, whether they are there or not.
    pub set: Tags,
    /// Names of operators' tags to remove, whether they are there or not.
    pub remove: BTreeSet<String>,
}

impl TagChange {
    /// Whether it is within the limits, before anything is looked at.
    pub fn check(&self) -> Result<(), Error> {
        if self.set.is_empty() && self.remove.is_empty() {
            return Err(Error::invalid("set and remove name no tag: name at least one"));
        }
        for (field, number) in [("set", self.set.len()), ("remove", self.remove.len())] {
            if number > MAX_TAGS_PER_DESKTOP {
                return Err(Error::invalid(format!("{field} names more than {MAX_TAGS_PER_DESKTOP} tags")));
            }
        }
        for (name, value) in &self.set {
            check_name("set", name)?;
            check_text("set", "a tag's value", value)?;
        }
        for name in &self.remove {
            check_name("remove", name)?;
            if self.set.contains_key(name) {
                return Err(Error::invalid(format!(
                    "remove names the tag {name:?}, which set names as well"
                )));
            }
        }
        Ok(())
    }

    /// The operators' tags after the change of a desktop whose agent says `agents`.
    ///
    /// # Errors
    ///
    /// A tag to remove that only the agent has, and too many tags.
    pub fn apply(&self, agents: &Tags, operators: &Tags) -> Result<Tags, Error> {
        for name in &self.remove {
            if let Some(value) = agents.get(name).filter(|_| !operators.contains_key(name)) {
                return Err(Error::invalid(format!(
                    "remove names the tag {name:?}, which the desktop's agent reports as {value:?}: it cannot be removed \
                     here, only overruled, by setting it to another value"
                )));
            }
        }
        let mut tags = operators.clone();
        tags.retain(|name, _| !self.remove.contains(name));
        tags.extend(self.set.clone());
        if tags.len() > MAX_TAGS_PER_DESKTOP {
            return Err(Error::invalid(format!(
                "set leaves the desktop with {} tags of operators: it has at most {MAX_TAGS_PER_DESKTOP}, beside those of its agent",
                tags.len()
            )));
        }
        Ok(tags)
    }
}

/// A name that tasks can choose desktops by, which is done as `k=v,k2=v2`.
fn check_name(field: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid(format!("{field} names a tag with an empty name")));
    }
    if let Some(sign) = name.chars().find(|sign| matches!(sign, '=' | ',')) {
        return Err(Error::invalid(format!(
            "{field}: a tag's name must not hold {sign:?}: no task could choose desktops by it"
        )));
    }
    check_text(field, "a tag's name", name)
}

fn check_text(field: &str, what: &str, text: &str) -> Result<(), Error> {
    if text.chars().count() > MAX_DESKTOP_TEXT_CHARS {
        return Err(Error::invalid(format!(
            "{field}: {what} has more than {MAX_DESKTOP_TEXT_CHARS} characters"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{field}: {what} holds a control character")));
    }
    Ok(())
}

/// What a desktop is marked with: operators' tags win over those of its agent.
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
        assert!(error.message.contains("only overruled"), "{}", error.message);
    }

    #[test]
    fn a_change_is_bounded_and_says_something() {
        let long = "ä".repeat(MAX_DESKTOP_TEXT_CHARS);
        change(&[(&long, &long)], &["x"]).check().unwrap();
        let longer = format!("{long}x");
        let wrong = [
            (change(&[], &[]), "name no tag"),
            (change(&[("", "x")], &[]), "empty name"),
            (change(&[(&longer, "x")], &[]), "set: a tag's name has more than 256"),
            (change(&[("x", &longer)], &[]), "set: a tag's value has more than 256"),
            (change(&[("x", "a\u{0}b")], &[]), "set: a tag's value holds a control character"),
            (change(&[("a=b", "x")], &[]), "must not hold '='"),
            (change(&[], &["a,b"]), "remove: a tag's name must not hold ','"),
            (change(&[("x", "1")], &["x"]), "which set names as well"),
            (TagChange { set: many(MAX_TAGS_PER_DESKTOP + 1), ..TagChange::default() }, "more than 50 tags"),
        ];
        for (change, said) in wrong {
            let message = change.check().unwrap_err().message;
            assert!(message.contains(said), "{message}");
        }
        let full = many(MAX_TAGS_PER_DESKTOP);
        let error = change(&[("one more", "")], &[]).apply(&Tags::new(), &full).unwrap_err();
        assert!(error.message.contains("has at most 50"), "{}", error.message);
        // A place that is freed by the same change may be taken.
        change(&[("another", "")], &["0"]).apply(&full, &full).unwrap();
    }

    fn some_tags() -> impl Strategy<Value = Tags> {
        proptest::collection::btree_map("[a-e]", "[x-z]", 0..5)
    }

    proptest! {
        /// What was set is there, what was removed is as the agent has it, and all else stays.
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
