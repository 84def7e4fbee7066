//! The full-screen view of a rollout (`graywave watch`): state, keys, background calls and drawing.

mod app;
mod background;
mod command;
mod draw;
mod question;
mod screen;

pub(crate) use screen::{fits, watch};
