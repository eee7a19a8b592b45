//! x86-64.

use liveswap_protocol::patch::RelocationKind;

use super::{Numbers, Problem, apply_common};

/// Fills in the field that `field` starts with.
///
/// # Errors
/// Nothing is written then.
pub fn apply(kind: RelocationKind, field: &mut [u8], numbers: Numbers) -> Result<(), Problem> {
    apply_common(kind, field, numbers).unwrap_or(Err(Problem::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x5555_0000_1000;

    fn applied(kind: RelocationKind, target: u64, addend: i64) -> Result<Vec<u8>, Problem> {
        let mut field = vec![0xcc; 8];
        let numbers = Numbers {
            target,
            addend,
            place: AT,
        };
        apply(kind, &mut field, numbers)?;
        Ok(field)
    }

    #[test]
    fn values_are_computed_as_the_abi_says() {
        use RelocationKind as K;
        let cc = 0xcc;
        let table: [(K, u64, i64, [u8; 8]); 9] = [
            (
                K::Abs64,
                0x1122_3344_5566_7788,
                1,
                [0x89, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
            ),
            (
                K::Abs64,
                4,
                -8,
                [0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            ),
            (K::Pc64, AT + 0x10, 0, [0x10, 0, 0, 0, 0, 0, 0, 0]),
            (K::Pc64, AT - 1, 0, [0xff; 8]),
            (
                K::Abs32,
                0xffff_fff0,
                0xf,
                [0xff, 0xff, 0xff, 0xff, cc, cc, cc, cc],
            ),
            (
                K::Abs32Signed,
                0x7fff_ffff,
                0,
                [0xff, 0xff, 0xff, 0x7f, cc, cc, cc, cc],
            ),
            (
                K::Abs32Signed,
                0,
                -1,
                [0xff, 0xff, 0xff, 0xff, cc, cc, cc, cc],
            ),
            (
                K::Pc32,
                AT + 0x8000_0003,
                -4,
                [0xff, 0xff, 0xff, 0x7f, cc, cc, cc, cc],
            ),
            (
                K::Pc32,
                AT - 0x7fff_fffc,
                -4,
                [0, 0, 0, 0x80, cc, cc, cc, cc],
            ),
        ];
        for (kind, target, addend, bytes) in table {
            assert_eq!(
                applied(kind, target, addend),
                Ok(bytes.to_vec()),
                "{kind:?} {target:x} {addend}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        use RelocationKind as K;
        let table = [
            (K::Abs32, 0xffff_ffff, 1),
            (K::Abs32, 0, -1),
            (K::Abs32Signed, 0x8000_0000, 0),
            (K::Abs32Signed, u64::MAX, 0),
            (K::Pc32, AT + 0x8000_0004, -4),
            (K::Pc32, AT - 0x7fff_fffc, -5),
            (K::Pc32, u64::MAX, i64::MAX),
            (K::Pc32, 0, i64::MIN),
        ];
        for (kind, target, addend) in table {
            assert_eq!(
                applied(kind, target, addend),
                Err(Problem::Overflow),
                "{kind:?} {target:x} {addend}"
            );
        }
    }

    #[test]
    fn other_machines_kinds_and_cut_fields_are_refused() {
        use RelocationKind as K;
        for kind in [
            K::Aarch64Call26,
            K::Aarch64AdrpPage21,
            K::Aarch64AddLow12,
            K::Aarch64LoadStoreLow12(3),
        ] {
            assert_eq!(applied(kind, AT, 0), Err(Problem::Unknown));
        }
        let numbers = Numbers {
            target: AT,
            addend: 0,
            place: AT,
        };
        assert_eq!(apply(K::Pc32, &mut [0; 3], numbers), Err(Problem::Field));
        assert_eq!(apply(K::Abs64, &mut [0; 7], numbers), Err(Problem::Field));
    }
}
