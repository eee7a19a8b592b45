//! The ELF file of an image: for backtraces, debuggers and profilers.

use std::collections::HashMap;
use std::path::PathBuf;

use liveswap_object::debug_image::{self, Contents, Placed};
use liveswap_object::patch::Planned;
use liveswap_object::program::{Program, StaticPlace};
use liveswap_protocol::message::Hello;
use liveswap_protocol::patch::{Place, SLICE_SIZE};

use crate::session::parts::DebugFile;

/// Makes the file of a plan's image. Without it the patch works all the same, so what goes wrong is logged.
pub fn make(program: &Program, planned: &Planned, hello: &Hello) -> Option<DebugFile> {
    let image = planned.patch.image.as_ref()?;
    let address = hello.range_start + u64::from(image.first_slice) * SLICE_SIZE;
    let sections: Vec<HashMap<usize, u64>> = planned
        .placed
        .iter()
        .map(|object| {
            object
                .sections
                .iter()
                .map(|(section, offset)| (*section, address + offset))
                .collect()
        })
        .collect();
    let placed: Vec<Placed<'_>> = planned
        .placed
        .iter()
        .zip(&sections)
        .map(|(object, sections)| Placed {
            object: &object.bytes,
            sections,
        })
        .collect();
    let symbols: Vec<(String, u64, u64)> = planned
        .symbols
        .iter()
        .map(|(name, offset, size)| (name.clone(), address + offset, *size))
        .collect();
    let contents = Contents {
        machine: program.executable.machine.0,
        address,
        code: &image.code,
        eh_frame: image.eh_frame,
        symbols: &symbols,
        placed: &placed,
    };
    let resolve = |name: &str| -> Option<u64> {
        let place = match program.statics.get(name) {
            Some(known) => known.place,
            None => {
                let symbol = program.executable.symbol(name)?;
                if symbol.thread_local {
                    StaticPlace::ThreadLocal(symbol.value)
                } else {
                    StaticPlace::Memory(Place::Executable(symbol.value))
                }
            }
        };
        match place {
            StaticPlace::ThreadLocal(offset) => Some(offset),
            StaticPlace::Memory(Place::Executable(at)) => Some(hello.bias.wrapping_add(at)),
            StaticPlace::Memory(Place::Range(at)) => Some(hello.range_start.wrapping_add(at)),
            StaticPlace::Memory(Place::Import(_)) => None,
        }
    };
    let bytes = match debug_image::build(&contents, &resolve) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!("no file for debuggers: {error}");
            return None;
        }
    };
    let name = |slice: u32| -> PathBuf {
        PathBuf::from(&hello.images).join(format!("slice-{slice:04x}.so"))
    };
    let slices = image.first_slice..image.first_slice + planned.slices;
    Some(DebugFile {
        path: name(image.first_slice),
        bytes,
        slice: image.first_slice,
        links: slices.skip(1).map(name).collect(),
    })
}
