//! The numbers of DWARF that are needed here.

#![allow(clippy::upper_case_acronyms)]

pub(super) mod tag {
    pub const ARRAY: u16 = 0x01;
    pub const ENUMERATION: u16 = 0x04;
    pub const FORMAL_PARAMETER: u16 = 0x05;
    pub const LEXICAL_BLOCK: u16 = 0x0b;
    pub const MEMBER: u16 = 0x0d;
    pub const POINTER: u16 = 0x0f;
    pub const STRUCTURE: u16 = 0x13;
    pub const SUBROUTINE: u16 = 0x15;
    pub const UNION: u16 = 0x17;
    pub const VARIANT: u16 = 0x19;
    pub const SUBRANGE: u16 = 0x21;
    pub const BASE: u16 = 0x24;
    pub const ENUMERATOR: u16 = 0x28;
    pub const SUBPROGRAM: u16 = 0x2e;
    pub const TEMPLATE_TYPE: u16 = 0x2f;
    pub const VARIANT_PART: u16 = 0x33;
    pub const VARIABLE: u16 = 0x34;
    pub const NAMESPACE: u16 = 0x39;
}

pub(super) mod at {
    pub const LOCATION: u16 = 0x02;
    pub const NAME: u16 = 0x03;
    pub const BYTE_SIZE: u16 = 0x0b;
    pub const LOW_PC: u16 = 0x11;
    pub const DISCR_VALUE: u16 = 0x16;
    pub const CONST_VALUE: u16 = 0x1c;
    pub const UPPER_BOUND: u16 = 0x2f;
    pub const ABSTRACT_ORIGIN: u16 = 0x31;
    pub const COUNT: u16 = 0x37;
    pub const DATA_MEMBER_LOCATION: u16 = 0x38;
    pub const DECLARATION: u16 = 0x3c;
    pub const SPECIFICATION: u16 = 0x47;
    pub const TYPE: u16 = 0x49;
    pub const RANGES: u16 = 0x55;
    pub const LINKAGE_NAME: u16 = 0x6e;
    pub const STR_OFFSETS_BASE: u16 = 0x72;
    pub const ADDR_BASE: u16 = 0x73;
    pub const ALIGNMENT: u16 = 0x88;
}

pub(super) mod form {
    pub const ADDR: u16 = 0x01;
    pub const BLOCK2: u16 = 0x03;
    pub const BLOCK4: u16 = 0x04;
    pub const DATA2: u16 = 0x05;
    pub const DATA4: u16 = 0x06;
    pub const DATA8: u16 = 0x07;
    pub const STRING: u16 = 0x08;
    pub const BLOCK: u16 = 0x09;
    pub const BLOCK1: u16 = 0x0a;
    pub const DATA1: u16 = 0x0b;
    pub const FLAG: u16 = 0x0c;
    pub const SDATA: u16 = 0x0d;
    pub const STRP: u16 = 0x0e;
    pub const UDATA: u16 = 0x0f;
    pub const REF_ADDR: u16 = 0x10;
    pub const REF1: u16 = 0x11;
    pub const REF2: u16 = 0x12;
    pub const REF4: u16 = 0x13;
    pub const REF8: u16 = 0x14;
    pub const REF_UDATA: u16 = 0x15;
    pub const SEC_OFFSET: u16 = 0x17;
    pub const EXPRLOC: u16 = 0x18;
    pub const FLAG_PRESENT: u16 = 0x19;
    pub const STRX: u16 = 0x1a;
    pub const ADDRX: u16 = 0x1b;
    pub const REF_SUP4: u16 = 0x1c;
    pub const STRP_SUP: u16 = 0x1d;
    pub const DATA16: u16 = 0x1e;
    pub const LINE_STRP: u16 = 0x1f;
    pub const REF_SIG8: u16 = 0x20;
    pub const IMPLICIT_CONST: u16 = 0x21;
    pub const LOCLISTX: u16 = 0x22;
    pub const RNGLISTX: u16 = 0x23;
    pub const STRX1: u16 = 0x25;
    pub const STRX2: u16 = 0x26;
    pub const STRX3: u16 = 0x27;
    pub const STRX4: u16 = 0x28;
    pub const ADDRX1: u16 = 0x29;
    pub const ADDRX2: u16 = 0x2a;
    pub const ADDRX3: u16 = 0x2b;
    pub const ADDRX4: u16 = 0x2c;
    pub const GNU_ADDR_INDEX: u16 = 0x1f01;
    pub const GNU_STR_INDEX: u16 = 0x1f02;
}

/// Operations that push an address.
pub(super) mod op {
    pub const ADDR: u8 = 0x03;
    pub const ADDRX: u8 = 0xa1;
    pub const GNU_ADDR_INDEX: u8 = 0xfb;
}
