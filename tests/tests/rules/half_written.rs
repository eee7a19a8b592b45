//! A file that is still being written is never loaded half.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::mpsc::{TryRecvError, channel};

use liveswap_tests::{CModule, CProject, Host, HostOptions};

/// Longer than any test takes: a reload that has to wait for a file waits for it.
const PATIENT: &str = "50000";

fn b(version: i64) -> CModule {
    CModule::new("b")
        .global("char[50000]", "padding", "")
        // Enough initialised data that the file is no small matter to write.
        .declare("char table[400000] = {1};")
        .proc("version", &format!("return {version} * table[0];"))
}

struct Scene {
    project: CProject,
    host: Host,
    /// The bytes of version 2.
    new: Vec<u8>,
}

impl Scene {
    fn waiting(settle_ms: &str) -> Self {
        let project = CProject::new();
        project.write(&b(1));
        let (host, _) = HostOptions::importing(["b"])
            .env("LIVESWAP_SETTLE_MS", settle_ms)
            .start(&project);
        let new = fs::read(project.compile(&b(2))).expect("the library can be read");
        Self { project, host, new }
    }

    /// Opens the file in place and empties it, as a linker or a copying tool does.
    fn rewrite(&self) -> File {
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.project.path("b"))
            .expect("the file can be written")
    }

    #[track_caller]
    fn is_at(&mut self, generation: i64, version: i64) {
        assert_eq!(self.host.generation(), generation);
        assert_eq!(self.host.call("b", "version", 0), version);
    }
}

#[test]
fn a_half_written_file_is_refused_and_loaded_when_it_is_complete() {
    let mut scene = Scene::waiting("0");
    let half = scene.new.len() / 2;
    let mut file = scene.rewrite();
    file.write_all(&scene.new[..half]).expect("written");
    assert!(scene.host.reload_needed());
    let reply = scene.host.reload();
    assert!(
        reply.stderr[0].starts_with("liveswap: reload refused, generation 0 goes on: "),
        "{reply:?}"
    );
    scene.is_at(0, 1);
    file.write_all(&scene.new[half..]).expect("written");
    drop(file);
    scene.host.reload().quiet();
    scene.is_at(1, 2);
    scene.host.quit();
}

#[test]
fn a_reload_waits_for_a_file_that_is_being_written() {
    let mut scene = Scene::waiting(PATIENT);
    let half = scene.new.len() / 2;
    let mut file = scene.rewrite();
    file.write_all(&scene.new[..half]).expect("written");
    scene.host.send("announced-reload");
    assert_eq!(scene.host.line(), "reloading");
    file.write_all(&scene.new[half..]).expect("written");
    drop(file);
    scene.host.reply().quiet();
    scene.is_at(1, 2);
    scene.host.quit();
}

#[test]
fn a_reload_waits_for_a_file_that_was_just_emptied() {
    let mut scene = Scene::waiting(PATIENT);
    let mut file = scene.rewrite();
    scene.host.send("announced-reload");
    assert_eq!(scene.host.line(), "reloading");
    for piece in scene.new.chunks(10_000) {
        file.write_all(piece).expect("written");
    }
    drop(file);
    scene.host.reply().quiet();
    scene.is_at(1, 2);
    scene.host.quit();
}

#[test]
fn a_file_of_the_full_length_that_is_still_open_for_writing_is_not_loaded() {
    let mut scene = Scene::waiting("0");
    let half = scene.new.len() / 2;
    let mut file = scene.rewrite();
    // The space is reserved first, so the length is right from the start; the headers are there,
    // the code is not.
    file.set_len(scene.new.len() as u64).expect("resized");
    file.write_all(&scene.new[..half]).expect("written");
    scene.host.reload();
    scene.is_at(0, 1);
    file.write_all(&scene.new[half..]).expect("written");
    drop(file);
    scene.host.reload().quiet();
    scene.is_at(1, 2);
    scene.host.quit();
}

#[test]
fn a_file_rewritten_in_place_is_loaded_and_the_old_image_is_not_disturbed() {
    // Many editors and build tools write into the same inode; the old code is a private copy.
    let mut scene = Scene::waiting("0");
    let mut file = scene.rewrite();
    scene.is_at(0, 1);
    file.write_all(&scene.new).expect("written");
    drop(file);
    scene.is_at(0, 1);
    scene.host.reload().quiet();
    scene.is_at(1, 2);
    scene.host.quit();
}

#[test]
fn files_that_change_all_the_time_are_loaded_whole_or_not_at_all() {
    let mut scene = Scene::waiting("0");
    let path = scene.project.path("b");
    let old = fs::read(scene.project.compile(&b(1))).expect("the library can be read");
    let new = scene.new.clone();
    std::thread::scope(|scope| {
        let (stop, stopped) = channel::<()>();
        let writer = scope.spawn(move || {
            let mut rewritten = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                for bytes in [&new, &old] {
                    let mut file = File::create(&path).expect("the file can be written");
                    for piece in bytes.chunks(20_000) {
                        file.write_all(piece).expect("written");
                    }
                    rewritten += 1;
                }
            }
            rewritten
        });
        for _ in 0..300 {
            scene.host.reload();
            let version = scene.host.call("b", "version", 0);
            assert!([1, 2].contains(&version), "version {version}");
        }
        drop(stop);
        assert!(writer.join().expect("the writer ends") > 0);
    });
    // When peace returns, the last file is loaded.
    scene.host.reload();
    assert_eq!(scene.host.call("b", "version", 0), 1);
    assert!(!scene.host.reload_needed());
    scene.host.quit();
}
