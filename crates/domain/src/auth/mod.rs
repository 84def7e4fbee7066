//! Who may call, and who may become a desktop.

pub mod authz;
pub mod enrolment;
pub mod merkle;
pub mod request_signing;
