//! The whole system with real processes: the binary as users start it, real agents, real scripts.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod access;
mod agent_upgrade;
mod audit;
mod backup;
mod bootstrap;
mod ca;
mod cli;
mod cloned_desktops;
mod cluster;
mod collector;
mod deny_list;
mod dev;
mod drain;
mod engine;
mod enrolment;
mod fuzz;
mod harness;
mod health;
mod https;
mod malicious_agent;
mod operator;
mod operator_tls;
mod outage;
mod overload;
mod peers;
mod pki;
mod processes;
mod proof_of_possession;
mod proxy;
mod reboots;
mod retire;
mod secrets;
mod signed_orders;
mod stolen_worker;
mod terminal;
mod thief;
mod tls;
mod trace;
mod usage;
