//! Built-in scripts of the command line, on stubs of the programs that they call.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

mod agent_upgrade;
mod machine;
