//! Patches that go live.

use std::time::{SystemTime, UNIX_EPOCH};

use liveswap_protocol::message::{FromAgent, ToAgent};
use liveswap_protocol::patch::{Import, Place, Relocation, RelocationKind, SlotWrite};

use crate::harness::{Running, compile, returns};

#[test]
fn a_function_is_changed_and_changed_back() {
    let mut running = Running::start();
    assert_eq!(running.ask("call"), "answer 1 third 3 static 5");
    let patch = running.patch("word_answer", &returns(42));
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let (_, flipped_at) = running.apply(&patch);
    let after = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    assert!((before..=after).contains(&u128::from(flipped_at)));
    assert_eq!(running.ask("call"), "answer 42 third 3 static 5");
    running.assert_nothing_is_writable_and_executable();

    let mut back = running.patch("word_answer", &[]);
    back.image = None;
    back.slots[0].target = running.executable("actual_answer");
    running.apply(&back);
    assert_eq!(running.ask("call"), "answer 1 third 3 static 5");
    assert!(running.end().success());
}

#[test]
fn several_slots_data_and_imports_of_one_patch() {
    let mut running = Running::start();
    // At 0: incl a_static(%rip); mov counter(%rip),%eax (in the image's data); ret
    let mut code = vec![0xff, 0x05, 0, 0, 0, 0, 0x8b, 0x05, 0, 0, 0, 0, 0xc3];
    code.resize(16, 0xcc);
    // At 16: lea of a string (in the code part); sub $8,%rsp; call *strlen; add $8,%rsp; ret
    code.extend([0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x48, 0x83, 0xec, 8]);
    code.extend([0xff, 0x15, 0, 0, 0, 0, 0x48, 0x83, 0xc4, 8, 0xc3]);
    let string = code.len() as u64;
    code.extend(b"seven ..\0");
    let mut patch = running.patch("word_answer", &code);
    let data = |offset: u64| running.own(4096 + offset);
    let relocation = |at, kind, target, addend| Relocation {
        at,
        kind,
        target,
        addend,
    };
    let image = patch.image.as_mut().unwrap();
    image.data = vec![0; 16];
    image.data[..4].copy_from_slice(&900i32.to_le_bytes());
    image.data_len = 10_000;
    image.relocations = vec![
        relocation(2, RelocationKind::Pc32, running.executable("a_static"), -4),
        relocation(8, RelocationKind::Pc32, data(0), -4),
        relocation(19, RelocationKind::Pc32, running.own(string), -4),
        relocation(29, RelocationKind::Pc32, data(8), -4),
        relocation(4096 + 8, RelocationKind::Abs64, Place::Import(0), 0),
    ];
    patch.imports = vec![
        Import {
            name: "strlen".to_owned(),
            weak: false,
        },
        Import {
            name: "no_such_function".to_owned(),
            weak: true,
        },
    ];
    patch.slots.push(SlotWrite {
        word: running.executable("word_third"),
        target: running.own(16),
    });
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 900 third 8 static 6");
    running.assert_nothing_is_writable_and_executable();
}

#[test]
fn slots_of_new_functions_live_in_images_and_change_like_others() {
    let mut running = Running::start();
    // A new function with a slot of its own: `answer` jumps to it.
    let mut code = vec![0xff, 0x25, 0, 0, 0, 0];
    code.resize(16, 0xcc);
    code.extend(returns(7));
    let mut patch = running.patch("word_answer", &code);
    let word = running.own(4096);
    patch.image.as_mut().unwrap().data_len = 8;
    patch.image.as_mut().unwrap().relocations = vec![Relocation {
        at: 2,
        kind: RelocationKind::Pc32,
        target: word,
        addend: -4,
    }];
    patch.slots.push(SlotWrite {
        word,
        target: running.own(16),
    });
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 7 third 3 static 5");
    let mut second = running.patch("word_answer", &returns(8));
    second.slots[0].word = word;
    running.apply(&second);
    assert_eq!(running.ask("call"), "answer 8 third 3 static 5");
}

