//! The table of methods: action, access, and whether a method changes state. A method missing here
//! is denied.

use domain::authz::Action;

/// Credentials that a method accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A token. Its policies must allow the action.
    Token(Action),
    /// A token whose policies allow the action, or an admin certificate without a token.
    TokenOrCertificate(Action),
    /// A token; the use case checks the rights. The action names the call in the audit.
    AnyToken(Action),
    /// An admin certificate without a token. The method belongs to no project.
    Certificate,
}

/// Row of the method table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    /// `Service/Method`, as in the path after the package.
    name: &'static str,
    pub(crate) open: Access,
    /// Whether the method changes state. Failed calls of such methods are audited.
    pub(crate) changes: bool,
    /// Whether the request may list many desktop ids. Its body is metered by the body budget.
    pub(crate) is_large: bool,
    /// Whether the method stops, pauses or freezes something. Such calls have reserved capacity.
    pub(crate) is_urgent: bool,
}

impl Method {
    /// Returns the names of the service and the method.
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('/').unwrap_or_default()
    }
}

const fn reads(name: &'static str, action: Action) -> Method {
    Method { name, open: Access::Token(action), changes: false, is_large: false, is_urgent: false }
}

const fn changes(name: &'static str, action: Action) -> Method {
    Method { name, open: Access::Token(action), changes: true, is_large: false, is_urgent: false }
}

const fn of_cluster(name: &'static str, action: Action, changes: bool) -> Method {
    Method { name, open: Access::TokenOrCertificate(action), changes, is_large: false, is_urgent: false }
}

const fn names_desktops(name: &'static str, changes: bool) -> Method {
    Method { name, open: Access::Token(Action::Execute), changes, is_large: true, is_urgent: false }
}

const fn open(name: &'static str, action: Action) -> Method {
    Method { open: Access::AnyToken(action), ..reads(name, action) }
}

const fn outside(name: &'static str, changes: bool) -> Method {
    Method { name, open: Access::Certificate, changes, is_large: false, is_urgent: false }
}

const fn urgent(call: Method) -> Method {
    Method { is_urgent: true, ..call }
}

