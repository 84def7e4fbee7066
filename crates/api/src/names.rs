//! Field names as clients of the REST API know them.

use domain::{FieldPath, error::Segment};

/// Set of field names that an error uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Names of most calls. Executions over named desktops use those of ExecuteScriptOrCommand.
    Native,
    /// Names of the executions by tag and by pool.
    Group,
    /// Names taken from the request, used unchanged.
    Verbatim,
}

/// Header with the reason of a change.
pub(crate) const REASON_HEADER: &str = "X-Graywave-Reason";
/// Header with the ticket of a change.
pub(crate) const TICKET_HEADER: &str = "X-Graywave-Ticket";

/// Path of a domain field and its REST name.
type Renamed = (&'static [&'static str], &'static str);

/// Fields with the same name in all calls.
const COMMON: [Renamed; 5] = [
    (&["idempotency_key"], "Idempotency-Key"),
    (&["reason"], REASON_HEADER),
    (&["ticket"], TICKET_HEADER),
    (&["scripts"], "script_ids"),
    (&["command", "command_type"], "command_type"),
];
/// Fields of ExecuteScriptOrCommand.
const NATIVE: [Renamed; 3] = [
    (&["desktop_ids"], "resource_ids"),
    (&["gray_desktop_ids"], "gray_resource_ids"),
    (&["command", "content"], "command"),
];
/// Fields of the executions by tag and by pool.
const GROUP: [Renamed; 2] = [(&["command", "content"], "command_content"), (&["desktop_pool_id"], "pool_id")];

impl Names {
    /// REST name of a field; `None` for the body as a whole.
    pub(crate) fn of(self, field: &FieldPath) -> Option<String> {
        let own: &[Renamed] = match self {
            Self::Native => &NATIVE,
            Self::Group => &GROUP,
            Self::Verbatim => return Some(field.to_string()),
        };
        let segments = field.segments();
        // The body of PutPolicy is the policy document itself.
        if let Some(inside) = after(segments, &["document"]) {
            return (!inside.is_empty()).then(|| FieldPath::from(inside.to_vec()).to_string());
        }
        let found = COMMON.iter().chain(own).find_map(|(path, name)| Some((after(segments, path)?, *name)));
        let Some((rest, name)) = found else { return Some(field.to_string()) };
        let renamed = rest.iter().cloned().fold(FieldPath::from(name), FieldPath::with);
        Some(renamed.to_string())
    }
}

/// Segments after a prefix; `None` if the path does not start with the prefix.
fn after<'a>(segments: &'a [Segment], path: &[&str]) -> Option<&'a [Segment]> {
    let (head, rest) = segments.split_at_checked(path.len())?;
    let fits = |(segment, name): (&Segment, &&str)| matches!(segment, Segment::Name(it) if it == *name);
    head.iter().zip(path).all(fits).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(names: Names, field: impl Into<FieldPath>) -> Option<String> {
        names.of(&field.into())
    }

    #[test]
    fn field_has_the_name_of_the_published_body() {
        for (field, native, group) in [
            ("desktop_ids", "resource_ids", "desktop_ids"),
            ("gray_desktop_ids", "gray_resource_ids", "gray_desktop_ids"),
            ("scripts", "script_ids", "script_ids"),
            ("command.content", "command", "command_content"),
            ("command.command_type", "command_type", "command_type"),
            ("gray_count", "gray_count", "gray_count"),
            (
                "rollout.approval.before_waves",
                "rollout.approval.before_waves",
                "rollout.approval.before_waves",
            ),
            ("idempotency_key", "Idempotency-Key", "Idempotency-Key"),
            ("reason", "X-Graywave-Reason", "X-Graywave-Reason"),
        ] {
            assert_eq!(name(Names::Native, field).as_deref(), Some(native));
            assert_eq!(name(Names::Group, field).as_deref(), Some(group));
            assert_eq!(name(Names::Verbatim, field).as_deref(), Some(field));
        }
    }

    #[test]
    fn place_within_a_field_is_kept() {
        let wave = FieldPath::from("rollout.waves").index(1).name("count");
        assert_eq!(name(Names::Native, wave).unwrap(), "rollout.waves[1].count");
        assert_eq!(name(Names::Native, FieldPath::from("desktop_ids").index(7)).unwrap(), "resource_ids[7]");
    }

    #[test]
    fn document_of_a_policy_is_the_body() {
        let statement = FieldPath::from("document.Statement").index(0).name("Action");
        assert_eq!(name(Names::Native, statement).unwrap(), "Statement[0].Action");
        assert_eq!(name(Names::Native, "document"), None);
    }
}
