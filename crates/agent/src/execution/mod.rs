//! Execution of one script.

mod drains;
mod execute;
mod interpreter;
mod output;
mod process_tree;
mod user;

pub(crate) use drains::Drains;
pub(crate) use execute::{Halt, Terms, execute, prepare};
#[cfg(test)]
pub(crate) use process_tree::{kill, tests::carriers};
pub(crate) use user::look_up;
