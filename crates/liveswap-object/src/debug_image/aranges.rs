//! Which addresses which unit describes: an index that spares readers the walk through all units.

use super::malformed;
use crate::Error;
use crate::elf::Elf;

/// Appends the table of an object whose debug information begins at `info_at`.
///
/// The compiler's own table also lists what is not in the patch, so it is made anew. An object of several
/// units (they arise from link-time optimisation) gets none: readers then look at the units themselves.
pub(super) fn write(
    out: &mut Vec<u8>,
    object: &Elf<'_>,
    address_of: &dyn Fn(usize) -> Option<u64>,
    info_at: u64,
) -> Result<(), Error> {
    let mut info = object.sections.iter().filter(|s| s.name == ".debug_info");
    let (Some(info), None) = (info.next(), info.next()) else {
        return Ok(());
    };
    let Some(length) = info.data.first_chunk::<4>() else {
        return Ok(());
    };
    if u32::from_le_bytes(*length) as usize + 4 != info.data.len() {
        return Ok(());
    }
    let mut ranges: Vec<(u64, u64)> = object
        .sections
        .iter()
        .enumerate()
        .filter(|(_, section)| section.is_code() && section.size > 0)
        .filter_map(|(n, section)| Some((address_of(n)?, section.size)))
        .collect();
    ranges.sort_unstable();
    // Header, padding, the ranges and the pair of zeros that ends them; the length does not count itself.
    let length = 12 + 16 * (ranges.len() + 1);
    let length = u32::try_from(length).map_err(|_| malformed("too many functions"))?;
    let info_at = u32::try_from(info_at).map_err(|_| malformed("too much debug information"))?;
    out.extend(length.to_le_bytes());
    out.extend(2_u16.to_le_bytes());
    out.extend(info_at.to_le_bytes());
    out.extend([8, 0, 0, 0, 0, 0]);
    for (address, size) in ranges {
        out.extend(address.to_le_bytes());
        out.extend(size.to_le_bytes());
    }
    out.extend([0; 16]);
    Ok(())
}
