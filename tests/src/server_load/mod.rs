//! A server under load whose handlers, connections and background tasks are edited while it works.
//!
//! Old tasks finish in old code, new tasks run new code, tables made at the start find the edited handler, and no
//! request is lost. The server is put together from bodies (`body`), one for each part (`part`), in the texts of
//! `tests/fixtures/server_load`. Each answer names the version of the code that gave it, with a value that follows from the
//! model: so it is known for each answer whether that version was live while it was asked for (`timeline`).

mod body;
mod client;
mod load;
mod part;
mod plan;
mod program;
mod run;
mod timeline;

pub use load::Volume;
pub use program::Flavour;
pub use run::{Options, Report, run};
