use liveswap_protocol::patch::{Image, Import, Place, SLICE_SIZE, ThreadLocal};

use super::examples::{BIAS, RANGE, good, process, symbol};
use super::*;

fn image(patch: &mut Patch) -> &mut Image {
    patch.image.as_mut().unwrap()
}

fn check(patch: &Patch) -> Result<Ready, Refusal> {
    Checker::new(process()).check(&patch.encode().unwrap(), &symbol)
}

#[test]
fn a_patch_that_fits_is_resolved() {
    let ready = check(&good()).unwrap();
    assert_eq!(ready.generation, 1);
    let expected = [(BIAS + 0x3008, RANGE), (RANGE + 4096 + 56, BIAS + 0x1800)];
    assert_eq!(ready.slots, expected);
    let image = ready.image.unwrap();
    let distance = i32::try_from(BIAS + 0x1010 - 4 - (RANGE + 1)).unwrap();
    assert_eq!(image.code[1..5], distance.to_le_bytes());
    assert_eq!(image.data[..8], 0x7fff_0000_1008u64.to_le_bytes());
    assert_eq!(image.data[24..32], (RANGE + 16).to_le_bytes());
    assert_eq!(image.eh_frame, Some(RANGE + 64));
    assert_eq!(image.initialisers, [RANGE + 8]);
    assert_eq!(image.mapped.slices.len, SLICE_SIZE);
    let mut bytes = vec![7; 8];
    bytes.extend((RANGE + 4096 + 4).to_le_bytes());
    assert_eq!(ready.thread_locals, [(48, bytes)]);
}

#[test]
fn what_is_not_a_patch_is_malformed() {
    let checker = Checker::new(process());
    let bytes = good().encode().unwrap();
    let mut flipped = bytes.clone();
    flipped[30] ^= 4;
    for bytes in [&[][..], b"LSPATCH1", &bytes[..bytes.len() - 1], &flipped] {
        let refusal = checker.check(bytes, &symbol).unwrap_err();
        assert_eq!(refusal.code, Code::Malformed);
    }
}

#[test]
fn a_weak_symbol_may_be_missing() {
    let mut patch = good();
    patch.imports[0] = Import {
        name: "none_such".to_owned(),
        weak: true,
    };
    let image = check(&patch).unwrap().image.unwrap();
    assert_eq!(image.data[..8], 8u64.to_le_bytes());
}

#[test]
fn later_patches_refer_to_earlier_images_and_lie_behind_them() {
    let mut checker = Checker::new(process());
    let ready = checker.check(&good().encode().unwrap(), &symbol).unwrap();
    checker.take(&ready);
    checker.commit(&ready);
    assert_eq!(checker.generation(), 1);
    let again = checker.check(&good().encode().unwrap(), &symbol);
    assert_eq!(again.unwrap_err().code, Code::Generation);

    let mut second = good();
    second.generation = 2;
    second.thread_locals.clear();
    let overlap = checker.check(&second.encode().unwrap(), &symbol);
    assert_eq!(overlap.unwrap_err().code, Code::Misfit);

    image(&mut second).first_slice = 3;
    // The unwind information is relative, so it fits anywhere.
    let own = |offset: u64| Place::Range(3 * SLICE_SIZE + offset);
    image(&mut second).initialisers = vec![own(8), Place::Range(8)];
    second.slots[0].target = own(0);
    // The word of the first image is one for ever.
    second.slots[1].target = Place::Range(16);
    let ready = checker.check(&second.encode().unwrap(), &symbol).unwrap();
    assert_eq!(ready.slots[0].1, RANGE + 3 * SLICE_SIZE);
    checker.take(&ready);
    checker.commit(&ready);

    // Between the images is nothing.
    let mut third = second.clone();
    third.generation = 3;
    third.image = None;
    third.slots[0].target = Place::Range(2 * SLICE_SIZE);
    let nowhere = checker.check(&third.encode().unwrap(), &symbol);
    assert_eq!(nowhere.unwrap_err().code, Code::Misfit);
    // Back to the executable's own code, without an image.
    third.slots[0].target = Place::Executable(0x1000);
    assert!(checker.check(&third.encode().unwrap(), &symbol).is_ok());
}

#[test]
fn room_of_a_thread_local_is_not_given_twice() {
    let mut checker = Checker::new(process());
    let ready = checker.check(&good().encode().unwrap(), &symbol).unwrap();
    checker.take(&ready);
    checker.commit(&ready);
    let second = Patch {
        build_id: vec![1, 2, 3],
        generation: 2,
        thread_locals: vec![ThreadLocal {
            offset: 56,
            bytes: vec![1; 8],
            pointers: Vec::new(),
        }],
        ..Patch::default()
    };
    let refusal = checker.check(&second.encode().unwrap(), &symbol);
    assert_eq!(refusal.unwrap_err().code, Code::ThreadLocalRoom);
}
