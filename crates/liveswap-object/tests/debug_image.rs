//! Files for debuggers, checked with what reads them: addr2line, readelf, objdump and gdb.

mod damaged;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use addr2line::Context;
use liveswap_object::debug_image::{Contents, Placed, build};
use liveswap_object::elf::Elf;
use object::elf::EM_X86_64;

type Reader<'a> = gimli::EndianSlice<'a, gimli::LittleEndian>;

const ADDRESS: u64 = 0x7f00_1234_5000;
const COUNT_ADDRESS: u64 = 0x5555_0000_1230;

const SOURCE: &str = "\
use std::sync::atomic::{AtomicUsize, Ordering};
static COUNT: AtomicUsize = AtomicUsize::new(0);
#[inline(never)]
pub fn placed_one(x: usize) -> usize {
    COUNT.fetch_add(x, Ordering::SeqCst)
}
#[inline(never)]
pub fn absent_one(list: &[u8]) -> usize {
    let mut sum = COUNT.load(Ordering::SeqCst);
    for byte in list { sum += *byte as usize; }
    sum
}
#[inline(never)]
pub fn placed_two(list: &mut Vec<String>) -> usize {
    list.push(String::new());
    list.iter().map(|text| text.len()).sum()
}
#[inline(never)]
pub fn absent_two(list: &mut Vec<String>) -> usize {
    list.iter().map(|text| text.len() * 2).sum()
}
";

const C_SOURCE: &str = "\
static int counter;
int placed_c(int x) {
    int y = x;
    for (int i = 0; i < x; i++) { int z = i * y; y += z + counter; }
    return y;
}
int absent_c(int x) {
    counter += x;
    for (int i = 0; i < x; i++) { int z = i; counter += z; }
    return counter;
}
";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{command:?}\\n{out}{error}");
    assert!(error.is_empty(), "{command:?}\\n{error}");
    out
}

fn rust_object(directory: &Path, flags: &[&str]) -> Vec<u8> {
    let input = directory.join("app.rs");
    let output = directory.join("app.o");
    std::fs::write(&input, SOURCE).unwrap();
    run(Command::new("rustc")
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=obj",
            "-Cdebuginfo=2",
        ])
        .args(["-Ccodegen-units=1", "-Csymbol-mangling-version=v0"])
        .args(flags)
        .arg(&input)
        .arg("-o")
        .arg(&output));
    std::fs::read(output).unwrap()
}

fn c_object(directory: &Path, flags: &[&str]) -> Vec<u8> {
    let input = directory.join("part.c");
    let output = directory.join("part.o");
    std::fs::write(&input, C_SOURCE).unwrap();
    run(Command::new("gcc")
        .args(["-c", "-ffunction-sections", "-fdata-sections"])
        .args(flags)
        .arg(&input)
        .arg("-o")
        .arg(&output));
    std::fs::read(output).unwrap()
}

/// A patch of all functions whose name begins with `placed`, and of what they need of the rest.
struct Patch {
    bytes: Vec<u8>,
    /// Address and size by readable name.
    functions: HashMap<String, (u64, u64)>,
}

fn place(objects: &[&[u8]]) -> Patch {
    let mut code = vec![0xcc; 32];
    let mut symbols = Vec::new();
    let mut functions = HashMap::new();
    let mut sections: Vec<HashMap<usize, u64>> = Vec::new();
    for object in objects {
        let object = Elf::parse(object).unwrap();
        let mut own = HashMap::new();
        for symbol in object.symbols.iter().filter(|symbol| symbol.is_function()) {
            let Some(section) = symbol.section.filter(|_| !symbol.name.contains("absent")) else {
                continue;
            };
            let at = *own.entry(section).or_insert_with(|| {
                code.resize(code.len().next_multiple_of(16), 0xcc);
                code.extend_from_slice(object.sections[section].data);
                ADDRESS + (code.len() - object.sections[section].data.len()) as u64
            });
            let address = at + symbol.value;
            symbols.push((symbol.name.to_owned(), address, symbol.size));
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name));
            functions.insert(name, (address, symbol.size));
        }
        sections.push(own);
    }
    // An empty table of unwind information: its end.
    let eh_frame = (code.len() as u64, 4);
    code.extend([0; 4]);
    let placed: Vec<_> = objects
        .iter()
        .zip(&sections)
        .map(|(object, sections)| Placed { object, sections })
        .collect();
    let contents = Contents {
        machine: EM_X86_64.0,
        address: ADDRESS,
        code: &code,
        eh_frame,
        symbols: &symbols,
        placed: &placed,
    };
    let resolve = |name: &str| name.ends_with("5COUNT").then_some(COUNT_ADDRESS);
    Patch {
        bytes: build(&contents, &resolve).unwrap(),
        functions,
    }
}

