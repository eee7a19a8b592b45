//! What Nim compilers themselves cannot do in hot-code-reloading mode, so that nobody looks for the reason in
//! the run-time.

use std::process::Command;

use liveswap_tests::Process;
use liveswap_tests::nim::{self, Backend, Compiler};

const PROGRAM: &str = "\
var names = @[\"one\"]
names.add \"two\"
echo names
";

/// With `--mm:arc` and `--mm:orc` the compiler of Nim 1.6 stops in its own library, before there is
/// anything that a run-time could load.
#[test]
fn arc_and_orc_are_refused_by_the_compiler_itself() {
    for collector in ["--mm:arc", "--mm:orc"] {
        let said = nim::compile_error(Compiler::One, Backend::C, PROGRAM, &[collector]);
        assert!(
            said.contains("seqs_v2.nim") && said.contains("Error:"),
            "{collector}: the compiler fails in another way than in its own seqs_v2.nim:\n{said}"
        );
    }
}

/// That of Nim 2 compiles them, orc by default, and programs crash or do not compile after an edit. The run-time says so
/// at the start.
#[test]
fn arc_and_orc_of_nim_2_are_refused_at_the_start() {
    for switches in [&["--mm:arc"][..], &["--mm:orc"], &[]] {
        let ended = nim::run(Compiler::Two, Backend::C, PROGRAM, switches);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            said.contains("liveswap: cannot start: ") && said.contains("--mm:refc"),
            "{switches:?}: another message:\n{said}"
        );
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stdout.is_empty());
    }
}

/// What the case `crash` comes upon with the C++ backend of Nim 1.6: without hot code reloading it is the same.
#[test]
fn an_exception_is_lost_by_the_cpp_backend_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let switches = ["--hotCodeReloading:off"];
    let edits = ["0", "1"];
    let compiled = nim::compile_case(
        Compiler::One,
        Backend::Cpp,
        "crash",
        &edits,
        folder.path(),
        &switches,
    );
    assert!(compiled.status.success(), "{compiled:?}");
    let mut process = Process::start(&mut Command::new(folder.path().join("program")));
    for line in ["7", "x", "2", "5"] {
        process.send(line);
    }
    let said = process.wait().stderr.join("\n");
    assert!(
        said.contains("SIGSEGV"),
        "the exception was found: play `crash` with this backend\n{said}"
    );
}

/// What the case `builder` comes upon with the C++ backend of Nim 1.6: `newString` is declared twice, once for
/// slices of strings.
#[test]
fn strings_that_are_made_and_cut_do_not_compile_with_the_cpp_backend() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let edits = ["0", "1", "2"];
    let compiled = nim::compile_case(
        Compiler::One,
        Backend::Cpp,
        "builder",
        &edits,
        folder.path(),
        &[],
    );
    let said = [compiled.stdout, compiled.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        !compiled.status.success() && said.contains("redefinition") && said.contains("mnewString"),
        "the compiler does not fail, or in another way: {said}"
    );
}
