//! What the installed Nim compiler itself cannot do in hot-code-reloading mode, so that nobody
//! looks for the reason in the run-time.

use liveswap_tests::nim::{self, Compiler};

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
        let said = nim::compile_error(Compiler::One, PROGRAM, &[collector]);
        assert!(
            said.contains("seqs_v2.nim") && said.contains("Error:"),
            "{collector}: the compiler fails in another way than in its own seqs_v2.nim:\n{said}"
        );
    }
}
