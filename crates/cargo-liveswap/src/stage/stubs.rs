//! An object that defines symbols which nothing else defines, so that a program can be linked whose
//! dead code refers to them.

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

/// Makes it. Who calls one of the symbols gets an illegal instruction.
///
/// # Errors
/// If it would be too large for its format.
pub fn object(names: &[String]) -> Result<Vec<u8>, String> {
    let (architecture, trap): (_, &[u8]) = if cfg!(target_arch = "aarch64") {
        (Architecture::Aarch64, &[0, 0, 0, 0])
    } else {
        (Architecture::X86_64, &[0x0f, 0x0b])
    };
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let text = object.add_section(
        Vec::new(),
        b".text.liveswap_missing".to_vec(),
        SectionKind::Text,
    );
    object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    for name in names {
        let value = object.append_section_data(text, trap, 16);
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size: trap.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            // Another definition, should there be one, counts.
            weak: true,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    object.write().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSymbol as _};

    #[test]
    fn it_defines_what_it_is_told_to() {
        let bytes = super::object(&["one".to_owned(), "two".to_owned()]).unwrap();
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let mut names: Vec<&str> = file
            .symbols()
            .filter(|symbol| symbol.is_definition())
            .map(|symbol| symbol.name().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["one", "two"]);
    }
}
