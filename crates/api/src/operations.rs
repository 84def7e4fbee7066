//! Table of all calls: action for policies, and whether a call changes state.

use domain::authz::Action;

/// A call, identified by its operation id in the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation_id: &'static str,
    pub(crate) action: Action,
    /// Changes state: the call is audited, and a signature on the call is valid once.
    pub(crate) changes: bool,
    /// Names up to a million desktops, so the body may have the size of an execution's.
    pub(crate) is_large: bool,
    /// Stops, pauses or freezes something: slots are reserved for the call, and the body is small.
    pub(crate) is_urgent: bool,
    /// Returns a secret that is shown once. The response cannot be repeated, so the call accepts no
    /// `Idempotency-Key`.
    pub(crate) reveals: bool,
    /// Any caller may ask: the use case checks the rights.
    pub(crate) is_open: bool,
}

const fn reads(operation_id: &'static str, action: Action) -> Call {
    Call {
        operation_id,
        action,
        changes: false,
        is_large: false,
        reveals: false,
        is_urgent: false,
        is_open: false,
    }
}

const fn changes(operation_id: &'static str, action: Action) -> Call {
    Call { changes: true, ..reads(operation_id, action) }
}

const fn stops(operation_id: &'static str, action: Action) -> Call {
    Call { is_urgent: true, ..changes(operation_id, action) }
}

const fn reveals(operation_id: &'static str, action: Action) -> Call {
    Call { reveals: true, ..changes(operation_id, action) }
}

const fn runs(operation_id: &'static str, action: Action) -> Call {
    Call { is_large: true, ..changes(operation_id, action) }
}

/// A POST that changes nothing; its body holds the question.
const fn asks(operation_id: &'static str, action: Action, is_large: bool) -> Call {
    Call { is_large, ..reads(operation_id, action) }
}

/// A question about the caller itself, which needs no action.
const fn asks_about_itself(operation_id: &'static str, action: Action) -> Call {
    Call { is_open: true, ..reads(operation_id, action) }
}

/// All calls. A call missing from this table is refused.
pub(crate) const CALLS: &[Call] = &[
    changes("CreateScript", Action::CreateScript),
    reads("ListScripts", Action::ListScripts),
    reads("ShowScriptDetail", Action::GetScript),
    changes("UpdateScript", Action::PutScript),
    changes("DeleteScript", Action::DeleteScript),
    runs("ExecuteScriptOrCommand", Action::Execute),
    runs("ExecuteScriptByDesktopTag", Action::ExecuteByDesktopTag),
    changes("RetryScriptExecution", Action::Retry),
    stops("StopScriptExecution", Action::Stop),
    reads("ListScriptTasks", Action::ListTasks),
    reads("ListScriptRecords", Action::ListRecords),
    reads("ShowScriptRecordDetail", Action::GetRecordDetail),
    runs("ExecuteDesktopPoolScript", Action::ExecuteOnPool),
    reads("ShowDesktopPoolsScriptExecTasks", Action::ListPoolTasks),
    reads("ListDesktops", Action::ListDesktops),
    reads("ListDesktopsDetail", Action::ListDesktopsDetail),
    runs("CreateExecution", Action::Execute),
    asks("PreviewExecution", Action::Execute, true),
    reads("ListTasks", Action::ListTasks),
    reads("GetTask", Action::GetTask),
    stops("StopTask", Action::Stop),
    changes("RetryTask", Action::Retry),
    changes("SetConcurrency", Action::SetConcurrency),
    stops("PauseTask", Action::Pause),
    changes("ResumeTask", Action::Resume),
    changes("ApproveWave", Action::Approve),
    reads("ExplainTask", Action::GetTask),
    reads("WatchTask", Action::GetTask),
    reads("GetTaskMap", Action::GetTask),
    reads("WatchProject", Action::GetTask),
    reads("GetAttention", Action::ListTasks),
    reads("ListFailures", Action::GetRecordDetail),
    reads("ListFailureMembers", Action::GetRecordDetail),
    asks("WhatIf", Action::GetTask, false),
    reads("GetFreeze", Action::GetProject),
    stops("FreezeProject", Action::Freeze),
    changes("UnfreezeProject", Action::Unfreeze),
    reads("GetLimits", Action::GetProject),
    changes("PutLimits", Action::PutLimits),
    reads("ListTargets", Action::GetTask),
    reads("ExportTargets", Action::GetTask),
    reads("ExportRecords", Action::ListRecords),
    reads("ExportDesktops", Action::ListDesktopsDetail),
    reads("ListRecords", Action::ListRecords),
    reads("GetRecord", Action::GetRecordDetail),
    reads("ReadOutput", Action::GetRecordDetail),
    reads("ListWorkers", Action::ListWorkers),
    reads("ListAudit", Action::ListAudit),
    changes("SaveScript", Action::CreateScript),
    reads("ListSavedScripts", Action::ListScripts),
    reads("GetScript", Action::GetScript),
    changes("PutScript", Action::PutScript),
    changes("RemoveScript", Action::DeleteScript),
    reads("ListRevisions", Action::GetScript),
    reads("ListKnownDesktops", Action::ListDesktopsDetail),
    reads("GetDesktop", Action::ListDesktopsDetail),
    asks_about_itself("CheckAccess", Action::ListPolicies),
    reads("ListPrincipals", Action::ListPrincipals),
    changes("PutPrincipal", Action::PutPrincipal),
    reads("ListPolicies", Action::ListPolicies),
    changes("PutPolicy", Action::PutPolicy),
    changes("DeletePolicy", Action::DeletePolicy),
    reads("ListTokens", Action::ListTokens),
    reveals("CreateToken", Action::CreateToken),
    changes("DeleteToken", Action::DeleteToken),
    reads("ListKeys", Action::ListKeys),
    reveals("CreateKey", Action::CreateKey),
    changes("DeleteKey", Action::DeleteKey),
    reads("ListEnrolmentTokens", Action::ListEnrolmentTokens),
    reveals("CreateEnrolmentToken", Action::CreateEnrolmentToken),
    changes("DeleteEnrolmentToken", Action::DeleteEnrolmentToken),
    changes("RevokeDesktop", Action::RevokeDesktop),
    changes("TagDesktop", Action::TagDesktop),
    changes("RetireDesktop", Action::RetireDesktop),
    changes("UnretireDesktop", Action::UnretireDesktop),
];

/// Looks up the call of an operation id.
pub(crate) fn find(operation_id: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.operation_id == operation_id)
}
