//! `cargo liveswap run` on small real projects: what goes live, what is held back, what survives.

mod calls;
mod cleaned;
mod closures;
mod dynamic;
mod identity;
mod images;
mod kinds;
mod layouts;
mod linkers;
mod loops;
mod manners;
mod mistakes;
mod new_things;
mod old_bodies;
mod ordinary;
mod panics;
mod places;
mod pointers;
mod restarts;
mod saves;
mod state;
mod surface;
mod tables;
mod terminal;
mod threads;
mod tools;
