//! Questions about rights: may a principal perform these actions on this resource?

use std::str::FromStr;

use super::{
    action::{Action, Resource},
    authz::Rights,
};
use crate::{Error, Reason, error::shorten, limits};

/// Actions that may grant any right. They need the right to do everything.
const GIVING: [Action; 4] = [Action::PutPrincipal, Action::PutPolicy, Action::CreateToken, Action::CreateKey];

/// A question: actions on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessCheck {
    /// The resource as policies name it.
    pub resource: String,
    /// The actions; empty stands for every action.
    pub actions: Vec<Action>,
}

/// An action that a principal may not perform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The action.
    pub action: Action,
    /// `NoPolicyAllows`, `PolicyDenies` or `FullAccessRequired`.
    pub reason: Reason,
    /// Description for people.
    pub message: String,
}

/// Answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessAnswer {
    /// The resource of the question.
    pub resource: String,
    /// Actions that the principal may perform.
    pub allowed: Vec<Action>,
    /// Actions that the principal may not perform.
    pub denied: Vec<Denial>,
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().copied().find(|action| action.as_str() == text);
        found.ok_or_else(|| {
            Error::unreadable(format!("{:?} is no action; docs/access.md lists the actions", shorten(text)))
        })
    }
}

/// Parses the name of a resource. An id `*` stands for all resources of the kind.
pub fn resource(text: &str) -> Result<Resource<'_>, Error> {
    let unknown = || {
        let message = format!(
            "{:?} is not one of *, script:ID, command, desktop:ID, desktopPool:ID, task:ID, user:NAME",
            shorten(text)
        );
        Error::unreadable(message)
    };
    if text.chars().count() > 2 * limits::MAX_ID_CHARS || text.chars().any(char::is_control) {
        return Err(unknown());
    }
    match (text, text.split_once(':')) {
        ("*", _) => Ok(Resource::Everything),
        ("command", _) => Ok(Resource::Command),
        (_, Some((_, ""))) => Err(unknown()),
        (_, Some(("script", id))) => Ok(Resource::Script(id)),
        (_, Some(("desktop", id))) => Ok(Resource::Desktop(id)),
        (_, Some(("desktopPool", id))) => Ok(Resource::Pool(id)),
        (_, Some(("task", id))) => Ok(Resource::Task(id)),
        (_, Some(("user", name))) => Ok(Resource::User(name)),
        _ => Err(unknown()),
    }
}

/// Checks the number of questions, and each resource. Every error names its place.
pub fn check_questions(checks: &[AccessCheck]) -> Result<(), Error> {
    let field = || crate::FieldPath::from("checks");
    if checks.is_empty() {
        return Err(Error::required("checks", "ask about at least one resource"));
    }
    if checks.len() > limits::MAX_ACCESS_CHECKS {
        let message =
            format!("{} checks are given: at most {} are allowed", checks.len(), limits::MAX_ACCESS_CHECKS);
        return Err(Error::out_of_range("checks", message));
    }
    let asked = |check: &AccessCheck| match check.actions.len() {
        0 => Action::ALL.len(),
        some => some,
    };
    let pairs: usize = checks.iter().map(asked).sum();
    if pairs > limits::MAX_ACCESS_PAIRS {
        let message = format!(
            "{pairs} pairs of resource and action are asked: at most {} are allowed",
            limits::MAX_ACCESS_PAIRS
        );
        return Err(Error::out_of_range("checks", message));
    }
    for (place, check) in checks.iter().enumerate() {
        resource(&check.resource).map_err(|error| error.within("resource").within(field().index(place)))?;
    }
    Ok(())
}

