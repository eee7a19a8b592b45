//! What the kernel tells about a running process.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::c_project::is_private_copy;

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// As in the file: `r-xp` and so on.
    pub permissions: String,
    /// The file, or a name such as `[heap]`; empty for anonymous memory.
    pub name: String,
}

/// The mappings of a process.
///
/// # Panics
/// When the process is gone.
#[track_caller]
pub fn mappings(pid: u32) -> Vec<Mapping> {
    let text = fs::read(format!("/proc/{pid}/maps")).expect("the process has a maps file");
    String::from_utf8_lossy(&text)
        .lines()
        .map(mapping)
        .collect()
}

fn mapping(line: &str) -> Mapping {
    let mut words = line.splitn(6, ' ');
    let range = words.next().expect("an address range");
    let permissions = words.next().expect("permissions").to_owned();
    // Offset, device and inode lie between; the name is padded to a column.
    let name = words.nth(3).unwrap_or("").trim_start().to_owned();
    let (start, end) = range.split_once('-').expect("an address range");
    let number = |digits| u64::from_str_radix(digits, 16).expect("hexadecimal digits");
    Mapping {
        start: number(start),
        end: number(end),
        permissions,
        name,
    }
}

/// The private copies of modules that a process has mapped, deleted files included.
#[track_caller]
pub fn mapped_copies(pid: u32) -> BTreeSet<PathBuf> {
    mappings(pid)
        .into_iter()
        .map(|mapping| PathBuf::from(mapping.name))
        .filter(|name| is_private_copy(name))
        .collect()
}

/// The private copies of one module, given by the stem of its file name, among those mapped.
#[track_caller]
pub fn mapped_copies_of(pid: u32, module: &str) -> usize {
    mapped_copies(pid)
        .iter()
        .filter_map(|path| path.file_name())
        .filter(|name| {
            name.to_string_lossy()
                .starts_with(&format!("{module}.liveswap-"))
        })
        .count()
}

/// How many files a process has open.
#[track_caller]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process has a list of open files")
        .count()
}

/// How many KiB of memory of a process are resident.
#[track_caller]
pub fn resident_kib(pid: u32) -> u64 {
    number(pid, "status", "VmRSS:")
}

/// How many bytes a process has read so far, from files, pipes and everything else.
///
/// # Panics
/// When the kernel does not count them.
#[track_caller]
pub fn bytes_read(pid: u32) -> u64 {
    number(pid, "io", "rchar:")
}

/// The number behind `name` in a file that the kernel has of a process.
#[track_caller]
fn number(pid: u32, file: &str, name: &str) -> u64 {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("{path} has no number behind {name}"))
}
