//! Real Nim programs, compiled by the installed compiler, edited while they run.
//!
//! Each name is a folder of `fixtures/nim`; its `expected.txt` tells what is done to the program and
//! why it must answer what it answers. Most programs are played as a debug and as a release build: a
//! release build has other C code and no line numbers that change with every edit.

use liveswap_tests::nim_cases;

nim_cases! {
    // The identity of procs and globals across edits, and the root's view of them.
    arena: debug = DEBUG, release = RELEASE;
    shop: debug = DEBUG, release = RELEASE;
    events: debug = DEBUG, release = RELEASE;
    statistics: debug = DEBUG, release = RELEASE;
    removed: debug = DEBUG, release = RELEASE;
    generic_instances: debug = DEBUG, release = RELEASE;
    import_cycle: debug = DEBUG, release = RELEASE;
    cycle_grows: debug = DEBUG;
    global_returns: debug = DEBUG, release = RELEASE;
    menu: debug = DEBUG, release = RELEASE;

    // State: what keeps its value, what starts anew.
    aggregates: debug = DEBUG, release = RELEASE;
    lexer: debug = DEBUG;
    life: debug = DEBUG;
    grown: debug = DEBUG, release = RELEASE;
    arguments: debug = DEBUG;

    // Code that is under way or kept for later.
    closures: debug = DEBUG, release = RELEASE;
    pipeline: debug = DEBUG, release = RELEASE;
    scheduler: debug = DEBUG;
    gates: debug = DEBUG, release = RELEASE;
    removed_log: debug = DEBUG, release = RELEASE;

    // Objects, methods and exceptions.
    inventory: debug = DEBUG, release = RELEASE;
    bank: debug = DEBUG, release = RELEASE;
    crash: debug = DEBUG;
    handler_raises: debug = DEBUG, release = RELEASE;
    start_raises: debug = DEBUG, release = RELEASE;
    start_raises2: debug = DEBUG;

    library_raises: debug = DEBUG, release = RELEASE, threads = THREADS;
    instance_globals: debug = DEBUG, release = RELEASE;

    // Modules and handlers.
    adventure: debug = DEBUG, release = RELEASE;
    calc: debug = DEBUG, release = RELEASE;
    handlers: debug = DEBUG, release = RELEASE;
    folders: debug = DEBUG;
    module_returns: debug = DEBUG, release = RELEASE;

    // A build that is under way when the program asks.
    half_linked: debug = DEBUG, release = RELEASE;
    late_library: debug = DEBUG;
    polled_builds: debug = DEBUG;

    // The collector. The other ones are Nim's alternatives that still have globals to mark.
    lru: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP;
    builder: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP;
    inherited: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP;

    var_parameters: debug = DEBUG, release = RELEASE, threads = THREADS;

    // Thread-locals, and what only they hold.
    thread_vars: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP, threads = THREADS,
        threads_release = THREADS_RELEASE;
    emulated_vars: threads = EMULATED_THREAD_VARS;
    worker_vars: threads = THREADS, threads_release = THREADS_RELEASE;
}
