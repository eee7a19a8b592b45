//! The lists of source files that rustc writes (`.d`, in the format of make).

use std::path::PathBuf;

/// The files that the list names, as it names them: relative to where rustc ran, or absolute.
pub fn files(text: &str) -> Vec<PathBuf> {
    // Each output has a line with all inputs; then comes a line without inputs for each input.
    let inputs = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(&line[end_of_target(line)? + 1..]))
        .find(|inputs| !inputs.trim().is_empty());
    inputs.map(split).unwrap_or_default()
}

/// Where the colon behind the target is; names can have colons of their own.
fn end_of_target(line: &str) -> Option<usize> {
    line.find(": ")
        .or_else(|| line.ends_with(':').then(|| line.len() - 1))
}

fn split(inputs: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut current = String::new();
    let mut chars = inputs.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&' ') => {
                chars.next();
                current.push(' ');
            }
            ' ' if current.is_empty() => {}
            ' ' => files.push(PathBuf::from(std::mem::take(&mut current))),
            _ => current.push(c),
        }
    }
    if !current.is_empty() {
        files.push(current.into());
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inputs_of_the_first_output() {
        let text = "/t/app-1.d: src/main.rs src/my\\ mod.rs /x/c:d.txt\n\n\
            /t/app-1: src/main.rs src/my\\ mod.rs /x/c:d.txt\n\n\
            src/main.rs:\nsrc/my\\ mod.rs:\n/x/c:d.txt:\n\n# env-dep:CARGO_PKG_NAME=app\n";
        let expected: Vec<PathBuf> = ["src/main.rs", "src/my mod.rs", "/x/c:d.txt"]
            .map(PathBuf::from)
            .to_vec();
        assert_eq!(files(text), expected);
        assert!(files("").is_empty());
    }
}
