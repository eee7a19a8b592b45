//! Members of static libraries (`.rlib`, `.a`).

use std::ops::Range;

use object::read::archive::ArchiveFile;
use xxhash_rust::xxh3::xxh3_128;

/// One file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its contents are in the archive.
    pub range: Range<usize>,
}

impl Member {
    /// Whether it is what rustc knows of the crate.
    pub fn is_metadata(&self) -> bool {
        self.name.ends_with(".rmeta")
    }
}

/// The members of the archive in these bytes.
///
/// # Errors
/// What is wrong with it, if it is no archive, or a thin one.
pub fn members(bytes: &[u8]) -> Result<Vec<Member>, String> {
    let archive = ArchiveFile::parse(bytes).map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    for member in archive.members() {
        let member = member.map_err(|error| error.to_string())?;
        let (start, len) = member.file_range();
        let range = usize::try_from(start)
            .ok()
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| Some(start..start.checked_add(len)?))
            .filter(|range| range.end <= bytes.len())
            .ok_or("a member lies outside of the file")?;
        members.push(Member {
            name: String::from_utf8_lossy(member.name()).into_owned(),
            range,
        });
    }
    Ok(members)
}

/// The codegen unit of an object file: of `app-HASH.CGU.SUFFIX.rcgu.o` or `app-HASH.CGU.rcgu.o` the
/// part CGU; the suffix is new in every compilation. `None` if it is no object of the crate with
/// this stem (`app-HASH`).
pub fn codegen_unit<'a>(file_name: &'a str, stem: &str) -> Option<&'a str> {
    let name = file_name
        .strip_prefix(stem)?
        .strip_prefix('.')?
        .strip_suffix(".rcgu.o")?;
    // Not incremental: CRATE.HASH-cgu.N. Incremental: one word.
    if let Some(at) = name.find("-cgu.") {
        let digits = &name[at + "-cgu.".len()..];
        let len = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        return Some(&name[..at + "-cgu.".len() + len]);
    }
    Some(name.rsplit_once('.').map_or(name, |(unit, _)| unit))
}

/// One hash of native members with these names and hashes; 0 if there are none.
pub fn hash_of_native(mut members: Vec<(String, u128)>) -> u128 {
    if members.is_empty() {
        return 0;
    }
    members.sort_unstable();
    let mut text = Vec::new();
    for (name, hash) in members {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(&hash.to_le_bytes());
    }
    xxh3_128(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_unit_is_what_stays() {
        for (file, unit) in [
            (
                "app-53f8.0otop2p4c2t0ayw7z6a8y85e8.1s3d7oq.rcgu.o",
                "0otop2p4c2t0ayw7z6a8y85e8",
            ),
            (
                "app-53f8.app.1a2a23c4a786df34-cgu.0.rcgu.o",
                "app.1a2a23c4a786df34-cgu.0",
            ),
            (
                "app-53f8.app.1a2a23c4a786df34-cgu.12.1s3d7oq.rcgu.o",
                "app.1a2a23c4a786df34-cgu.12",
            ),
            (
                "app-53f8.eynkre0whcx23y571z4oq3anl.rcgu.o",
                "eynkre0whcx23y571z4oq3anl",
            ),
        ] {
            assert_eq!(codegen_unit(file, "app-53f8"), Some(unit), "{file}");
        }
        assert_eq!(codegen_unit("symbols.o", "app-53f8"), None);
        assert_eq!(codegen_unit("app-53f89.x.y.rcgu.o", "app-53f8"), None);
    }

    #[test]
    fn members_of_an_archive() {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, contents) in [("lib.rmeta/", "meta"), ("a.rcgu.o/", "objc")] {
            bytes.extend_from_slice(
                format!(
                    "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                    0,
                    0,
                    0,
                    644,
                    contents.len()
                )
                .as_bytes(),
            );
            bytes.extend_from_slice(contents.as_bytes());
        }
        let found = members(&bytes).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].is_metadata());
        assert!(!found[1].is_metadata());
        assert_eq!(&bytes[found[1].range.clone()], b"objc");
        assert!(members(b"no archive").is_err());
    }
}
