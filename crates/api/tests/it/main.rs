//! In-process tests of the REST adapter on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod access;
mod access_questions;
mod attention;
mod console;
mod console_people;
mod desktops;
mod document;
mod drive;
mod errors;
mod evidence;
mod executions;
mod export;
mod fuzz;
mod group_executions;
mod guardrails;
mod harness;
mod install;
mod live_output;
mod parameters;
mod periods;
mod project_events;
mod rate_limits;
mod records;
mod retry_stop;
mod rollout;
mod scripts;
mod signatures;
mod v1_access;
mod v1_audit;
mod v1_desktops;
mod v1_scripts;
mod v1_tasks;
