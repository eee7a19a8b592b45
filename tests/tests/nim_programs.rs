//! Real Nim programs, compiled by the installed compiler, edited while they run.
//!
//! Each name is a folder of `fixtures/nim`; its `expected.txt` tells what is done to the program and
//! why it must answer what it answers. Most programs are played as a debug and as a release build: a
//! release build has other C code and no line numbers that change with every edit.

use liveswap_tests::nim_cases;

nim_cases! {
    // The identity of procs and globals across edits, and the root's view of them.
    arena: debug = Debug, release = Release;
    shop: debug = Debug, release = Release;
    events: debug = Debug, release = Release;
    statistics: debug = Debug, release = Release;
    removed: debug = Debug, release = Release;
    generic_instances: debug = Debug, release = Release;
    import_cycle: debug = Debug, release = Release;
    cycle_grows: debug = Debug;
    global_returns: debug = Debug, release = Release;
    menu: debug = Debug, release = Release;

    // State: what keeps its value, what starts anew.
    aggregates: debug = Debug, release = Release;
    lexer: debug = Debug;
    life: debug = Debug;
    grown: debug = Debug, release = Release;
    arguments: debug = Debug;

    // Code that is under way or kept for later.
    closures: debug = Debug, release = Release;
    pipeline: debug = Debug, release = Release;
    scheduler: debug = Debug;
    gates: debug = Debug, release = Release;
    removed_log: debug = Debug, release = Release;

    // Objects, methods and exceptions.
    inventory: debug = Debug, release = Release;
    bank: debug = Debug, release = Release;
    crash: debug = Debug;
    handler_raises: debug = Debug, release = Release;
    start_raises: debug = Debug, release = Release;
    start_raises2: debug = Debug;

    library_raises: debug = Debug, release = Release, threads = Threads;
    instance_globals: debug = Debug, release = Release;

    // Modules and handlers.
    adventure: debug = Debug, release = Release;
    calc: debug = Debug, release = Release;
    handlers: debug = Debug, release = Release;
    folders: debug = Debug;
    module_returns: debug = Debug, release = Release;

    // A build that is under way when the program asks.
    half_linked: debug = Debug, release = Release;
    late_library: debug = Debug;
    polled_builds: debug = Debug;

    // The collector. The other ones are Nim's alternatives that still have globals to mark.
    lru: debug = Debug, release = Release, mark_and_sweep = MarkAndSweep;
    builder: debug = Debug, release = Release, mark_and_sweep = MarkAndSweep;
    inherited: debug = Debug, release = Release, mark_and_sweep = MarkAndSweep;

    var_parameters: debug = Debug, release = Release, threads = Threads;

    // Thread-locals, and what only they hold.
    thread_vars: debug = Debug, release = Release, mark_and_sweep = MarkAndSweep, threads = Threads,
        threads_release = ThreadsRelease;
    emulated_vars: threads = EmulatedThreadVars;
    worker_vars: threads = Threads, threads_release = ThreadsRelease;
}
