//! The image of a patch: where it goes, and its bytes as they will be.

use liveswap_protocol::patch::{Image, Relocation, SLICE_SIZE};

use super::eh_frame;
use super::places::{Places, align_up, part};
use super::{Checker, Span};
use crate::refusal::{Code, Refusal};
use crate::relocation::{self, Numbers, Problem};

/// Where the parts of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its slices: all of what is reserved for it.
    pub slices: Span,
    /// From its first to its last byte.
    pub all: Span,
    /// Code and read-only data.
    pub code: Span,
    /// Writable data with the zeros behind it.
    pub data: Span,
}

/// An image with all fields filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyImage {
    /// Where it goes.
    pub mapped: Mapped,
    /// Bytes of the code part.
    pub code: Vec<u8>,
    /// Initial bytes of the data part; zeros follow.
    pub data: Vec<u8>,
    /// Address of its unwind information.
    pub eh_frame: Option<u64>,
    /// Functions to call before slots lead to its code.
    pub initialisers: Vec<u64>,
}

impl Checker {
    /// Finds the place of an image, or what is wrong with its sizes.
    pub(super) fn place_image(&self, image: &Image) -> Result<Mapped, Refusal> {
        let misfit = |why: &str| Refusal::new(Code::Misfit, why);
        let page = self.process.page_size;
        let code_len = image.code.len() as u64;
        let data_start = align_up(code_len, page).ok_or_else(|| misfit("the code is too large"))?;
        if image.data.len() as u64 > image.data_len {
            return Err(misfit("the image's data is longer than the room for it"));
        }
        if !image.data_offset.is_multiple_of(page) || image.data_offset < data_start {
            // Without data the offset means nothing.
            if image.data_len > 0 {
                return Err(misfit(
                    "the image's data does not start at a page of its own",
                ));
            }
        }
        let len = match image.data_len {
            0 => code_len,
            data_len => image
                .data_offset
                .checked_add(data_len)
                .ok_or_else(|| misfit("the image's data is too large"))?,
        };
        if len == 0 {
            return Err(misfit("the image is empty"));
        }
        let range = self.process.range;
        let start = u64::from(image.first_slice)
            .checked_mul(SLICE_SIZE)
            .and_then(|offset| range.start.checked_add(offset))
            .ok_or_else(|| misfit("the image lies outside of the range"))?;
        let slices = align_up(len, SLICE_SIZE)
            .map(|len| Span { start, len })
            .filter(|slices| range.holds(slices.start, slices.len))
            .ok_or_else(|| misfit("the image lies outside of the range"))?;
        if self
            .images
            .last()
            .is_some_and(|last| start < last.slices.end())
        {
            return Err(misfit("the image does not lie behind all earlier ones"));
        }
        let parts = (
            part(start, 0, len),
            part(start, 0, code_len),
            match image.data_len {
                0 => part(start, 0, 0),
                data_len => part(start, image.data_offset, data_len),
            },
        );
        match parts {
            (Some(all), Some(code), Some(data)) => Ok(Mapped {
                slices,
                all,
                code,
                data,
            }),
            _ => Err(misfit("the image lies outside of the range")),
        }
    }
}

/// Fills in the fields of a placed image and checks what depends on them.
pub(super) fn ready(
    image: Image,
    mapped: Mapped,
    places: &Places<'_>,
) -> Result<ReadyImage, Refusal> {
    let Image {
        mut code,
        mut data,
        data_offset,
        ..
    } = image;
    for relocation in &image.relocations {
        fill_in(
            relocation,
            &mut code,
            &mut data,
            data_offset,
            mapped,
            places,
        )?;
    }
    let eh_frame = match image.eh_frame {
        (_, 0) => None,
        (offset, len) => {
            let section = Span {
                start: mapped.code.start.saturating_add(offset),
                len,
            };
            eh_frame::check(&code, mapped.code, section)?;
            Some(section.start)
        }
    };
    let initialisers = image
        .initialisers
        .iter()
        .map(|place| places.code(*place))
        .collect::<Result<_, _>>()?;
    Ok(ReadyImage {
        mapped,
        code,
        data,
        eh_frame,
        initialisers,
    })
}

fn fill_in(
    relocation: &Relocation,
    code: &mut [u8],
    data: &mut [u8],
    data_offset: u64,
    mapped: Mapped,
    places: &Places<'_>,
) -> Result<(), Refusal> {
    let at = u64::from(relocation.at);
    let outside = || {
        let why = format!("a relocation at {at:#x} lies outside of code and data");
        Refusal::new(Code::Misfit, why)
    };
    let (part, offset) = if at < code.len() as u64 {
        (code, at)
    } else {
        (data, at.checked_sub(data_offset).ok_or_else(outside)?)
    };
    let field = usize::try_from(offset)
        .ok()
        .and_then(|offset| part.get_mut(offset..))
        .filter(|field| field.len() >= relocation::field_len(relocation.kind))
        .ok_or_else(outside)?;
    let numbers = Numbers {
        target: places.address(relocation.target)?,
        addend: relocation.addend,
        place: mapped.all.start.wrapping_add(at),
    };
    relocation::apply(places.process.machine, relocation.kind, field, numbers).map_err(
        |problem: Problem| {
            Refusal::new(
                Code::Relocation,
                format!(
                    "the relocation {:?} at {at:#x} to {:?} {}",
                    relocation.kind,
                    relocation.target,
                    problem.as_str()
                ),
            )
        },
    )
}
