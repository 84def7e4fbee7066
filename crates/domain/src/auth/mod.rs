//! Authentication and authorisation of callers, and enrolment of desktops.

pub mod access_check;
mod action;
pub mod authz;
mod canonical;
pub mod deny_list;
pub mod enrolment;
pub mod merkle;
pub mod person;
pub mod request_signing;
pub mod session;
pub mod token_life;
