//! Built-in scripts of the command line, on stubs of the programs that they call.
#![cfg(unix)]

mod agent_upgrade;
mod machine;
