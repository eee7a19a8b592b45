//! How long the code of old generations stays mapped.

use liveswap_tests::process_info::{mapped_copies_of, open_files};
use liveswap_tests::{CModule, CProject, Host, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b").proc("version", &format!("return {version};"))
}

fn start(project: &CProject, keep: Option<&str>) -> Host {
    project.write(&b(0));
    project.write(&CModule::new("c"));
    let options = HostOptions::importing(["b", "c"]);
    let options = match keep {
        Some(number) => options.env("LIVESWAP_KEEP_IMAGES", number),
        None => options,
    };
    options.start(project).0
}

/// Reloads `b` seven times and requires the number of its images after each reload.
#[track_caller]
fn keeps(setting: Option<&str>, expected: [usize; 7]) {
    let project = CProject::new();
    let mut host = start(&project, setting);
    assert_eq!(mapped_copies_of(host.pid(), "b"), 1);
    let mut seen = Vec::new();
    for version in 1..=7 {
        project.write(&b(version));
        host.reload().quiet();
        let images = mapped_copies_of(host.pid(), "b");
        seen.push(images);
        let on_disk = project.private_copies();
        let of_b = on_disk.iter().filter(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            name.starts_with("b.liveswap-")
        });
        assert_eq!(
            of_b.count(),
            images,
            "each mapped image has its file, and no other has"
        );
        assert_eq!(
            mapped_copies_of(host.pid(), "c"),
            1,
            "an unchanged module has one image"
        );
    }
    assert_eq!(seen, expected);
    host.quit();
}

#[test]
fn three_old_images_of_a_module_stay_mapped_by_default() {
    keeps(None, [2, 3, 4, 4, 4, 4, 4]);
}

#[test]
fn with_0_an_old_image_is_closed_right_after_the_reload() {
    keeps(Some("0"), [1; 7]);
}

#[test]
fn with_a_number_that_many_old_images_stay() {
    keeps(Some("1"), [2; 7]);
    keeps(Some("5"), [2, 3, 4, 5, 6, 6, 6]);
}

#[test]
fn with_all_every_old_image_stays() {
    keeps(Some("all"), [2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_setting_that_makes_no_sense_is_reported_and_the_default_holds() {
    let project = CProject::new();
    project.write(&b(0));
    let (mut host, reply) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "many")
        .start(&project);
    assert!(
        reply
            .stderr
            .iter()
            .any(|line| line.starts_with("liveswap: ")
                && line.contains("LIVESWAP_KEEP_IMAGES")
                && line.contains("many")),
        "{reply:?}"
    );
    for version in 1..=6 {
        project.write(&b(version));
        host.reload().quiet();
    }
    assert_eq!(mapped_copies_of(host.pid(), "b"), 4);
    host.quit();
}

#[test]
fn code_of_an_old_image_that_stays_mapped_goes_on_running() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .declare(&format!(
                "static long raw(long x) {{ return x + {version}; }}"
            ))
            // An address that does not go through a slot, as old type infos and iterators hold.
            .global("long (*)(long)", "kept", "*kept = raw;")
            .proc("call_kept", "return (*kept)(x);")
            .proc("version", &format!("return {version};"))
    };
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for version in 2..=4 {
        project.write(&b(version));
        host.reload().quiet();
        assert_eq!(host.call("b", "version", 0), version);
        assert_eq!(
            host.call("b", "call_kept", 100),
            101,
            "the first generation's code"
        );
    }
    host.quit();
}

#[test]
fn images_of_a_module_that_disappeared_are_closed_as_others_replace_them() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&b(0));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    let before = open_files(host.pid());
    for _ in 0..10 {
        project.write(&CModule::new("a"));
        host.reload().quiet();
        project.write(&CModule::new("a").imports(["b"]));
        host.reload().quiet();
        let images = mapped_copies_of(host.pid(), "b");
        assert!((1..=4).contains(&images), "{images} images");
    }
    assert_eq!(open_files(host.pid()), before);
    host.quit();
}

#[test]
fn a_reload_leaves_no_file_open_and_never_maps_the_original() {
    let project = CProject::new();
    let mut host = start(&project, None);
    let before = open_files(host.pid());
    for version in 1..=5 {
        project.write(&b(version));
        host.reload().quiet();
    }
    assert_eq!(open_files(host.pid()), before);
    let original = project.path("b").to_string_lossy().into_owned();
    let mappings = liveswap_tests::process_info::mappings(host.pid());
    assert!(
        mappings
            .iter()
            .all(|mapping| !mapping.name.starts_with(&original)),
        "{mappings:?}"
    );
    host.quit();
}