/// All methods. Methods missing from this table are denied.
pub(crate) const METHODS: &[Method] = &[
    // The use case checks the permission to choose desktops by pool or tag.
    names_desktops("TaskService/SubmitTask", true),
    names_desktops("TaskService/PreviewTask", false),
    reads("TaskService/GetTask", Action::GetTask),
    reads("TaskService/ListTasks", Action::ListTasks),
    reads("TaskService/WatchTask", Action::GetTask),
    urgent(changes("TaskService/PauseTask", Action::Pause)),
    changes("TaskService/ResumeTask", Action::Resume),
    changes("TaskService/ApproveWave", Action::Approve),
    urgent(changes("TaskService/StopTask", Action::Stop)),
    changes("TaskService/RetryTask", Action::Retry),
    changes("TaskService/SetConcurrency", Action::SetConcurrency),
    reads("TaskService/ListTargets", Action::GetTask),
    reads("InsightService/ExplainTask", Action::GetTask),
    reads("InsightService/ListFailures", Action::GetRecordDetail),
    reads("InsightService/ListFailureMembers", Action::GetRecordDetail),
    reads("InsightService/WhatIf", Action::GetTask),
    reads("InsightService/GetTaskMap", Action::GetTask),
    reads("InsightService/GetAttention", Action::ListTasks),
    reads("RecordService/ListRecords", Action::ListRecords),
    reads("RecordService/GetRecord", Action::GetRecordDetail),
    reads("RecordService/StreamRecords", Action::GetRecordDetail),
    reads("RecordService/StreamOutput", Action::GetRecordDetail),
    reads("ProjectService/GetProject", Action::GetProject),
    urgent(changes("ProjectService/FreezeProject", Action::Freeze)),
    changes("ProjectService/UnfreezeProject", Action::Unfreeze),
    changes("ProjectService/UpdateLimits", Action::PutLimits),
    reads("ProjectService/WatchProject", Action::GetTask),
    outside("ProjectService/ListProjects", false),
    outside("ProjectService/CreateProject", true),
    urgent(outside("ProjectService/RevokeProject", true)),
    outside("ProjectService/UnrevokeProject", true),
    urgent(outside("ProjectService/StopProject", true)),
    outside("CertificateService/ListDeniedCertificates", false),
    outside("CertificateService/DenyCertificate", true),
    outside("CertificateService/AllowCertificate", true),
    of_cluster("WorkerService/ListWorkers", Action::ListWorkers, false),
    of_cluster("WorkerService/DrainWorker", Action::DrainWorker, true),
    of_cluster("WorkerService/UndrainWorker", Action::UndrainWorker, true),
    reads("DesktopService/ListDesktops", Action::ListDesktopsDetail),
    reads("DesktopService/GetDesktop", Action::ListDesktopsDetail),
    changes("DesktopService/TagDesktop", Action::TagDesktop),
    changes("DesktopService/RetireDesktop", Action::RetireDesktop),
    changes("DesktopService/UnretireDesktop", Action::UnretireDesktop),
    changes("DesktopService/RevokeDesktop", Action::RevokeDesktop),
    reads("EnrolmentService/ListEnrolmentTokens", Action::ListEnrolmentTokens),
    changes("EnrolmentService/CreateEnrolmentToken", Action::CreateEnrolmentToken),
    changes("EnrolmentService/RevokeEnrolmentToken", Action::DeleteEnrolmentToken),
    changes("ScriptService/CreateScript", Action::CreateScript),
    reads("ScriptService/ListScripts", Action::ListScripts),
    reads("ScriptService/GetScript", Action::GetScript),
    changes("ScriptService/UpdateScript", Action::PutScript),
    changes("ScriptService/DeleteScript", Action::DeleteScript),
    reads("ScriptService/ListRevisions", Action::GetScript),
    open("AccessService/CheckAccess", Action::ListPolicies),
    reads("AccessService/ListPrincipals", Action::ListPrincipals),
    changes("AccessService/PutPrincipal", Action::PutPrincipal),
    reads("AccessService/ListPolicies", Action::ListPolicies),
    changes("AccessService/PutPolicy", Action::PutPolicy),
    changes("AccessService/DeletePolicy", Action::DeletePolicy),
    reads("AccessService/ListTokens", Action::ListTokens),
    changes("AccessService/CreateToken", Action::CreateToken),
    changes("AccessService/RevokeToken", Action::DeleteToken),
    reads("AccessService/ListKeys", Action::ListKeys),
    changes("AccessService/CreateKey", Action::CreateKey),
    changes("AccessService/RevokeKey", Action::DeleteKey),
    of_cluster("AuditService/ListAuditEntries", Action::ListAudit, false),
];

/// Finds the method of a path like `/graywave.admin.v1.TaskService/GetTask`.
pub(crate) fn find(path: &str) -> Option<&'static Method> {
    let name = path.strip_prefix("/graywave.admin.v1.")?;
    METHODS.iter().find(|call| call.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_call_of_the_protos_is_here_and_no_other() {
        let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
        let services = files.iter().filter(|file| file.package() == "graywave.admin.v1");
        let services: Vec<_> = services.flat_map(|file| &file.service).collect();
        let served: BTreeSet<String> = services
            .iter()
            .flat_map(|service| {
                service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
            })
            .collect();
        assert_eq!(served, METHODS.iter().map(|call| call.name.to_owned()).collect());
        let names: BTreeSet<String> =
            services.iter().map(|service| format!("graywave.admin.v1.{}", service.name())).collect();
        assert_eq!(names, crate::SERVICES.map(str::to_owned).into());
    }

    #[test]
    fn a_path_is_found_by_its_whole_name() {
        assert_eq!(
            find("/graywave.admin.v1.TaskService/GetTask").unwrap().open,
            Access::Token(Action::GetTask)
        );
        assert!(METHODS.iter().all(|call| call.parts().0.ends_with("Service") && !call.parts().1.is_empty()));
        for path in ["", "/graywave.admin.v1.TaskService/", "/graywave.admin.v2.TaskService/GetTask"] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn large_calls_are_not_urgent() {
        // Chunks of a large body draw on one budget. An urgent call may draw on two.
        assert!(METHODS.iter().all(|call| !(call.is_large && call.is_urgent)));
    }
}
