//! Files and folders that may be there already, or not.

use std::fs;
use std::io;
use std::path::Path;

/// Removes a file that need not be there. A link is removed, not what it leads to.
///
/// # Errors
/// Those of the file system, but not that there is none.
pub fn remove(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path))
}

/// Makes a folder that is empty: what it had is removed, and what it lies in is made.
///
/// # Errors
/// Those of the file system.
pub fn empty_folder(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_dir_all(path))?;
    fs::create_dir_all(path)
}

fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_removed_if_it_is_there_and_what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        remove(&path).unwrap();
        fs::write(&path, "a").unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        assert!(remove(folder.path()).is_err());
    }

    #[test]
    fn a_folder_is_empty_whether_it_was_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        empty_folder(&path).unwrap();
        fs::create_dir(path.join("c")).unwrap();
        fs::write(path.join("c/d"), "d").unwrap();
        empty_folder(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "a").unwrap();
        assert!(empty_folder(&file).is_err());
    }
}
