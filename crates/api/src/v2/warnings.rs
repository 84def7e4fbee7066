//! Answer of the calls that create a task. The published body has the id alone, so the warnings
//! about the request come in a header.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use control::{Caller, Control};
use domain::{ids::TaskId, warning::Warning};

use super::Accepted;

const WARNINGS: HeaderName = HeaderName::from_static("x-graywave-warnings");
/// Maximum number of warnings in the header. Further ones are left out.
const MAX_WARNINGS: usize = 20;

/// An accepted task, and the header with the warnings about its request.
pub(crate) type AcceptedWithWarnings = (HeaderMap, Json<Accepted>);

/// Creates the answer for a stored task. Warnings that cannot be read are left out.
pub(super) async fn accepted(control: &Control, caller: &Caller, task_id: TaskId) -> AcceptedWithWarnings {
    let warnings = match control.warnings_after(caller, task_id).await {
        Ok(warnings) => warnings,
        Err(error) => {
            tracing::warn!(%task_id, error = &error as &dyn std::error::Error, "warnings are missing");
            Vec::new()
        }
    };
    let header = HeaderValue::from_str(&list(&warnings)).ok().filter(|value| !value.is_empty());
    let headers = header.map(|value| (WARNINGS, value)).into_iter().collect();
    (headers, Json(Accepted { task_id: task_id.to_string() }))
}

/// Formats the codes as a list of RFC 9651: `NO_CANARY, WAVE_WITHOUT_THRESHOLD;wave=2`.
fn list(warnings: &[Warning]) -> String {
    let member = |warning: &Warning| match warning.wave {
        Some(wave) => format!("{};wave={wave}", warning.code.as_str()),
        None => warning.code.as_str().to_owned(),
    };
    warnings.iter().take(MAX_WARNINGS).map(member).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use domain::warning::WarningCode;

    use super::*;

    #[test]
    fn warnings_are_a_list_of_codes_with_their_waves() {
        let warning = |code, wave| Warning { code, message: "x".into(), wave };
        let found =
            [warning(WarningCode::NoCanary, None), warning(WarningCode::WaveWithoutThreshold, Some(2))];
        assert_eq!(list(&found), "NO_CANARY, WAVE_WITHOUT_THRESHOLD;wave=2");
        assert_eq!(list(&[]), "");
        let many: Vec<_> =
            (1..=100).map(|wave| warning(WarningCode::WaveWithoutThreshold, Some(wave))).collect();
        assert_eq!(list(&many).split(", ").count(), MAX_WARNINGS);
    }
}
