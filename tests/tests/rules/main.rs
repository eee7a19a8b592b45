//! The run-time's rules, one file per subject, proved from outside: C modules that speak the
//! module protocol are compiled on the spot and loaded, edited, broken and reloaded in a real
//! process. Every test's name is the rule that it proves.

mod calling_conventions;
mod damaged_files;
mod detection;
mod escapes;
mod exports;
mod generations;
mod globals;
mod half_written;
mod handlers;
mod images;
mod init_order;
mod isolation;
mod missing_files;
mod module_graph;
mod module_names;
mod private_copies;
mod processes;
mod procs;
mod queries;
mod refusals;
mod removed_globals;
mod renamed_symbols;
mod shared_procs;
mod shutdown;
mod slot_memory;
mod threads;
mod trace;