fn section<'a>(file: &'a [u8], name: &str) -> &'a [u8] {
    use object::read::elf::{FileHeader, SectionHeader};
    let header = object::elf::FileHeader64::<object::LittleEndian>::parse(file).unwrap();
    let endian = header.endian().unwrap();
    let table = header.sections(endian, file).unwrap();
    let found = table.section_by_name(endian, name.as_bytes());
    found.map_or(&[], |(_, section)| section.data(endian, file).unwrap())
}

fn dwarf(file: &[u8]) -> gimli::Dwarf<Reader<'_>> {
    gimli::Dwarf::load(|id| {
        let data = section(file, id.name());
        Ok::<_, gimli::Error>(Reader::new(data, gimli::LittleEndian))
    })
    .unwrap()
}

/// Reads all lists of ranges and places, which objdump cannot: it wants them in the order of their use. All
/// lie in the image, or where linkers put what they leave out.
fn all_lists(patch: &Patch) {
    let dwarf = dwarf(&patch.bytes);
    let end = patch
        .functions
        .values()
        .map(|(start, size)| start + size)
        .max()
        .unwrap();
    let check = |range: gimli::Range| {
        let placed = range.begin >= ADDRESS && range.end <= end;
        assert!(placed || range.end < 0x1_0000, "{range:x?}");
        placed && range.begin < range.end
    };
    let (mut ranges, mut places) = (0, 0);
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().unwrap() {
        let unit = dwarf.unit(header).unwrap();
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs().unwrap() {
            let mut list = dwarf.die_ranges(&unit, entry).unwrap();
            while let Some(range) = list.next().unwrap() {
                ranges += usize::from(check(range));
            }
            for attribute in entry.attrs() {
                if let Some(mut list) = dwarf.attr_locations(&unit, attribute.value()).unwrap() {
                    while let Some(place) = list.next().unwrap() {
                        places += usize::from(check(place.range));
                    }
                }
            }
        }
    }
    assert!(ranges > 3, "{ranges} ranges, {places} places");
}

/// What readers say to a file. Returns where it was written.
fn readable(directory: &Path, patch: &Patch) -> PathBuf {
    let path = directory.join("image.elf");
    std::fs::write(&path, &patch.bytes).unwrap();
    let listing = run(Command::new("readelf").arg("-aW").arg(&path));
    assert!(listing.contains("EXEC (Executable file)"), "{listing}");
    for kind in ["info", "abbrev", "decodedline", "aranges", "Ranges", "str"] {
        // It mistakes the lists of DWARF 4 and 5 for each other where a file has both, as it does with what ld
        // makes of such objects.
        let mixed = listing.contains(" .debug_ranges ") && listing.contains(" .debug_rnglists ");
        if mixed && kind == "Ranges" {
            continue;
        }
        run(Command::new("objdump")
            .arg(format!("--dwarf={kind}"))
            .arg(&path));
    }
    run(Command::new("readelf")
        .args(["--debug-dump=info,line,aranges"])
        .arg(&path));
    all_lists(patch);
    path
}

/// Line of `file` for an address, and the function it is in.
fn look_up(context: &Context<Reader<'_>>, address: u64) -> (String, u32, String) {
    let mut frames = context.find_frames(address).skip_all_loads().unwrap();
    let mut last = None;
    while let Some(frame) = frames.next().unwrap() {
        last = Some(frame);
    }
    let frame = last.unwrap_or_else(|| panic!("nothing at {address:x}"));
    let location = frame.location.unwrap();
    let name = frame.function.unwrap().raw_name().unwrap().into_owned();
    (
        location.file.unwrap().to_owned(),
        location.line.unwrap(),
        format!("{:#}", rustc_demangle::demangle(&name)),
    )
}

