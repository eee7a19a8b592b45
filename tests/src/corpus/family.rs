//! A family: one text that stands for several cases.
//!
//! `=== variant NAME` gives values to names; `<<NAME>>` elsewhere stands for them. Every variant makes
//! a case of its own. A step may be `only:` or `except:` for some of the variants.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::read::{Error, Section, sections};

/// The texts of the cases that a file stands for, each with what its name gets behind the file's.
///
/// # Errors
/// When a variant lacks a value or has one that is not used.
pub fn expand(text: &str) -> Result<Vec<(String, String)>, Error> {
    let (head, sections) = sections(text);
    let (variants, others): (Vec<_>, Vec<_>) = sections
        .iter()
        .partition(|section| section.heading.starts_with("variant "));
    if variants.is_empty() {
        return Ok(vec![(String::new(), text.to_owned())]);
    }
    let mut cases = Vec::new();
    for variant in variants {
        let (name, values) = values(variant)?;
        let mut made = String::new();
        for line in &head {
            push(&mut made, line, &values)?;
        }
        for section in &others {
            if is_for(section, &name) {
                push(&mut made, &format!("=== {}", section.heading), &values)?;
                for line in section.lines.iter().filter(|line| !is_choice(line)) {
                    push(&mut made, line, &values)?;
                }
            }
        }
        // A value that nobody asks for is a slip of the pen.
        let unused = values
            .keys()
            .find(|key| *key != "VARIANT" && !is_used(text, key));
        if let Some(unused) = unused {
            return Err(format!("variant {name}: nobody asks for {unused}"));
        }
        cases.push((format!("/{name}"), made));
    }
    Ok(cases)
}

fn is_used(text: &str, key: &str) -> bool {
    text.contains(&format!("<<{key}>>"))
}

/// The name of a variant and its values: lines `KEY = value`, continued by lines `| more`.
fn values(section: &Section<'_>) -> Result<(String, BTreeMap<String, String>), Error> {
    let name = section.heading.trim_start_matches("variant ").to_owned();
    let mut values = BTreeMap::from([("VARIANT".to_owned(), name.clone())]);
    let mut last = None;
    for line in &section.lines {
        if let Some(more) = line.strip_prefix("| ") {
            let value = last.as_ref().and_then(|key| values.get_mut(key));
            let value =
                value.ok_or_else(|| format!("variant {name}: `{line}` continues nothing"))?;
            write!(value, "\n{more}").map_err(|error| error.to_string())?;
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().to_owned();
            values.insert(key.clone(), value.trim().to_owned());
            last = Some(key);
        } else if !line.trim().is_empty() {
            return Err(format!("variant {name}: `{line}` is no value"));
        }
    }
    Ok((name, values))
}

fn is_choice(line: &str) -> bool {
    line.starts_with("only: ") || line.starts_with("except: ")
}

fn is_for(section: &Section<'_>, variant: &str) -> bool {
    section.lines.iter().all(|line| {
        let names = |list: &str| list.split_whitespace().any(|name| name == variant);
        match line.split_once(": ") {
            Some(("only", list)) => names(list),
            Some(("except", list)) => !names(list),
            _ => true,
        }
    })
}

/// Adds a line with its names replaced. In a step every line of a value gets the sign of the first.
fn push(made: &mut String, line: &str, values: &BTreeMap<String, String>) -> Result<(), Error> {
    let sign = line.get(..2).filter(|sign| matches!(*sign, "- " | "+ "));
    let sign = sign.unwrap_or_default();
    let mut rest = line;
    while let Some(start) = rest.find("<<") {
        let Some(end) = rest[start..].find(">>").map(|length| start + length) else {
            break;
        };
        let key = &rest[start + 2..end];
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            made.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        }
        let value = values
            .get(key)
            .ok_or_else(|| format!("a variant without {key}"))?;
        made.push_str(&rest[..start]);
        made.push_str(&value.replace('\n', &format!("\n{sign}")));
        rest = &rest[end + 2..];
    }
    made.push_str(rest);
    made.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::expand;

    const FAMILY: &str = "\
# Numbers in <<VARIANT>>.
=== file src/main.rs
static S: <<TYPE>> = <<VALUE>>;
fn main() { let a = 1 << 2; }
=== variant cell
TYPE = Cell<u8>
VALUE = Cell::new(1)
| // more
=== variant plain
TYPE = u8
VALUE = 1
=== step S the value
only: plain
- <<VALUE>>
+ 2
=== step U the type
except: plain
- <<VALUE>>
+ <<VALUE>>
";

    #[test]
    fn every_variant_is_a_case_with_its_values() {
        let cases = expand(FAMILY).expect("a family");
        let cell = "\
# Numbers in cell.
=== file src/main.rs
static S: Cell<u8> = Cell::new(1)
// more;
fn main() { let a = 1 << 2; }
=== step U the type
- Cell::new(1)
- // more
+ Cell::new(1)
+ // more
";
        let plain = "\
# Numbers in plain.
=== file src/main.rs
static S: u8 = 1;
fn main() { let a = 1 << 2; }
=== step S the value
- 1
+ 2
";
        assert_eq!(cases[0], ("/cell".to_owned(), cell.to_owned()));
        assert_eq!(cases[1], ("/plain".to_owned(), plain.to_owned()));
    }

    #[test]
    fn a_text_without_variants_stands_for_itself() {
        let text = "=== step S\n- <<X>>\n+ 2\n";
        assert_eq!(
            expand(text).expect("a case"),
            [(String::new(), text.to_owned())]
        );
    }

    #[test]
    fn what_a_variant_lacks_or_has_too_much_is_told() {
        let lacks = FAMILY.replace("VALUE = 1\n", "");
        let error = expand(&lacks).expect_err("no value");
        assert!(error.contains("VALUE"), "{error}");
        let more = FAMILY.replace("VALUE = 1\n", "VALUE = 1\nOTHER = 2\n");
        let error = expand(&more).expect_err("a value too much");
        assert!(error.contains("OTHER"), "{error}");
    }
}
