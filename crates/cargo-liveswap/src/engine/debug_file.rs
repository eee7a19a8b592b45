//! The ELF files of an image: for backtraces, debuggers and profilers.

use std::collections::HashMap;
use std::path::PathBuf;

use liveswap_object::debug_image::{self, Contents, Placed};
use liveswap_object::patch::Planned;
use liveswap_object::program::{Program, StaticPlace};
use liveswap_protocol::message::Hello;
use liveswap_protocol::patch::{FILE_BASE, Place, SLICE_SIZE};

use crate::session::parts::DebugFile;

/// Makes the files of a plan's image. Without them the patch works all the same, so what goes wrong is logged.
pub fn make(program: &Program, planned: &Planned, hello: &Hello) -> Option<DebugFile> {
    let image = planned.patch.image.as_ref()?;
    // std's backtraces and profilers subtract the bias; gdb takes addresses as they are.
    let (relative, absolute) = std::thread::scope(|scope| {
        let relative = scope.spawn(|| build(program, planned, hello, FILE_BASE));
        let absolute = build(program, planned, hello, hello.range_start);
        (relative.join(), absolute)
    });
    let (bytes, for_debugger) = match (relative.ok()?, absolute) {
        (Ok(relative), Ok(absolute)) => (relative, absolute),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!("no file for debuggers: {error}");
            return None;
        }
    };
    let name = |slice: u32, extension: &str| -> PathBuf {
        PathBuf::from(&hello.images).join(format!("slice-{slice:04x}.{extension}"))
    };
    let first = image.first_slice;
    Some(DebugFile {
        path: name(first, "so"),
        bytes,
        for_debugger: (name(first, "gdb"), for_debugger),
        slice: first,
        links: (first + 1..first + planned.slices)
            .map(|slice| name(slice, "so"))
            .collect(),
    })
}

/// Makes a file in which the range begins at `start`.
fn build(
    program: &Program,
    planned: &Planned,
    hello: &Hello,
    start: u64,
) -> Result<Vec<u8>, String> {
    let image = planned
        .patch
        .image
        .as_ref()
        .ok_or_else(|| "no image".to_owned())?;
    let address = start + u64::from(image.first_slice) * SLICE_SIZE;
    let sections: Vec<HashMap<usize, u64>> = planned
        .placed
        .iter()
        .map(|object| {
            let place = |(section, offset): (&usize, &u64)| (*section, address + offset);
            object.sections.iter().map(place).collect()
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
    let in_process = start.wrapping_sub(hello.range_start);
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
            StaticPlace::Memory(Place::Executable(at)) => {
                Some(hello.bias.wrapping_add(at).wrapping_add(in_process))
            }
            StaticPlace::Memory(Place::Range(at)) => Some(start.wrapping_add(at)),
            StaticPlace::Memory(Place::Import(_)) => None,
        }
    };
    debug_image::build(&contents, &resolve).map_err(|error| error.to_string())
}
