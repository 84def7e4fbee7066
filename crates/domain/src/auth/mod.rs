//! Who may call, and who may become a desktop.

pub mod access;
pub mod enrolment;
pub mod merkle;
pub mod signature;
