//! `libnimhcr.so`: a drop-in for the run-time that Nim's `--hotCodeReloading:on` expects.
//!
//! This crate knows what is Nim's about hot code reloading, and nothing else does: the C ABI, strings,
//! the collector, C names that change from build to build, closures. It must not know how a reload
//! works: that is `liveswap-runtime`. It exports exactly the C names of the original.
//!
//! Start reading at `abi.rs` (the exports), then `dialect.rs` (what Nim adds to the protocol) and
//! what it rests on: `c_name.rs`, `align.rs` and `closures.rs` (identity across builds), and
//! `collector`.

mod abi;
mod align;
mod c_file;
mod c_name;
mod closures;
mod collector;
mod dialect;
mod door;
mod elf_symbols;
mod facts;
mod layouts;
mod matching;
mod nim;
mod nim_string;
mod threadvars;
mod type_infos;
