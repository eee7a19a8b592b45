//! `cargo xtask field`: real programs, most of them by name from the registry, are edited while they are
//! used. [`programs`] has their scripts; each edit says what may become of it and what users then see.

pub mod judge;
pub mod load;
pub mod place;
pub mod programs;
pub mod report;
pub mod run;
pub mod script;
mod source;
mod steps;
mod surroundings;

mod http;
mod mqtt;
mod resp;
mod socket;
mod websocket;
