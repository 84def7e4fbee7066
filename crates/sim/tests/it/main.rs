//! The simulator's rows in memory against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod conformance;
