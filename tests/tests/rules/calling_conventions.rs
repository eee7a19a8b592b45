//! Any calling convention passes through a slot with registers and stack untouched.

use liveswap_tests::{CModule, CProject, HostOptions};

fn callee() -> CModule {
    CModule::new("callee")
        .declare("#include \"conventions_callee.h\"")
        .dat("REGISTER_ALL")
}

fn caller() -> CModule {
    CModule::new("caller")
        .imports(["callee"])
        .declare("#define CALLEE @{callee}\n#include \"conventions_caller.h\"")
        .dat("FETCH_ALL")
        .proc("check", "return check_all();")
}

/// How many checks `conventions_caller.h` makes.
const CHECKS: i64 = 22;

#[test]
fn arguments_and_results_of_every_kind_pass_through_slots() {
    let project = CProject::new();
    project.write(&callee());
    project.write(&caller());
    let (mut host, _) = HostOptions::importing(["caller"]).start(&project);
    assert_eq!(checks(&mut host), CHECKS);
    // And after the targets moved, in code that is optimised otherwise.
    for flags in [["-O0"], ["-O3"]] {
        project.write(&callee().flags(flags));
        host.reload().quiet();
        assert_eq!(checks(&mut host), CHECKS);
    }
    host.quit();
}

#[track_caller]
fn checks(host: &mut liveswap_tests::Host) -> i64 {
    let reply = host.about("call 0 check", "caller").quiet();
    assert_eq!(reply.lines, [""; 0], "every check holds");
    reply.number()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_slot_touches_no_register_no_flag_and_no_stack() {
    let project = CProject::new();
    project.write(
        &CModule::new("b")
            .declare("#include \"registers_x86_64.h\"")
            .dat("hcrRegisterProc(MODULE, \"probe\", (void *)probe_target);")
            .proc("compare", "return compare_registers();"),
    );
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    // Sixteen general words, the stack pointer, two stacked words and sixteen SSE registers.
    assert_eq!(host.call("b", "compare", 0), 16 * 8 + 8 + 2 * 8 + 16 * 16);
    host.quit();
}

/// Checks procs with vectors of this width in arguments and result.
#[track_caller]
fn vectors_pass(bytes: usize, target: &str) {
    let project = CProject::new();
    project.write(
        &CModule::new("b")
            .declare(&format!(
                "#define VECTOR_BYTES {bytes}\n#define VECTOR_TARGET \"{target}\"\n#include \"vectors.h\""
            ))
            .dat("weighted = hcrRegisterProc(MODULE, \"weighted\", (void *)weighted_actual);")
            .proc("check", "return check_vectors();")
            .flags(["-O1", "-Wno-psabi"]),
    );
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let lanes = i64::try_from(bytes / 8).expect("a small number");
    assert_eq!(host.call("b", "check", 0), lanes);
    host.quit();
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vectors_in_registers_of_every_width_that_the_processor_has_pass_through_slots() {
    vectors_pass(16, "sse2");
    let mut widths = vec![16];
    if std::arch::is_x86_feature_detected!("avx") {
        vectors_pass(32, "avx");
        widths.push(32);
    }
    if std::arch::is_x86_feature_detected!("avx512f") {
        vectors_pass(64, "avx512f");
        widths.push(64);
    }
    eprintln!("this processor passes vectors of {widths:?} bytes in registers");
}

#[test]
fn a_proc_that_calls_itself_and_others_through_slots_needs_no_more_stack() {
    let project = CProject::new();
    project.write(
        &CModule::new("b")
            .proc("depth", "return x == 0 ? 0 : 1 + depth(x - 1);")
            .flags(["-O0"]),
    );
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert_eq!(host.call("b", "depth", 50_000), 50_000);
    host.quit();
}

#[test]
fn long_jumps_cross_slots() {
    let project = CProject::new();
    project.write(
        &CModule::new("b")
            .declare("#include <setjmp.h>\nstatic jmp_buf back;")
            .proc("leap", "longjmp(back, (int)x + 1);")
            .proc(
                "land",
                "int value = setjmp(back); if (value == 0) leap(x); return value;",
            ),
    );
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert_eq!(host.call("b", "land", 20), 21);
    host.quit();
}
