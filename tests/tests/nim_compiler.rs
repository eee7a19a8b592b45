//! What Nim compilers themselves cannot do in hot-code-reloading mode, so that nobody looks for the reason in
//! the run-time.

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

/// What `tests/fixtures/nim/crash` comes upon with the C++ backend of Nim 1.6: without hot code reloading it is the same.
#[test]
fn an_exception_is_lost_by_the_cpp_backend_itself() {
    const LOST: &str = "\
proc first(n: int) =
  if n == 0: raise newException(ValueError, \"first\")

proc second() =
  try: raise newException(CatchableError, \"second\")
  finally: echo \"finally\"

proc run(n: int) =
  try:
    defer: echo \"deferred\"
    first(n)
    second()
  except ValueError: echo \"caught\"
  except CatchableError as error: echo error.msg

run(0)
run(1)
";
    let switches = ["--hotCodeReloading:off"];
    let ended = nim::run(Compiler::One, Backend::Cpp, LOST, &switches);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("SIGSEGV"),
        "the exception was found: play `crash` with this backend\n{said}"
    );
}

/// What `tests/fixtures/nim/builder` comes upon with the C++ backend of Nim 1.6: `newString` is declared twice.
#[test]
fn strings_that_are_made_and_cut_do_not_compile_with_the_cpp_backend() {
    const CUT: &str = "\
var text = newString(5)
text[0] = 'a'
echo text[0 .. ^2]
";
    let said = nim::compile_error(Compiler::One, Backend::Cpp, CUT, &[]);
    assert!(
        said.contains("redefinition") && said.contains("mnewString"),
        "the compiler fails in another way:\n{said}"
    );
}
