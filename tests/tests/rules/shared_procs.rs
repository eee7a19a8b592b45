//! Procs that several modules register on behalf of a third one, as Nim does with inline procs.

use std::path::PathBuf;

use liveswap_tests::{CModule, CProject, HostOptions};

/// The modules that may carry a copy of the shared proc.
const CARRIERS: [&str; 2] = ["left", "right"];

/// Where a carrier has the name that it registers the shared proc by. What cannot change need not be
/// looked at again at a reload; what can change must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameIn {
    Constants,
    Variables,
}

/// A version of a carrier: with its copy of the shared proc, or without.
fn carrier(name: &str, name_in: NameIn, copy: Option<i64>) -> CModule {
    let module = CModule::new(name).imports(["owner"]);
    let Some(copy) = copy else { return module };
    let constant = match name_in {
        NameIn::Constants => "const ",
        NameIn::Variables => "",
    };
    module
        .declare(&format!(
            "static {constant}char shared_name[] = \"shared\";\n\
             static long shared_actual(long x) {{ return x + {copy}; }}"
        ))
        .dat("hcrRegisterProc(@{owner}, shared_name, (void *)shared_actual);")
}

/// Reloads the carriers one by one and requires after each step that the newest of the copies that
/// are left runs. A step is the carrier's index and whether it has the copy from then on.
#[track_caller]
fn newest_copy_runs_after(steps: &[(usize, bool)]) {
    use NameIn::{Constants, Variables};
    for names in [
        [Constants, Constants],
        [Constants, Variables],
        [Variables, Constants],
    ] {
        newest_copy_runs(names, steps);
    }
}

#[track_caller]
fn newest_copy_runs(names: [NameIn; 2], steps: &[(usize, bool)]) {
    let project = CProject::new();
    project.write(&CModule::new("owner"));
    let version = |at: usize| i64::try_from(at).expect("a small number");
    // The carriers of the first build count as equally old; the one initialised last decides.
    for (at, name) in CARRIERS.iter().enumerate() {
        project.write(&carrier(name, names[at], Some(version(at))));
    }
    let libraries: Vec<PathBuf> = steps
        .iter()
        .zip(10..)
        .map(|(&(at, has_copy), step)| {
            project.compile(&carrier(CARRIERS[at], names[at], has_copy.then_some(step)))
        })
        .collect();
    let (mut host, _) = HostOptions::importing(CARRIERS)
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    assert_eq!(host.call("owner", "shared", 1000), 1001);
    host.about("hold shared", "owner");
    let mut copies = [Some(0), Some(1)];
    for ((&(at, has_copy), step), library) in steps.iter().zip(10..).zip(&libraries) {
        project.install(library, CARRIERS[at]);
        host.reload().quiet();
        copies[at] = has_copy.then_some(step);
        if let Some(newest) = copies.iter().flatten().max() {
            let reply = host.command("call-held 0 1000").quiet();
            assert_eq!(
                reply.number(),
                1000 + newest,
                "step {step} of {steps:?}, {names:?}"
            );
        }
    }
    host.quit();
}

#[test]
fn a_shared_proc_whose_best_copy_changed_sides_goes_on_with_the_other_copy() {
    const L: usize = 0;
    const R: usize = 1;
    newest_copy_runs_after(&[(R, true), (L, true), (R, true), (R, false)]);
    newest_copy_runs_after(&[
        (L, true),
        (R, true),
        (L, true),
        (R, true),
        (L, true),
        (L, false),
    ]);
    newest_copy_runs_after(&[
        (L, true),
        (R, true),
        (R, false),
        (R, true),
        (L, true),
        (L, false),
        (R, true),
        (L, true),
        (L, false),
    ]);
}

#[test]
fn a_shared_proc_that_nobody_had_for_a_while_returns_from_either_side() {
    const L: usize = 0;
    const R: usize = 1;
    newest_copy_runs_after(&[
        (L, true),
        (R, false),
        (L, false),
        (R, true),
        (L, true),
        (R, true),
        (R, false),
        (L, false),
        (L, true),
    ]);
}