#[test]
fn lines_of_patched_rust_code() {
    let variants: [&[&str]; 4] = [
        &["-Copt-level=0"],
        &["-Copt-level=3"],
        &["-Copt-level=0", "-Cdwarf-version=5"],
        &["-Copt-level=3", "-Cdwarf-version=5"],
    ];
    for flags in variants {
        let directory = tempfile::tempdir().unwrap();
        let object = rust_object(directory.path(), flags);
        let patch = place(&[&object]);
        readable(directory.path(), &patch);
        let context = Context::from_dwarf(dwarf(&patch.bytes)).unwrap();
        for (name, lines) in [("placed_one", 4..=6), ("placed_two", 14..=17)] {
            let name = format!("app::{name}");
            let (start, size) = patch.functions[&name];
            for address in [start, start + size / 2, start + size - 1] {
                let (file, line, function) = look_up(&context, address);
                assert_eq!(function, name, "{flags:?}");
                assert!(file.ends_with("/app.rs"), "{file}");
                assert!(
                    line == 0 || lines.contains(&line),
                    "{name} {line} {flags:?}"
                );
            }
        }
        // What was left out is at no address of the image, nor at any at which code can be.
        for address in [ADDRESS, ADDRESS + 16, ADDRESS - 1, 0x10_0000, COUNT_ADDRESS] {
            assert!(
                context.find_location(address).unwrap().is_none(),
                "{address:x} {flags:?}"
            );
        }
    }
}

#[test]
fn statics_are_where_the_process_has_them() {
    for version in ["4", "5"] {
        let directory = tempfile::tempdir().unwrap();
        let flag = format!("-Cdwarf-version={version}");
        let patch = place(&[&rust_object(directory.path(), &[&flag])]);
        let dwarf = dwarf(&patch.bytes);
        let header = dwarf.units().next().unwrap().unwrap();
        let unit = dwarf.unit(header).unwrap();
        let mut found = None;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs().unwrap() {
            let name = entry.attr_value(gimli::DW_AT_name);
            let name = name.and_then(|name| dwarf.attr_string(&unit, name).ok());
            if entry.tag() == gimli::DW_TAG_variable
                && name.is_some_and(|name| name.slice() == b"COUNT")
            {
                let location = entry.attr_value(gimli::DW_AT_location).unwrap();
                let expression = location.exprloc_value().unwrap();
                let mut operations = expression.operations(unit.encoding());
                found = match operations.next().unwrap().unwrap() {
                    gimli::Operation::Address { address } => Some(address),
                    gimli::Operation::AddressIndex { index } => {
                        Some(dwarf.address(&unit, index).unwrap())
                    }
                    _ => None,
                };
            }
        }
        assert_eq!(found, Some(COUNT_ADDRESS), "version {version}");
    }
}

#[test]
fn several_objects_and_other_compilers() {
    let variants = [
        (["-gdwarf-4", "-O0"], "4", "4"),
        (["-gdwarf-4", "-O2"], "4", "4"),
        (["-gdwarf-5", "-O0"], "5", "5"),
        (["-gdwarf-5", "-O2"], "5", "5"),
        (["-gdwarf-4", "-O2"], "5", "4"),
        (["-gdwarf-5", "-O2"], "4", "5"),
    ];
    for (flags, first, second) in variants {
        let directory = tempfile::tempdir().unwrap();
        let version = |version: &str| format!("-Cdwarf-version={version}");
        let rust = rust_object(directory.path(), &["-Copt-level=1", &version(first)]);
        let c = c_object(directory.path(), &flags);
        let other = rust_object(directory.path(), &["-Cmetadata=other", &version(second)]);
        let patch = place(&[&rust, &c, &other]);
        let path = readable(directory.path(), &patch);
        let context = Context::from_dwarf(dwarf(&patch.bytes)).unwrap();
        let (start, size) = patch.functions["placed_c"];
        for address in [start, start + size / 2, start + size - 1] {
            let (file, line, function) = look_up(&context, address);
            assert!(file.ends_with("part.c"), "{file}");
            assert!((2..=6).contains(&line), "{line} {flags:?}");
            assert_eq!(function, "placed_c");
        }
        let (start, _) = patch.functions["app::placed_two"];
        assert_eq!(look_up(&context, start).2, "app::placed_two");
        let printed = run(Command::new("addr2line")
            .args(["-f", "-e"])
            .arg(&path)
            .arg(format!("{start:#x}")));
        assert!(
            printed.contains("placed_two") && printed.contains(":14"),
            "{printed}"
        );
    }
}

