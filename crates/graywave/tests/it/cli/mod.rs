//! Operator commands on a running cluster.

mod completion;
mod contexts;
mod exit_codes;
mod fleet;
mod guard;
mod help;
mod lifecycle;
mod live_output;
mod login;
mod mistakes;
mod operator;
mod output;
mod payload;
mod words;