#[test]
fn slots_led_to_new_code_before_its_initialisers_had_run() {
    let mut running = Running::start();
    // mov word_answer(%rip),%rax; add %rax,a_static(%rip); ret
    let mut code = vec![0x48, 0x8b, 0x05, 0, 0, 0, 0, 0x48, 0x01, 0x05, 0, 0, 0, 0];
    code.push(0xc3);
    code.resize(16, 0xcc);
    code.extend(returns(42));
    let mut patch = running.patch("word_answer", &code);
    patch.slots[0].target = running.own(16);
    let image = patch.image.as_mut().unwrap();
    image.relocations = vec![
        Relocation {
            at: 3,
            kind: RelocationKind::Pc32,
            target: running.executable("word_answer"),
            addend: -4,
        },
        Relocation {
            at: 10,
            kind: RelocationKind::Pc32,
            target: running.executable("a_static"),
            addend: -4,
        },
    ];
    image.initialisers = vec![running.own(0), running.own(0)];
    running.apply(&patch);
    let old = running.hello.bias + running.facts["actual_answer"];
    let expected = format!("answer 42 third 3 static {}", 5 + 2 * old);
    assert_eq!(running.ask("call"), expected);
}

#[test]
fn an_initialiser_that_threw_ended_the_program() {
    let mut running = Running::start();
    let mut patch = running.patch("word_answer", &returns(42));
    patch.image.as_mut().unwrap().initialisers = vec![running.executable("fails")];
    for _ in 0..2 {
        assert_eq!(running.refused(&patch).0, "LS0109");
        // Whoever learned of the image from the initialiser may use it for ever.
        assert_eq!(running.refused(&patch).0, "LS0104");
        running.skip_a_slice();
        patch.image.as_mut().unwrap().first_slice += 1;
    }
    assert_eq!(running.ask("call"), "answer 1 third 3 static 2005");
    running.assert_nothing_is_writable_and_executable();
    patch = running.patch("word_answer", &returns(43));
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 43 third 3 static 2005");
    assert!(running.end().success());
}

#[test]
fn many_patches_cost_few_mappings_and_little_memory() {
    let mut running = Running::start();
    let before = running.maps().lines().count();
    for round in 0..500 {
        let patch = running.patch("word_answer", &returns(round));
        running.apply(&patch);
    }
    assert_eq!(running.ask("call"), "answer 499 third 3 static 5");
    let after = running.maps().lines().count();
    assert!(after <= before + 4, "{before} {after}\n{}", running.maps());
}

#[test]
fn a_thousand_functions_go_live_at_once() {
    let mut running = Running::start();
    let mut code = Vec::new();
    let mut relocations = Vec::new();
    for number in 0..1000u32 {
        let at = number * 512;
        code.resize(at as usize, 0xcc);
        code.extend(returns(number as i32));
        for field in 0..20 {
            relocations.push(Relocation {
                at: at + 16 + field * 4,
                kind: RelocationKind::Pc32,
                target: running.executable("a_static"),
                addend: -4,
            });
        }
    }
    code.resize(code.len() + 512, 0xcc);
    let mut patch = running.patch("word_answer", &code);
    let image = patch.image.as_mut().unwrap();
    image.data_offset = (code.len() as u64).next_multiple_of(4096);
    image.data_len = 8000;
    image.relocations = relocations;
    let data_offset = image.data_offset;
    patch.slots = (0..1000)
        .map(|number| SlotWrite {
            word: running.own(data_offset + number * 8),
            target: running.own(number * 512),
        })
        .collect();
    patch.slots.push(SlotWrite {
        word: running.executable("word_answer"),
        target: running.own(999 * 512),
    });
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 999 third 3 static 5");
}

#[test]
fn a_program_at_a_fixed_address_is_patched_too() {
    let program = compile("liveswap-agent-fixed", &["-fno-pie", "-no-pie"]);
    let mut running = Running::start_program(&program);
    assert_eq!(running.hello.bias, 0);
    // mov a_static,%eax by its 32-bit address; ret
    let mut patch = running.patch("word_answer", &[0x8b, 0x04, 0x25, 0, 0, 0, 0, 0xc3]);
    patch.image.as_mut().unwrap().relocations = vec![Relocation {
        at: 3,
        kind: RelocationKind::Abs32Signed,
        target: running.executable("a_static"),
        addend: 0,
    }];
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 5 third 3 static 5");
}

#[test]
fn gdb_is_told_of_an_image() {
    let mut running = Running::start();
    let patch = running.patch("word_answer", &returns(2));
    running.apply(&patch);
    // What is not there harms nobody.
    assert_eq!(running.request(&ToAgent::Announce(0)), FromAgent::Announced);
    let images = running.folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    std::fs::write(images.join("slice-0000.gdb"), vec![7; 5000]).unwrap();
    assert_eq!(running.request(&ToAgent::Announce(0)), FromAgent::Announced);
    let maps = running.maps();
    let line = maps.lines().find(|line| line.ends_with("slice-0000.gdb"));
    assert!(line.is_some_and(|line| line.contains(" r--p ")), "{maps}");
    assert_eq!(running.ask("call"), "answer 2 third 3 static 5");
}
