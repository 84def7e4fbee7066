//! The whole system with real processes: the binary as users start it, real agents, real scripts.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod access;
mod ca;
mod cluster;
mod dev;
mod drain;
mod engine;
mod harness;
mod health;
mod outage;
mod overload;
mod peers;
mod pki;
mod processes;
mod signed_orders;
mod tls;
mod usage;
