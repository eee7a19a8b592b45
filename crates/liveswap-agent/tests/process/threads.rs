//! Thread-locals of patches, and frames on the stacks of threads.

use liveswap_protocol::message::{FromAgent, ToAgent};
use liveswap_protocol::patch::{Patch, Place, ThreadLocal};

use crate::harness::Running;

/// A patch by which `value` reads the thread-local at this offset of the room.
pub fn reads_room(running: &Running, at: u64, initial: i64) -> Patch {
    // mov %fs:offset,%rax; ret
    let mut code = vec![0x64, 0x48, 0x8b, 0x04, 0x25];
    let offset = i32::try_from(running.tpoff + at as i64).unwrap();
    code.extend(offset.to_le_bytes());
    code.push(0xc3);
    let mut patch = running.patch("word_value", &code);
    patch.thread_locals = vec![ThreadLocal {
        offset: running.facts["tls_offset"] + at,
        bytes: initial.to_le_bytes().to_vec(),
        pointers: Vec::new(),
    }];
    patch
}

#[test]
fn a_new_thread_local_has_its_first_value_on_living_and_on_later_threads() {
    let mut running = Running::start();
    assert_eq!(running.ask("start 8"), "started 8");
    assert_eq!(running.ask("values"), "values -1 -1 -1 -1 -1 -1 -1 -1 -1");
    let patch = reads_room(&running, 0, 1234);
    running.apply(&patch);
    assert_eq!(running.ask("start 3"), "started 3");
    assert_eq!(
        running.ask("values"),
        format!("values{}", " 1234".repeat(12))
    );
    // Another one beside it, and an address in it.
    let mut second = reads_room(&running, 4088, 0);
    second.thread_locals[0].pointers = vec![(0, running.executable("a_static"), 3)];
    running.apply(&second);
    assert_eq!(running.ask("start 1"), "started 1");
    let address = running.hello.bias + running.facts["a_static"] + 3;
    let expected = format!(" {address}").repeat(13);
    assert_eq!(running.ask("values"), format!("values{expected}"));
    // The template is read-only again.
    let third = reads_room(&running, 0, 1);
    assert_eq!(running.refused(&third).0, "LS0108");
    assert!(running.end().success());
}

#[test]
fn the_template_is_protected_again() {
    let mut running = Running::start();
    let read_only = |running: &Running| {
        let name = crate::harness::program().to_str().unwrap().to_owned();
        let maps = running.maps();
        let parts = maps.lines().filter(|line| line.ends_with(&name));
        parts
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let before = read_only(&running);
    let patch = reads_room(&running, 8, 5);
    running.apply(&patch);
    assert_eq!(read_only(&running), before);
    assert_eq!(running.ask("values"), "values 5");
}

#[test]
fn threads_that_come_and_go_while_thread_locals_are_added() {
    let mut running = Running::start();
    assert_eq!(running.ask("churn 99"), "churning");
    for round in 0..150 {
        let patch = reads_room(&running, round * 8, 99);
        running.apply(&patch);
    }
    assert_eq!(running.ask("still"), "churned many wrong 0");
    assert!(running.end().success());
}

/// A patch by which `around` calls its argument from patched code, with unwind information.
pub fn around(running: &Running) -> Patch {
    // push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret
    let mut code = vec![0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3];
    code.extend(CIE_AND_FDE);
    code.extend([0; 4]);
    let mut patch = running.patch("word_around", &code);
    patch.image.as_mut().unwrap().eh_frame = (8, CIE_AND_FDE.len() as u64 + 4);
    patch
}

/// For a function of 8 bytes right before it that keeps a frame pointer.
const CIE_AND_FDE: [u8; 56] = [
    20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, // CIE
    12, 7, 8, 0x90, 1, 0, 0, // cfa = rsp + 8, return address at cfa - 8
    28, 0, 0, 0, 28, 0, 0, 0, 0xd8, 0xff, 0xff, 0xff, 8, 0, 0, 0, 0, // FDE
    0x41, 0x0e, 16, 0x86, 2, // behind push: cfa = rsp + 16, rbp at cfa - 16
    0x43, 0x0d, 6, // behind mov: cfa = rbp + 16
    0x43, 0x0c, 7, 8, // behind pop: cfa = rsp + 8
    0, 0, 0,
];

#[test]
fn unwinding_passes_through_patched_code() {
    let mut running = Running::start();
    let before = running.ask("trace");
    assert!(before.contains(" main 1 "), "{before}");
    let patch = around(&running);
    let second = running.own_address(6);
    running.apply(&patch);
    let after = running.ask("trace");
    assert!(after.contains(" main 1 "), "{after}");
    assert!(
        after.ends_with(&format!(" second {second}")),
        "{after} {second}"
    );
}

#[test]
fn frames_of_a_waiting_thread_are_found() {
    let mut running = Running::start();
    let patch = around(&running);
    let start = running.own_address(0);
    running.apply(&patch);
    let ranges = vec![(start, 8), (running.hello.range_start + (1 << 20), 100)];
    let request = ToAgent::Frames(ranges);
    assert_eq!(running.request(&request), FromAgent::Frames(Vec::new()));
    assert_eq!(running.ask("block"), "blocked");
    // The thread may not be there yet.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let FromAgent::Frames(frames) = running.request(&request) else {
            panic!("not frames");
        };
        if let [frame] = &frames[..] {
            assert_eq!((frame.range, frame.address), (0, start + 6));
            assert!(frame.exact);
            assert_ne!(frame.thread, running.child.id());
            assert_ne!(frame.stack_address, 0);
            return;
        }
        assert!(frames.is_empty(), "{frames:?}");
        assert!(std::time::Instant::now() < deadline);
    }
}

#[test]
fn slices_are_listed_by_dl_iterate_phdr() {
    let mut running = Running::start();
    let line = running.ask("list");
    let start = running.hello.range_start;
    let end = start + running.hello.range_len;
    let images = running.folder.path().join("images");
    let expected = format!(
        "list slices={} bad=0 first={start} end={end} all=0 stopped=33 count=3 name={}/slice-0000.so",
        running.hello.range_len / 65536,
        images.display()
    );
    assert_eq!(line, expected);
    assert_eq!(Place::Range(0), running.own(0));
}
