//! Error text of a failed command.

use domain::{Error, FieldPath, error::Segment};

/// Flags of the database commands whose names differ from the field.
const FLAGS: [(&str, &str); 6] = [
    ("policies", "--policy"),
    ("document", "--file"),
    ("expire_time", "--expires"),
    ("desktop_id", "--desktop"),
    ("uses", "--uses"),
    ("expires_in_hours", "--expires"),
];

/// Formats an error with its causes, each once. A domain error also gets its flag and a link to
/// its reason.
pub(crate) fn text(error: &anyhow::Error) -> String {
    let Some(refused) = error.downcast_ref::<Error>() else { return causes(error) };
    let field = refused.field.as_ref().map(flag);
    let mut text = refused.text(field.as_deref());
    // Between the reason and the innermost cause, each layer only repeats that its work failed.
    if let Some(cause) = error.chain().skip(1).last() {
        let message = store::postgres_message(error.as_ref()).unwrap_or_else(|| cause.to_string());
        text.push_str(&format!(": {message}"));
    }
    text + &format!("\n  see: {}", refused.reason.anchor())
}

/// Joins the messages of an error and its causes. Omits a cause that the message before repeats.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    if let Some(message) = store::postgres_message(error.as_ref()) {
        return format!("{text}: {message}");
    }
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(&format!(": {cause}"));
        }
    }
    text
}

/// Returns the flag of a field, with the path inside its value.
fn flag(field: &FieldPath) -> String {
    let [Segment::Name(first), inside @ ..] = field.segments() else { return field.to_string() };
    let Some((_, name)) = FLAGS.iter().find(|(known, _)| known == first) else { return field.to_string() };
    if inside.is_empty() {
        return (*name).to_owned();
    }
    format!("{name} ({})", FieldPath::from(inside.to_vec()))
}

#[cfg(test)]
mod tests {
    use domain::Reason;

    use super::*;

    #[test]
    fn every_reason_links_to_its_explanation() {
        for &reason in Reason::ALL {
            let error = Error::field(reason, "policies", "x").with_source("y");
            let expected = format!("--policy: x: y\n  see: docs/errors.md#{}", reason.as_str());
            assert_eq!(text(&error.into()), expected);
        }
        assert_eq!(text(&anyhow::anyhow!("x").context("y")), "y: x");
        assert_eq!(text(&anyhow::anyhow!("x").context("y: x").context("z")), "z: y: x");
    }

    #[test]
    fn field_of_a_command_on_the_database_is_its_flag() {
        let statement = FieldPath::from("document.Statement").index(0).name("Action");
        assert_eq!(flag(&statement), "--file (Statement[0].Action)");
        assert_eq!(flag(&"principal".into()), "principal");
    }
}