#[test]
fn gdb_sets_breakpoints_and_shows_lines() {
    for flags in [&["-Cdwarf-version=4"], &["-Cdwarf-version=5"]] {
        let directory = tempfile::tempdir().unwrap();
        let patch = place(&[&rust_object(directory.path(), flags)]);
        let path = readable(directory.path(), &patch);
        let (start, size) = patch.functions["app::placed_two"];
        let printed = run(Command::new("gdb")
            .args(["-nx", "-batch", "-iex", "set debuginfod enabled off"])
            .args([
                "-ex",
                "break app::placed_two",
                "-ex",
                "info scope app::placed_two",
            ])
            .args(["-ex", &format!("info symbol {:#x}", start + size / 2)])
            .args(["-ex", &format!("info line *{start:#x}")])
            .arg(&path));
        assert!(printed.contains("app.rs, line 15"), "{printed}");
        assert!(printed.contains("Symbol list is a variable"), "{printed}");
        assert!(
            printed.contains("placed_two") && printed.contains("in section .text"),
            "{printed}"
        );
        assert!(printed.contains("Line 14 of"), "{printed}");
    }
}

#[test]
fn code_and_symbols_are_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let patch = place(&[&rust_object(directory.path(), &[])]);
    let path = directory.path().join("image.elf");
    std::fs::write(&path, &patch.bytes).unwrap();
    let listing = run(Command::new("readelf").arg("-lsSW").arg(&path));
    assert!(
        listing.contains(&format!("LOAD           0x001000 0x{ADDRESS:016x}")),
        "{listing}"
    );
    let (start, size) = patch.functions["app::placed_one"];
    let line = listing
        .lines()
        .find(|line| line.contains("placed_one"))
        .unwrap();
    assert!(line.contains(&format!("{start:016x}")), "{line}");
    assert!(
        line.contains(&format!(" {size} FUNC    GLOBAL DEFAULT    1 ")),
        "{line}"
    );
    assert_eq!(section(&patch.bytes, ".eh_frame"), [0; 4]);
}

#[test]
fn damaged_objects_are_errors_not_panics() {
    let directory = tempfile::tempdir().unwrap();
    let object = rust_object(directory.path(), &[]);
    let sections: HashMap<usize, u64> = (0..200).map(|n| (n, ADDRESS + n as u64 * 64)).collect();
    let attempt = |object: &[u8]| {
        let placed = [Placed {
            object,
            sections: &sections,
        }];
        let contents = Contents {
            machine: EM_X86_64.0,
            address: ADDRESS,
            code: &[0; 64],
            eh_frame: (32, 32),
            symbols: &[
                ("x\0y".to_owned(), ADDRESS, 8),
                ("far".to_owned(), u64::MAX, u64::MAX),
            ],
            placed: &placed,
        };
        build(&contents, &|_| None).is_ok()
    };
    assert!(attempt(&object));
    for length in (0..object.len()).step_by(1009) {
        assert!(!attempt(&object[..length]));
    }
    for damaged in damaged::with_flipped_bits(&object, 300) {
        attempt(&damaged);
    }
}

#[test]
fn images_that_cannot_be() {
    let symbols = [];
    let placed: [Placed<'_>; 0] = [];
    let mut contents = Contents {
        machine: EM_X86_64.0,
        address: ADDRESS,
        code: &[0; 64],
        eh_frame: (60, 8),
        symbols: &symbols,
        placed: &placed,
    };
    assert!(build(&contents, &|_| None).is_err());
    contents.eh_frame = (u64::MAX, 8);
    assert!(build(&contents, &|_| None).is_err());
    contents.eh_frame = (0, 0);
    assert!(build(&contents, &|_| None).is_ok());
    contents.address = u64::MAX - 8;
    assert!(build(&contents, &|_| None).is_err());
}