/// Answers a question with the rule that decides over calls.
pub fn answer(rights: &Rights, check: &AccessCheck) -> Result<AccessAnswer, Error> {
    let on = resource(&check.resource)?;
    let mut answer =
        AccessAnswer { resource: check.resource.clone(), allowed: Vec::new(), denied: Vec::new() };
    let actions = if check.actions.is_empty() { Action::ALL } else { &check.actions };
    for &action in actions {
        let decided = if GIVING.contains(&action) {
            rights.check_giving(action)
        } else {
            rights.check(action, [on.clone()])
        };
        match decided {
            Ok(()) => answer.allowed.push(action),
            Err(error) => answer.denied.push(Denial { action, reason: error.reason, message: error.message }),
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::{Policy, ready_policy};

    fn rights(documents: &[&str]) -> Rights {
        let policies: Vec<Policy> = documents.iter().map(|text| Policy::parse(text).unwrap()).collect();
        Rights::new(&policies)
    }

    fn check(resource: &str, actions: &[Action]) -> AccessCheck {
        AccessCheck { resource: resource.to_owned(), actions: actions.to_vec() }
    }

    #[test]
    fn denied_actions_name_the_reason() {
        let rights = rights(&[r#"{"Version":"5.0","Statement":[
            {"Effect":"Allow","Action":["graywave:tasks:*"]},
            {"Effect":"Deny","Action":["graywave:tasks:approve"],"Resource":["task:a*"]}]}"#]);
        let asked = [Action::Pause, Action::Approve, Action::Stop, Action::PutPolicy];
        let found = answer(&rights, &check("task:abc", &asked)).unwrap();
        assert_eq!(found.allowed, [Action::Pause]);
        let denied: Vec<_> = found.denied.iter().map(|denial| (denial.action, denial.reason)).collect();
        assert_eq!(
            denied,
            [
                (Action::Approve, Reason::PolicyDenies),
                (Action::Stop, Reason::NoPolicyAllows),
                (Action::PutPolicy, Reason::NoPolicyAllows),
            ]
        );
        assert_eq!(answer(&rights, &check("task:b", &[Action::Approve])).unwrap().allowed, [Action::Approve]);
    }

    #[test]
    fn question_without_actions_asks_about_every_action() {
        let admin = Rights::new(&ready_policy("admin"));
        assert_eq!(answer(&admin, &check("*", &[])).unwrap().allowed, Action::ALL);
        let reader = Rights::new(&ready_policy("reader"));
        let found = answer(&reader, &check("*", &[])).unwrap();
        assert_eq!(found.allowed.len() + found.denied.len(), Action::ALL.len());
        assert!(found.allowed.contains(&Action::ListTasks) && !found.allowed.contains(&Action::Stop));
    }

    #[test]
    fn rights_are_given_only_by_those_who_have_them_all() {
        let most = rights(&[r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["graywave:*"]}]}"#]);
        let found = answer(&most, &check("*", &[Action::CreateToken])).unwrap();
        assert_eq!(found.denied[0].reason, Reason::FullAccessRequired);
    }

    #[test]
    fn resources_are_read_as_policies_name_them() {
        for good in
            ["*", "command", "task:1", "task:*", "script:a:b", "desktop:d", "desktopPool:p", "user:root"]
        {
            assert_eq!(resource(good).unwrap().to_string(), good);
        }
        let long = format!("task:{}", "x".repeat(300));
        for bad in ["", "task", "task:", "tasks:1", "desktop:a\0b", "Command", &long] {
            assert!(resource(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn questions_have_bounds_and_errors_name_the_place() {
        let one = check("task:1", &[Action::Pause]);
        assert!(check_questions(&[]).is_err());
        assert!(check_questions(&vec![one.clone(); limits::MAX_ACCESS_CHECKS]).is_ok());
        assert!(check_questions(&vec![one.clone(); limits::MAX_ACCESS_CHECKS + 1]).is_err());
        assert!(check_questions(&vec![check("*", &[]); limits::MAX_ACCESS_CHECKS]).is_err());
        let error = check_questions(&[one, check("nothing", &[])]).unwrap_err();
        assert_eq!(error.field.unwrap().to_string(), "checks[1].resource");
    }

    #[test]
    fn every_action_is_read_back_from_its_name() {
        for &action in Action::ALL {
            assert_eq!(action.as_str().parse::<Action>().unwrap(), action);
        }
        assert!("graywave:tasks:*".parse::<Action>().is_err());
    }
}
