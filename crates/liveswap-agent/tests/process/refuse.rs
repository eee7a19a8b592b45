//! Patches that are refused: the program goes on in the old code, and nothing is left of them.

use liveswap_protocol::message::{FromAgent, ToAgent};
use liveswap_protocol::patch::{Import, Patch, Place, Relocation, RelocationKind, ThreadLocal};

use crate::harness::{Running, program, returns};

fn relocation(kind: RelocationKind, target: Place) -> Relocation {
    Relocation {
        at: 1,
        kind,
        target,
        addend: 0,
    }
}

fn import(name: &str) -> Import {
    Import {
        name: name.to_owned(),
        weak: false,
    }
}

/// A name, what makes a good patch bad, and the code that it is refused with.
type Case = (&'static str, fn(&mut Patch), &'static str);

const BAD: &[Case] = &[
    ("another executable", |p| p.build_id[3] ^= 1, "LS0102"),
    ("the generation there is", |p| p.generation -= 1, "LS0103"),
    ("a generation to come", |p| p.generation += 1, "LS0103"),
    (
        "an image behind the range",
        |p| {
            p.image.as_mut().unwrap().first_slice = 1 << 20;
        },
        "LS0104",
    ),
    (
        "an image in the place of another",
        |p| {
            p.image.as_mut().unwrap().first_slice = 0;
        },
        "LS0104",
    ),
    (
        "a slot word in the executable's code",
        |p| {
            p.slots[0].word = Place::Executable(64);
        },
        "LS0104",
    ),
    (
        "a slot target in the executable's headers",
        |p| {
            p.slots[0].target = Place::Executable(0);
        },
        "LS0104",
    ),
    (
        "a slot target in the reserved range",
        |p| {
            p.slots[0].target = Place::Range(1 << 24);
        },
        "LS0104",
    ),
    (
        "a target far away",
        |p| {
            p.image.as_mut().unwrap().relocations =
                vec![relocation(RelocationKind::Pc32, Place::Executable(1 << 40))];
        },
        "LS0104",
    ),
    (
        "a library out of reach",
        |p| {
            p.imports = vec![import("strlen")];
            p.image.as_mut().unwrap().relocations =
                vec![relocation(RelocationKind::Pc32, Place::Import(0))];
        },
        "LS0105",
    ),
    (
        "an address of 32 bits",
        |p| {
            p.image.as_mut().unwrap().relocations =
                vec![relocation(RelocationKind::Abs32, Place::Executable(0))];
        },
        "LS0105",
    ),
    (
        "a relocation of another machine",
        |p| {
            p.image.as_mut().unwrap().relocations = vec![relocation(
                RelocationKind::Aarch64Call26,
                Place::Executable(0),
            )];
        },
        "LS0105",
    ),
    (
        "a missing symbol",
        |p| p.imports = vec![import("no_such_function")],
        "LS0106",
    ),
    (
        "a symbol without a name",
        |p| p.imports = vec![import("with\0zero")],
        "LS0106",
    ),
    (
        "no room for a thread-local",
        |p| {
            p.thread_locals = vec![ThreadLocal {
                offset: 1 << 20,
                bytes: vec![1],
                pointers: Vec::new(),
            }];
        },
        "LS0108",
    ),
    (
        "unwind information that is none",
        |p| {
            p.image.as_mut().unwrap().eh_frame = (0, 6);
        },
        "LS0101",
    ),
];

#[test]
fn bad_patches_are_refused_and_the_program_goes_on() {
    let mut running = Running::start();
    let first = running.patch("word_answer", &returns(10));
    running.apply(&first);
    let maps = running.maps();
    for (name, spoil, wanted) in BAD {
        let mut patch = running.patch("word_answer", &returns(11));
        spoil(&mut patch);
        let (code, message) = running.refused(&patch);
        assert_eq!(code, *wanted, "{name}: {message}");
        if *wanted == "LS0106" {
            assert!(message.contains(&patch.imports[0].name), "{message}");
        }
        assert_eq!(running.ask("call"), "answer 10 third 3 static 5", "{name}");
    }
    let good = running.patch("word_answer", &returns(11)).encode().unwrap();
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    for bytes in [&good[..good.len() - 1], &good[..5], &[], &flipped] {
        let answer = running.request(&ToAgent::Apply(bytes.to_vec()));
        assert!(
            matches!(&answer, FromAgent::Refused { code, .. } if code == "LS0101"),
            "{answer:?}"
        );
    }
    assert_eq!(ranges(&running, &running.maps()), ranges(&running, &maps));
    let good = running.patch("word_answer", &returns(11));
    running.apply(&good);
    assert_eq!(running.ask("call"), "answer 11 third 3 static 5");
}

/// Mappings in the agent's range.
fn ranges(running: &Running, maps: &str) -> Vec<String> {
    let start = running.hello.range_start;
    let end = start + running.hello.range_len;
    maps.lines()
        .filter(|line| {
            let address = line.split('-').next().unwrap();
            let address = u64::from_str_radix(address, 16).unwrap();
            (start..end).contains(&address)
        })
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn memory_that_the_system_refuses_is_given_back() {
    let mut running = Running::start();
    let maps = running.maps();
    // Writable memory is limited from now on. (Linux takes 0 for no limit.)
    let limit = libc::rlimit {
        rlim_cur: 4096,
        rlim_max: libc::RLIM_INFINITY,
    };
    let pid = libc::pid_t::try_from(running.child.id()).unwrap();
    // SAFETY: a limit of the test's own child.
    let done = unsafe {
        libc::prlimit(
            pid,
            libc::RLIMIT_DATA,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(done, 0);
    let patch = running.patch("word_answer", &returns(11));
    let (code, message) = running.refused(&patch);
    assert_eq!(code, "LS0107", "{message}");
    assert!(message.contains("annot allocate memory"), "{message}");
    assert_eq!(running.ask("call"), "answer 1 third 3 static 5");
    assert_eq!(ranges(&running, &running.maps()), ranges(&running, &maps));
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: as above.
    unsafe {
        libc::prlimit(
            pid,
            libc::RLIMIT_DATA,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 11 third 3 static 5");
}

#[test]
fn little_address_space_means_a_small_range() {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -v 150000; exec \"$0\""])
        .arg(program());
    let mut running = Running::start_with(command);
    assert_eq!(running.hello.range_len, 16 << 20);
    let patch = running.patch("word_answer", &returns(11));
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 11 third 3 static 5");
}
