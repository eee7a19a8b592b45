//! The text of a case's file becomes a case. `tests/corpus/README.md` describes the format.

use regex_lite::Regex;

use super::case::{Case, Files, Label, Step};

/// What is wrong with a file, and in which line.
pub type Error = String;

/// A section of a file: its heading behind `===`, the number of that line, and the lines below.
pub(super) struct Section<'a> {
    pub heading: &'a str,
    pub line: usize,
    pub lines: Vec<&'a str>,
}

/// Cuts a text at its `===` lines. What stands before the first is the head.
pub(super) fn sections(text: &str) -> (Vec<&str>, Vec<Section<'_>>) {
    let mut head = Vec::new();
    let mut found: Vec<Section<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("=== ") {
            found.push(Section {
                heading: heading.trim(),
                line: index + 1,
                lines: Vec::new(),
            });
        } else if let Some(section) = found.last_mut() {
            section.lines.push(line);
        } else {
            head.push(line);
        }
    }
    (head, found)
}

/// Reads a case without variants.
///
/// # Errors
/// When the text is none of a case, or a replacement does not fit.
pub fn case(name: &str, text: &str) -> Result<Case, Error> {
    let (head, sections) = sections(text);
    let mut case = self::head(name, &head)?;
    for section in sections {
        let place = |what: String| format!("line {}: {what}", section.line);
        match section.heading.split_once(' ').unwrap_or_default() {
            ("file", path) => {
                let files = match case.steps.last_mut() {
                    Some(step) => &mut step.files,
                    None => &mut case.files,
                };
                files.insert(path.to_owned(), whole(&section.lines));
            }
            ("remove", path) => {
                let step = case.steps.last_mut();
                let removed = step.and_then(|step| step.files.remove(path));
                removed.ok_or_else(|| place(format!("no file {path} to remove")))?;
            }
            ("step", heading) => {
                let step = step(&case, heading, &section.lines).map_err(place)?;
                case.steps.push(step);
            }
            _ => return Err(place(format!("what is `{}`?", section.heading))),
        }
    }
    if case.steps.is_empty() {
        return Err("a case without a step".to_owned());
    }
    if case.steps.last().is_some_and(|step| step.quick) {
        return Err("nothing follows the quick step".to_owned());
    }
    Ok(case)
}

fn whole(lines: &[&str]) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn head(name: &str, lines: &[&str]) -> Result<Case, Error> {
    let mut case = Case {
        name: name.to_owned(),
        about: String::new(),
        needs: Vec::new(),
        levels: vec![0, 3],
        in_ci: false,
        start: pattern("^v1")?,
        panics: false,
        files: Files::new(),
        steps: Vec::new(),
    };
    for line in lines {
        if let Some(words) = line.strip_prefix('#') {
            case.about.push_str(words);
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(format!("`{line}` is no line of a head"));
        };
        let words = || value.split_whitespace();
        match key {
            "needs" => case.needs = words().map(str::to_owned).collect(),
            "opt" => {
                case.levels = words()
                    .map(|level| match level {
                        "0" => Ok(0),
                        "3" => Ok(3),
                        _ => Err(format!("no level {level}")),
                    })
                    .collect::<Result<_, _>>()?;
            }
            "part" => case.in_ci = words().any(|part| part == "ci"),
            "start" => case.start = pattern(value.trim_start())?,
            "panics" => case.panics = true,
            _ => return Err(format!("`{key}` is nothing a head can say")),
        }
    }
    case.about = case.about.trim().to_owned();
    Ok(case)
}

fn step(case: &Case, heading: &str, lines: &[&str]) -> Result<Step, Error> {
    let (letter, about) = heading.split_once(' ').unwrap_or((heading, ""));
    let label = Label::of(letter).ok_or_else(|| format!("`{letter}` is no label"))?;
    let anew = lines.contains(&"anew");
    let start = match case.steps.last() {
        Some(before) if !anew => &before.files,
        _ => &case.files,
    };
    let mut step = Step {
        label,
        about: about.to_owned(),
        files: start.clone(),
        anew: anew || case.steps.is_empty(),
        quick: lines.contains(&"quick"),
        new: None,
        old: None,
    };
    let mut edits = Edits::new("src/main.rs");
    for line in lines {
        match line.split_at_checked(2).unwrap_or((line, "")) {
            ("- ", old) => edits.go(&mut step.files, old)?,
            ("+ ", new) => edits.come(new),
            ("+", _) => edits.come(""),
            ("@ ", path) => {
                edits.apply(&mut step.files)?;
                edits = Edits::new(path);
            }
            _ if line.trim().is_empty() || matches!(*line, "anew" | "quick") => {}
            _ => match line.split_once(": ") {
                Some(("new", text)) => step.new = Some(pattern(text)?),
                Some(("old", text)) => step.old = Some(pattern(text)?),
                _ => return Err(format!("`{line}` is no line of a step")),
            },
        }
    }
    edits.apply(&mut step.files)?;
    Ok(step)
}

/// Replacements in one file, as they are read.
struct Edits<'a> {
    path: &'a str,
    from: Vec<&'a str>,
    to: Vec<&'a str>,
}

impl<'a> Edits<'a> {
    fn new(path: &'a str) -> Self {
        Self {
            path,
            from: Vec::new(),
            to: Vec::new(),
        }
    }

    /// A line that is there. Behind a line that is to come it begins the next replacement.
    fn go(&mut self, files: &mut Files, line: &'a str) -> Result<(), Error> {
        if !self.to.is_empty() {
            self.apply(files)?;
        }
        self.from.push(line);
        Ok(())
    }

    fn come(&mut self, line: &'a str) {
        self.to.push(line);
    }

    fn apply(&mut self, files: &mut Files) -> Result<(), Error> {
        if self.from.is_empty() && self.to.is_empty() {
            return Ok(());
        }
        let text = files
            .get_mut(self.path)
            .ok_or_else(|| format!("no file {} to edit", self.path))?;
        let from = self.from.join("\n");
        let count = text.matches(&from).count();
        if from.is_empty() || count != 1 {
            return Err(format!("`{from}` stands {count} times in {}", self.path));
        }
        *text = text.replacen(&from, &self.to.join("\n"), 1);
        self.from.clear();
        self.to.clear();
        Ok(())
    }
}

fn pattern(text: &str) -> Result<Regex, Error> {
    Regex::new(text).map_err(|error| format!("`{text}`: {error}"))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
