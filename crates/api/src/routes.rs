//! All documented routes and the OpenAPI document built from them.

use control::Control;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{openapi, v1, v2};

/// Returns the router of all documented routes.
pub(crate) fn documented() -> OpenApiRouter<Control> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(v2::scripts::create, v2::scripts::list))
        .routes(routes!(v2::scripts::show, v2::scripts::update, v2::scripts::delete))
        .routes(routes!(v2::executions::execute))
        .routes(routes!(v2::group_executions::execute_by_tag))
        .routes(routes!(v2::retry_stop::retry))
        .routes(routes!(v2::retry_stop::stop))
        .routes(routes!(v2::tasks::list))
        .routes(routes!(v2::records::list))
        .routes(routes!(v2::records::show))
        .routes(routes!(v2::group_executions::execute_on_pool))
        .routes(routes!(v2::pool_tasks::list))
        .routes(routes!(v2::desktops::list))
        .routes(routes!(v2::desktops_detail::list))
        .routes(routes!(v1::executions::create))
        .routes(routes!(v1::preview::preview))
        .routes(routes!(v1::tasks::list))
        .routes(routes!(v1::tasks::show))
        .routes(routes!(v1::tasks::stop))
        .routes(routes!(v1::tasks::retry))
        .routes(routes!(v1::tasks::set_concurrency))
        .routes(routes!(v1::pause::pause))
        .routes(routes!(v1::pause::resume))
        .routes(routes!(v1::approval::approve))
        .routes(routes!(v1::insight::explain))
        .routes(routes!(v1::insight::failures))
        .routes(routes!(v1::insight::members))
        .routes(routes!(v1::insight::what_if))
        .routes(routes!(v1::events::watch))
        .routes(routes!(v1::map::show))
        .routes(routes!(v1::project_events::watch))
        .routes(routes!(v1::attention::show))
        .routes(routes!(v1::freeze::show_freeze, v1::freeze::freeze, v1::freeze::unfreeze))
        .routes(routes!(v1::limits::show, v1::limits::put))
        .routes(routes!(v1::targets::list))
        .routes(routes!(v1::export::targets))
        .routes(routes!(v1::export::records))
        .routes(routes!(v1::export::all_desktops))
        .routes(routes!(v1::records::list))
        .routes(routes!(v1::records::show))
        .routes(routes!(v1::live_output::read))
        .routes(routes!(v1::workers::list))
        .routes(routes!(v1::audit::list))
        .routes(routes!(v1::scripts::create, v1::scripts::list))
        .routes(routes!(v1::scripts::show, v1::scripts::put, v1::scripts::delete))
        .routes(routes!(v1::scripts::revisions))
        .routes(routes!(v1::desktops::list))
        .routes(routes!(v1::desktops::show))
        .routes(routes!(v1::desktops::revoke))
        .routes(routes!(v1::desktops::tag))
        .routes(routes!(v1::desktops::retire, v1::desktops::unretire))
        .routes(routes!(v1::access::questions::check_access))
        .routes(routes!(v1::access::principals::list))
        .routes(routes!(v1::access::principals::put))
        .routes(routes!(v1::access::policies::list))
        .routes(routes!(v1::access::policies::put, v1::access::policies::delete))
        .routes(routes!(v1::access::tokens::create, v1::access::tokens::list))
        .routes(routes!(v1::access::tokens::delete))
        .routes(routes!(v1::access::keys::create, v1::access::keys::list))
        .routes(routes!(v1::access::keys::delete))
        .routes(routes!(v1::access::enrolment_tokens::create, v1::access::enrolment_tokens::list))
        .routes(routes!(v1::access::enrolment_tokens::delete))
}

/// Returns the complete OpenAPI document.
pub fn document() -> OpenApi {
    openapi::finish(documented().into_openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::Method;

    use super::*;
    use crate::operations;

    #[test]
    fn calls_and_their_actions_match_one_to_one() {
        let documented: BTreeSet<String> = openapi::operations(&document()).map(|(_, _, id)| id).collect();
        let named: BTreeSet<String> =
            operations::CALLS.iter().map(|call| call.operation_id.to_owned()).collect();
        assert_eq!(documented, named);
        assert_eq!(named.len(), operations::CALLS.len(), "duplicate operation id");
        for (method, _, id) in openapi::operations(&document()) {
            let call = operations::find(&id).unwrap();
            let only_asks = ["PreviewExecution", "WhatIf", "CheckAccess"].contains(&id.as_str());
            assert_eq!(call.changes, method != Method::GET && !only_asks, "{id}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next());
        let mut seen = 0;
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
            seen += 1;
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn every_path_belongs_to_a_project() {
        for (_, path, _) in openapi::operations(&document()) {
            assert!(
                path.starts_with("/v2/{project_id}/") || path.starts_with("/v1/projects/{project_id}/"),
                "{path}"
            );
        }
    }
}
