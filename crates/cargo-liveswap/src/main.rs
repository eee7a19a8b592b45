//! `cargo liveswap`: edits of any Cargo project go live while it runs.
//!
//! The same binary plays several parts: the command that a person starts, and, under other names
//! ([`stage`]), the compiler wrapper, the linker and the runner that cargo and rustc start for it.
//! It must not know how objects are taken apart (that is `liveswap-object`'s), nor what happens in the
//! process (the agent's); with both it talks in values ([`model`], `liveswap-protocol`).
//!
//! Start reading at [`session`], then [`build`] and [`engine`].

use std::process::ExitCode;

mod build;
mod cargo_args;
mod cli;
mod codes;
mod declared;
mod doctor;
mod engine;
mod files;
mod interface;
mod log;
mod model;
mod session;
mod stage;
mod status;

fn main() -> ExitCode {
    if let Some(code) = std::env::args_os()
        .next()
        .and_then(|name| stage::dispatch(&name))
    {
        return code;
    }
    cli::main()
}
