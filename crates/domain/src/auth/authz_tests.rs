use super::*;
use crate::ErrorKind;

fn rights(documents: &[&str]) -> Rights {
    let policies: Vec<Policy> = documents.iter().map(|text| Policy::parse(text).unwrap()).collect();
    Rights::new(&policies)
}

const EXECUTE_ON_TEST: &str = r#"{"Version": "5.0", "Statement": [
    {"Effect": "Allow", "Action": ["workspace:scripts:execute"], "Resource": ["script:*", "desktop:test-*"]}]}"#;
const DENY_BOSS: &str = r#"{"Version": "5.0", "Statement": [
    {"Effect": "Deny", "Action": ["workspace:scripts:*"], "Resource": ["workspace:*:*:desktop:boss-?"]}]}"#;
const EVERYTHING: &str = r#"{"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["*"]}]}"#;

#[test]
fn what_nothing_allows_is_refused() {
    for &action in Action::ALL {
        assert_eq!(Rights::default().check_any(action).unwrap_err().kind(), ErrorKind::Forbidden);
        assert!(Rights::default().check(action, [Resource::Task("t")]).is_err());
    }
}

#[test]
fn every_resource_of_a_call_must_be_allowed() {
    let rights = rights(&[EXECUTE_ON_TEST]);
    let check = |resources: &[Resource<'_>]| rights.check(Action::Execute, resources.iter().cloned());
    assert!(check(&[Resource::Script("s"), Resource::Desktop("test-1")]).is_ok());
    let refused = check(&[Resource::Script("s"), Resource::Desktop("test-1"), Resource::Desktop("other")]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "no policy allows workspace:scripts:execute on desktop:other"
    );
    assert!(check(&[Resource::Command]).is_err(), "a command is not a script");
    assert!(rights.check(Action::Stop, [Resource::Task("t")]).is_err());
}

#[test]
fn deny_covers_a_desktop_in_any_case_and_form() {
    let deny = r#"{"Version": "5.0", "Statement": [
        {"Effect": "Deny", "Action": ["workspace:scripts:*"], "Resource": ["desktop:Bu\u0308ro-*"]}]}"#;
    let rights = rights(&[EVERYTHING, deny]);
    for id in ["b\u{fc}ro-1", "B\u{dc}RO-1", "Bu\u{308}ro-1"] {
        assert!(rights.check(Action::Execute, [Resource::Desktop(id)]).is_err(), "{id}");
    }
    assert!(rights.check(Action::Execute, [Resource::Desktop("buro-1")]).is_ok());
}

#[test]
fn deny_wins_and_published_resource_form_is_accepted() {
    let rights = rights(&[EVERYTHING, DENY_BOSS]);
    assert!(rights.check(Action::Execute, [Resource::Desktop("boss")]).is_ok());
    let refused = rights.check(Action::Execute, [Resource::Desktop("test-1"), Resource::Desktop("boss-1")]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "a policy denies workspace:scripts:execute on desktop:boss-1"
    );
    // A deny on some desktops does not deny the action as a whole.
    assert!(rights.check_any(Action::Execute).is_ok());
}

#[test]
fn a_deny_on_everything_is_seen_before_any_resource_is_named() {
    let deny =
        r#"{"Version": "5.0", "Statement": [{"Effect": "Deny", "Action": ["workspace:scripts:list*"]}]}"#;
    let rights = rights(&[EVERYTHING, deny]);
    assert!(rights.check_any(Action::ListTasks).is_err());
    assert!(rights.check_any(Action::Execute).is_ok());
}

