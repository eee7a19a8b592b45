//! A patch: what turns one generation of a running program into the next.
//!
//! A patch names places by image and offset, never by address: [`Place::Executable`] counts from
//! the executable's first byte (its own virtual addresses, for a position independent executable),
//! [`Place::Range`] from the start of the range that the agent reserved near it. So one patch
//! serves every process that runs the same executable and took the same patches before.
//!
//! On the wire a patch is `MAGIC`, the CRC-32 of what follows (little endian), and the postcard
//! encoding. The agent treats it as data to be checked: [`Patch::decode`] refuses what is cut off
//! or changed, the agent refuses what does not fit the process.

use serde::{Deserialize, Serialize};

/// First bytes of an encoded patch: name and format version.
pub const MAGIC: [u8; 8] = *b"LSPATCH1";

/// Size in bytes of a slice: images start at multiples of it, counted from the start of the range.
pub const SLICE_SIZE: u64 = 64 * 1024;

/// The address that the range's start has in the ELF files of images. It is not 0, because code that a
/// file describes but does not contain is said to be at 0.
pub const FILE_BASE: u64 = 1 << 32;

/// A place in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// A virtual address as the executable's file counts it (offset from its load bias).
    Executable(u64),
    /// Bytes from the start of the agent's range: images of this and earlier patches.
    Range(u64),
    /// A symbol of a shared library, by its number in [`Patch::imports`].
    Import(u32),
}

/// Code and data that a patch brings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Number of the first slice. It lies behind all images of earlier patches.
    pub first_slice: u32,
    /// Code and read-only data; becomes read-execute. Starts at the first slice's first byte.
    pub code: Vec<u8>,
    /// Writable data; starts at the first page (4096 bytes, or the system's larger page) after `code`.
    pub data: Vec<u8>,
    /// Offset of `data` from the image's start: a multiple of the page size.
    pub data_offset: u64,
    /// Length of the writable part: `data` and then zeros.
    pub data_len: u64,
    /// Offset and length of the unwind information (`.eh_frame`) in `code`, its terminator included.
    /// The length is 0 if there is none.
    pub eh_frame: (u64, u64),
    /// What has to be computed once the addresses are known.
    pub relocations: Vec<Relocation>,
    /// Functions to call before the slots are set (new archive members' `.init_array`), as places.
    pub initialisers: Vec<Place>,
}

/// How a value is computed and stored. S: address of the target, A: addend, P: address of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RelocationKind {
    /// 64 bits, S + A.
    Abs64,
    /// 32 bits, S + A, must fit unsigned.
    Abs32,
    /// 32 bits, S + A, must fit signed.
    Abs32Signed,
    /// 64 bits, S + A - P.
    Pc64,
    /// 32 bits, S + A - P, must fit signed.
    Pc32,
    /// aarch64 `b`, `bl`: 26 bits, S + A - P in words.
    Aarch64Call26,
    /// aarch64 `adrp`: 21 bits, page of S + A minus page of P.
    Aarch64AdrpPage21,
    /// aarch64 `add`: low 12 bits of S + A.
    Aarch64AddLow12,
    /// aarch64 load/store of `1 << n` bytes (n = 0..=4): low 12 bits of S + A, scaled.
    Aarch64LoadStoreLow12(u8),
}

/// One field to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relocation {
    /// Offset of the field from the image's start.
    pub at: u32,
    /// How.
    pub kind: RelocationKind,
    /// S.
    pub target: Place,
    /// A.
    pub addend: i64,
}

/// A slot that gets a new target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotWrite {
    /// The slot's word: one of the executable's, or an aligned word in the writable part of an image.
    pub word: Place,
    /// The function's newest code.
    pub target: Place,
}

/// First content of a thread-local that this patch adds, in the executable's room for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadLocal {
    /// Offset in the executable's TLS segment.
    pub offset: u64,
    /// Its initial bytes: written to the segment's template and to the block of each living thread.
    pub bytes: Vec<u8>,
    /// Addresses in it, to be filled in first: offset in `bytes` (8 bytes each), target, addend.
    pub pointers: Vec<(u32, Place, i64)>,
}

/// A symbol of a shared library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// Whether it may be missing; its address is then 0.
    pub weak: bool,
}

/// What turns generation n into n + 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Build id of the executable it was made for: the contents of its `.note.gnu.build-id`.
    pub build_id: Vec<u8>,
    /// The generation that this patch makes; the process must be at the one before.
    pub generation: u64,
    /// New code and data, if any.
    pub image: Option<Image>,
    /// Symbols of shared libraries.
    pub imports: Vec<Import>,
    /// Slots to set, all of them or none.
    pub slots: Vec<SlotWrite>,
    /// New thread-locals.
    pub thread_locals: Vec<ThreadLocal>,
}

/// Why bytes are not a patch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They do not start with [`MAGIC`].
    #[error("not a patch, or one of another version")]
    Magic,
    /// They were cut off or changed.
    #[error("damaged: its checksum is {found:08x} instead of {expected:08x}")]
    Checksum {
        /// What it says.
        expected: u32,
        /// What it is.
        found: u32,
    },
    /// The checksum is right, the content is not.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl Patch {
    /// The bytes that [`Patch::decode`] reads.
    ///
    /// # Errors
    /// Only if memory for them cannot be had.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let body = postcard::to_allocvec(self)?;
        let mut bytes = Vec::with_capacity(body.len() + 12);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads what [`Patch::encode`] wrote.
    ///
    /// # Errors
    /// Anything else is refused; nothing is assumed of the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Patch, DecodeError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(DecodeError::Magic)?;
        let (sum, body) = rest.split_first_chunk::<4>().ok_or(DecodeError::Magic)?;
        let expected = u32::from_le_bytes(*sum);
        let found = crc32fast::hash(body);
        if expected != found {
            return Err(DecodeError::Checksum { expected, found });
        }
        match postcard::take_from_bytes(body) {
            Ok((patch, [])) => Ok(patch),
            Ok((_, rest)) => Err(DecodeError::Malformed(format!(
                "{} bytes too many",
                rest.len()
            ))),
            Err(error) => Err(DecodeError::Malformed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Patch {
        Patch {
            build_id: vec![1, 2, 3],
            generation: 7,
            image: Some(Image {
                first_slice: 3,
                code: vec![0x90; 40],
                data: vec![1; 8],
                data_offset: 4096,
                data_len: 16,
                eh_frame: (8, 24),
                relocations: vec![Relocation {
                    at: 4,
                    kind: RelocationKind::Pc32,
                    target: Place::Executable(0x1234),
                    addend: -4,
                }],
                initialisers: vec![Place::Range(12)],
            }),
            imports: vec![Import {
                name: "memcpy".into(),
                weak: false,
            }],
            slots: vec![SlotWrite {
                word: Place::Executable(64),
                target: Place::Range(0),
            }],
            thread_locals: vec![ThreadLocal {
                offset: 8,
                bytes: vec![9; 8],
                pointers: vec![(0, Place::Range(16), 0)],
            }],
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let bytes = example().encode().unwrap();
        assert_eq!(Patch::decode(&bytes), Ok(example()));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = example().encode().unwrap();
        for len in 0..bytes.len() {
            assert!(Patch::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = example().encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Patch::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_follows_a_patch_is_refused() {
        let mut body = postcard::to_allocvec(&example()).unwrap();
        body.push(0);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        assert!(matches!(
            Patch::decode(&bytes),
            Err(DecodeError::Malformed(_))
        ));
    }
}
