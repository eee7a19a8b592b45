use super::*;

#[test]
fn calls_of_all_forms_are_read() {
    let read = |before: &[u8]| calls_before(0x1000, before);
    assert_eq!(read(&[0xe8, 0x10, 0, 0, 0]), [Target::To(0x1010)]);
    assert_eq!(
        read(&[0x90, 0xe8, 0xf0, 0xff, 0xff, 0xff]),
        [Target::To(0xff0)]
    );
    assert_eq!(
        read(&[0xff, 0x15, 0x10, 0, 0, 0]),
        [Target::Through(0x1010)]
    );
    let anywhere: [&[u8]; 8] = [
        &[0xff, 0xd0],                      // call *%rax
        &[0x41, 0xff, 0xd3],                // call *%r11
        &[0xff, 0x10],                      // call *(%rax)
        &[0xff, 0x50, 0x18],                // call *24(%rax)
        &[0xff, 0x54, 0x24, 0x08],          // call *8(%rsp)
        &[0xff, 0x90, 0, 1, 0, 0],          // call *256(%rax)
        &[0xff, 0x94, 0x24, 0, 1, 0, 0],    // call *256(%rsp)
        &[0xff, 0x14, 0xc5, 0, 0x10, 0, 0], // call *4096(,%rax,8)
    ];
    for bytes in anywhere {
        assert_eq!(read(bytes), [Target::Anywhere], "{bytes:x?}");
    }
}

#[test]
fn what_is_no_call_is_not_read_as_one() {
    let others: [&[u8]; 7] = [
        &[],
        &[0xe8, 0, 0, 0],          // cut off
        &[0xe9, 0, 0, 0, 0],       // jmp
        &[0xff, 0xe0],             // jmp *%rax
        &[0xff, 0x25, 0, 0, 0, 0], // jmp *(%rip)
        &[0xff, 0x50, 0x18, 0x90], // a call further back
        &[0x48, 0x83, 0xc4, 0x18], // add
    ];
    for bytes in others {
        assert!(calls_before(0x1000, bytes).is_empty(), "{bytes:x?}");
    }
}

#[test]
fn both_readings_of_ambiguous_bytes_are_given() {
    // A call whose distance ends with bytes that are a call by themselves.
    let both = calls_before(0x1000, &[0xe8, 0x10, 0, 0xff, 0xd0]);
    assert_eq!(both.len(), 2);
    assert!(both.contains(&Target::Anywhere));
}

#[test]
fn slots_and_entries_of_the_plt_are_stubs() {
    assert_eq!(
        stub(0x1000, &[0xff, 0x25, 0x10, 0, 0, 0]),
        Some(Target::Through(0x1016))
    );
    let entry = [0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0, 0, 0, 0];
    assert_eq!(stub(0x1000, &entry), Some(Target::Through(0x100b)));
    assert_eq!(stub(0x1000, &[0xe9, 0, 0, 0, 0]), Some(Target::To(0x1005)));
    assert_eq!(stub(0x1000, &[0x55, 0xff, 0x25, 0, 0, 0, 0]), None);
    assert_eq!(stub(0x1000, &[0xff]), None);
}

#[test]
fn jumps_within_a_function_do_not_leave_it() {
    let mut code = vec![0xe9, 1, 0, 0, 0, 0x90]; // to 0x1006, its own
    code.extend([0xe9, 0xf5, 0x0f, 0, 0]); // to 0x2000
    assert_eq!(jumps_out(0x1000, &code), [Target::To(0x2000)]);
}

fn pointers(code: &[u8]) -> Vec<u64> {
    Prologue::read(code).0.frame_pointers(0x10_0000).collect()
}

#[test]
fn prologues_tell_how_far_the_stack_pointer_is_below_the_frame_pointer() {
    assert_eq!(pointers(&[]), [0x10_0000]);
    // push %r15; push %rbx; sub $0x18, %rsp; mov %rdi, (%rsp)
    let code = [
        0x41, 0x57, 0x53, 0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0x3c, 0x24,
    ];
    assert_eq!(pointers(&code), [0x10_0028]);
    // add $-128, %rsp: shorter than to subtract 128
    assert_eq!(pointers(&[0x48, 0x83, 0xc4, 0x80]), [0x10_0080]);
    assert_eq!(pointers(&[0x48, 0x81, 0xec, 0, 1, 0, 0]), [0x10_0100]);
    // Taken, a page touched, taken.
    let mut large = vec![0x48, 0x81, 0xec, 0, 0x10, 0, 0];
    large.extend([0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0]);
    large.extend([0x48, 0x83, 0xec, 0x20]);
    assert_eq!(pointers(&large), [0x10_1020]);
    // All pages in a loop: lea -0x8000(%rsp), %r11 and so on, then the rest.
    let mut larger = vec![0x4c, 0x8d, 0x9c, 0x24, 0, 0x80, 0xff, 0xff];
    larger.extend(TOUCH_PAGES);
    larger.extend([0xeb, 0x48, 0x83, 0xec, 0x20]);
    assert_eq!(pointers(&larger), [0x10_8020]);
}

#[test]
fn a_stack_pointer_that_was_rounded_down_leaves_a_choice() {
    // push %rbx; and $-64, %rsp; sub $0x80, %rsp
    let code = [
        0x53, 0x48, 0x83, 0xe4, 0xc0, 0x48, 0x81, 0xec, 0x80, 0, 0, 0,
    ];
    let choice = pointers(&code);
    assert_eq!(choice.len(), 8);
    assert_eq!((choice[0], choice[7]), (0x10_0088, 0x10_00c0));
    // Rounded to what is no power of two: not believed.
    assert_eq!(pointers(&[0x48, 0x83, 0xe4, 0xc1]), [0x10_0000]);
}

#[test]
fn a_body_that_takes_stack_is_noticed() {
    let takes: [&[u8]; 6] = [
        &[0x48, 0x29, 0xc4],       // sub %rax, %rsp
        &[0x4c, 0x29, 0xc4],       // sub %r8, %rsp
        &[0x90, 0x48, 0x89, 0xc4], // mov %rax, %rsp
        &[0x49, 0x8b, 0xe3],       // mov %r11, %rsp
        &[0x48, 0x83, 0xec, 0x10],
        &[0x48, 0x81, 0xec, 0, 1, 0, 0],
    ];
    for code in takes {
        assert!(moves_stack(code), "{code:x?}");
    }
    // mov %rbp, %rsp; mov %rsp, %rax; add $0x28, %rsp
    assert!(!moves_stack(&[
        0x48, 0x89, 0xec, 0x48, 0x89, 0xe0, 0x48, 0x83, 0xc4, 0x28
    ]));
}

#[test]
fn arguments_on_the_stack_are_noticed_by_what_is_given_back() {
    let (prologue, len) = Prologue::read(&[0x53, 0x48, 0x83, 0xec, 0x18, 0x90]);
    assert_eq!(len, 5);
    assert!(prologue.saves_at_least(1) && !prologue.saves_at_least(2));
    assert!(!prologue.differs_from(&[0x48, 0x83, 0xc4, 0x18, 0x5b]));
    assert!(prologue.differs_from(&[0x48, 0x83, 0xc4, 0x10, 0x5b]));
    assert!(!prologue.differs_from(&[0x90]));
}
