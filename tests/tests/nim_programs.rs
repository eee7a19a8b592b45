//! Real Nim programs, compiled by the installed compiler, edited while they run.
//!
//! Each name is a folder of `fixtures/nim`; its `expected.txt` tells what is done to the program and
//! why it must answer what it answers. Most programs are played as a debug and as a release build: a
//! release build has other C code and no line numbers that change with every edit. Nim 2 and the C++ backend
//! are tried here with those programs that their code is different for; `cargo xtask nim-matrix` plays all programs in
//! all ways.

use liveswap_tests::nim_cases;

nim_cases! {
    // The identity of procs and globals across edits, and the root's view of them.
    arena: debug = DEBUG, release = RELEASE, two = TWO_RELEASE;
    namesakes: debug = DEBUG, two = TWO, two_release = TWO_RELEASE;
    shop: debug = DEBUG, release = RELEASE;
    events: debug = DEBUG, release = RELEASE;
    statistics: debug = DEBUG, release = RELEASE, two_no_threads = TWO_NO_THREADS;
    removed: debug = DEBUG, release = RELEASE, stripped = STRIPPED;
    generic_instances: debug = DEBUG, release = RELEASE, cpp_stripped = CPP_STRIPPED;
    import_cycle: debug = DEBUG, release = RELEASE;
    cycle_grows: debug = DEBUG;
    global_returns: debug = DEBUG, release = RELEASE;
    menu: debug = DEBUG, release = RELEASE;

    // State: what keeps its value, what starts anew.
    aggregates: debug = DEBUG, release = RELEASE, two = TWO;
    lexer: debug = DEBUG, two_stripped = TWO_STRIPPED;
    life: debug = DEBUG;
    grown: debug = DEBUG, release = RELEASE;
    arguments: debug = DEBUG;

    // Code that is under way or kept for later.
    closures: debug = DEBUG, release = RELEASE, cpp = CPP, two = TWO;
    pipeline: debug = DEBUG, release = RELEASE, cpp_release = CPP_RELEASE, two = TWO;
    scheduler: debug = DEBUG;
    gates: debug = DEBUG, release = RELEASE, two = TWO;
    removed_log: debug = DEBUG, release = RELEASE;

    // Objects, methods and exceptions.
    inventory: debug = DEBUG, release = RELEASE;
    bank: debug = DEBUG, release = RELEASE;
    crash: debug = DEBUG;
    handler_raises: debug = DEBUG, release = RELEASE, cpp_release = CPP_RELEASE;
    start_raises: debug = DEBUG, release = RELEASE;
    start_raises2: debug = DEBUG;

    async_errors: debug = DEBUG, cpp = CPP, two = TWO;
    uncaught: debug = DEBUG, cpp = CPP, cpp_threads = CPP_THREADS, two = TWO;
    library_raises: debug = DEBUG, release = RELEASE, threads = THREADS, cpp = CPP, two = TWO;
    instance_globals: debug = DEBUG, release = RELEASE, two = TWO;

    // Modules and handlers.
    adventure: debug = DEBUG, release = RELEASE;
    calc: debug = DEBUG, release = RELEASE;
    handlers: debug = DEBUG, release = RELEASE, two = TWO;
    folders: debug = DEBUG;
    module_returns: debug = DEBUG, release = RELEASE;

    // A build that is under way when the program asks.
    half_linked: debug = DEBUG, release = RELEASE, two = TWO;
    late_library: debug = DEBUG;
    polled_builds: debug = DEBUG;

    // The collector. The other ones are Nim's alternatives that still have globals to mark.
    lru: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP, two = TWO;
    builder: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP, two_release = TWO_RELEASE;
    inherited: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP;

    var_parameters: debug = DEBUG, release = RELEASE, threads = THREADS;

    // Thread-locals, and what only they hold.
    thread_vars: debug = DEBUG, release = RELEASE, mark_and_sweep = MARK_AND_SWEEP, threads = THREADS,
        threads_release = THREADS_RELEASE, cpp = CPP, two = TWO;
    emulated_vars: threads = EMULATED_THREAD_VARS;
    worker_vars: threads = THREADS, threads_release = THREADS_RELEASE, two = TWO;
}