#[test]
fn a_policy_that_means_nothing_is_refused_when_it_is_written() {
    let statement = |text: &str| format!(r#"{{"Version": "5.0", "Statement": [{text}]}}"#);
    for text in [
        "not json".to_owned(),
        r#"{"Version": "1.0", "Statement": [{"Effect": "Allow", "Action": ["*"]}]}"#.to_owned(),
        statement(""),
        statement(r#"{"Effect": "Allow", "Action": []}"#),
        statement(r#"{"Effect": "Allow", "Action": ["*"], "Resource": []}"#),
        statement(r#"{"Effect": "Maybe", "Action": ["*"]}"#),
        statement(r#"{"Effect": "Deny", "Action": ["workspace:scripts:exceute"]}"#),
        statement(r#"{"Effect": "Deny", "Action": ["*"], "Resource": ["desktops:x"]}"#),
        statement(r#"{"Effect": "Allow", "Action": ["*"], "Condition": {}}"#),
    ] {
        assert_eq!(Policy::parse(&text).unwrap_err().kind(), ErrorKind::Invalid, "{text}");
    }
}

/// Complete table of ready-made policies and allowed actions.
#[test]
fn the_ready_policies() {
    let may = |name: &str, action: Action| Rights::new(&ready_policy(name)).check_any(action).is_ok();
    for &action in Action::ALL {
        let reads = action
            .as_str()
            .split(':')
            .next_back()
            .is_some_and(|verb| verb.starts_with("list") || verb.starts_with("get"));
        let is_audit = action == Action::ListAudit;
        let is_access = ["principals", "policies", "tokens", "keys", "enrolmentTokens"]
            .iter()
            .any(|kind| action.as_str().starts_with(&format!("graywave:{kind}:")));
        assert_eq!(may("reader", action), reads && !is_audit && !is_access, "{action}");
        // Workers serve every project.
        let is_of_all = matches!(action, Action::DrainWorker | Action::UndrainWorker);
        // Revoking a desktop's certificates affects more than one task.
        let ends_desktops =
            matches!(action, Action::RevokeDesktop | Action::RetireDesktop | Action::UnretireDesktop);
        // Another user of the desktop may have more rights than the agent's configured one.
        let is_admins = matches!(action, Action::Unfreeze | Action::PutLimits | Action::RunAs)
            || ends_desktops
            || is_access
            || is_of_all;
        assert_eq!(may("operator", action), !is_audit && !is_admins, "{action}");
        assert!(may("admin", action), "{action}");
    }
    for name in READY_POLICIES {
        assert!(ready_policy(name).unwrap().check().is_ok());
    }
    assert!(ready_policy("boss").is_none());
}

#[test]
fn all_of_a_kind_is_more_than_some_of_them() {
    let on = |resource: &str| {
        let text = format!(
            r#"{{"Version": "5.0", "Statement": [{{"Effect": "Allow", "Action": ["*"], "Resource": ["{resource}"]}}]}}"#
        );
        rights(&[&text])
    };
    let lists = |rights: &Rights| rights.check(Action::ListScripts, [Resource::Script(ALL)]).is_ok();
    assert!(lists(&on("*")) && lists(&on("script:*")));
    assert!(!lists(&on("script:lab-*")) && !lists(&on("desktop:*")));
    let audit = |rights: &Rights| rights.check(Action::ListAudit, [Resource::Everything]).is_ok();
    assert!(audit(&on("*")) && !audit(&on("desktop:lab-*")) && !audit(&on("task:*")));
}

#[test]
fn only_who_lacks_nothing_may_give_rights() {
    let allow = |action: &str, resource: &str| {
        format!(
            r#"{{"Version": "5.0", "Statement": [{{"Effect": "Allow", "Action": ["{action}"], "Resource": ["{resource}"]}}]}}"#
        )
    };
    let gives = |documents: &[&str]| rights(documents).check_giving(Action::CreateToken);
    assert!(gives(&[EVERYTHING]).is_ok());
    assert!(gives(&[&allow("workspace:*", "*"), &allow("graywave:*", "*")]).is_ok(), "in either notation");
    for (lacking, message) in [
        (vec![allow("graywave:*", "*")], "graywave:tokens:create gives rights"),
        (vec![allow("graywave:tokens:create", "*")], "gives rights"),
        (vec![EVERYTHING.to_owned(), DENY_BOSS.to_owned()], "gives rights"),
        (vec![allow("*", "task:*")], "no policy allows graywave:tokens:create on *"),
        (vec![allow("workspace:*", "*")], "no policy allows graywave:tokens:create on *"),
        (vec![], "no policy allows"),
    ] {
        let documents: Vec<&str> = lacking.iter().map(String::as_str).collect();
        let refused = gives(&documents).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        assert!(refused.message.contains(message), "{}", refused.message);
    }
}

#[test]
fn a_policy_is_read_up_to_its_last_byte() {
    let padded = |bytes: usize| format!("{EVERYTHING}{}", " ".repeat(bytes - EVERYTHING.len()));
    assert!(Policy::parse(&padded(limits::MAX_POLICY_BYTES)).is_ok());
    let refused = Policy::parse(&padded(limits::MAX_POLICY_BYTES + 1)).unwrap_err();
    assert!(refused.message.contains("16384 bytes"), "{}", refused.message);
}

#[test]
fn policy_with_a_byte_order_mark_is_read() {
    let marked = Policy::parse(&format!("\u{feff}{EVERYTHING}")).unwrap();
    assert_eq!(marked, Policy::parse(EVERYTHING).unwrap());
}

#[test]
fn users_that_run_scripts_are_a_resource() {
    let rights = rights(&[r#"{"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["graywave:users:runAs"], "Resource": ["user:www-*"]}]}"#]);
    assert!(rights.check(Action::RunAs, [Resource::User("www-data")]).is_ok());
    let refused = rights.check(Action::RunAs, [Resource::User("root")]).unwrap_err();
    assert_eq!(refused.to_string(), "no policy allows graywave:users:runAs on user:root");
}
