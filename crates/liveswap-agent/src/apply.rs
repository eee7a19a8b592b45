//! Applying a patch: check, map, and then flip. Everything that can fail comes before anything that
//! the program could notice.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use liveswap_protocol::VERSION;
use liveswap_protocol::message::{Frame, FromAgent, Hello};

use crate::check::{Checker, Ready};
use crate::frames::{self, Patched};
use crate::refusal::{Code, Refusal};
use crate::sys::memory::{self, Range};
use crate::sys::template::{Failure, Template};
use crate::sys::{self, gdb, images, symbols};

/// The agent's knowledge of its process.
#[derive(Debug)]
pub struct Agent {
    checker: Checker,
    range: Range,
    template: Option<Template>,
    /// Folder of the images' files.
    images: OsString,
    patched: Patched,
}

/// A patch that is live.
#[derive(Debug)]
pub struct Applied {
    apply_us: u64,
    flipped_at_ns: u64,
    initialisers: Vec<u64>,
}

impl Agent {
    /// An agent for a process at generation 0.
    pub fn new(
        checker: Checker,
        range: Range,
        template: Option<Template>,
        images: OsString,
    ) -> Agent {
        Agent {
            checker,
            range,
            template,
            images,
            patched: Patched::default(),
        }
    }

    /// What is said first.
    pub fn hello(&self) -> Hello {
        let process = self.checker.process();
        Hello {
            version: VERSION,
            pid: std::process::id(),
            build_id: process.build_id.clone(),
            bias: process.bias,
            range_start: process.range.start,
            range_len: process.range.len,
            page_size: process.page_size,
            generation: self.checker.generation(),
            images: self.images.to_string_lossy().into_owned(),
        }
    }

    /// Applies a patch, or leaves everything as it is.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Applied, Refusal> {
        let arrived = Instant::now();
        // Decoding makes at most some copies of it, by an allocator that ends the process when it fails.
        if Vec::<u8>::new()
            .try_reserve_exact(bytes.len().saturating_mul(4))
            .is_err()
        {
            return Err(memory_refused(&std::io::Error::from_raw_os_error(
                libc::ENOMEM,
            )));
        }
        let mut ready = self.checker.check(bytes, &symbols::find)?;
        let frames = self.prepare(&ready)?;
        if let Some((register, section)) = frames {
            symbols::register_frames(register, section);
        }
        self.patched.maps(&ready);
        self.patched.flips(&ready.slots);
        for (word, target) in &ready.slots {
            memory::store_word(*word, *target);
        }
        let flipped_at_ns = sys::realtime_ns();
        let apply_us = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.checker.commit(&ready);
        let initialisers = ready
            .image
            .as_mut()
            .map(|image| std::mem::take(&mut image.initialisers))
            .unwrap_or_default();
        Ok(Applied {
            apply_us,
            flipped_at_ns,
            initialisers,
        })
    }

    /// Everything that can fail and that the program does not notice. Gives the function that takes
    /// unwind information, and the information, if there is any.
    fn prepare(&self, ready: &Ready) -> Result<Option<(u64, u64)>, Refusal> {
        let section = ready.image.as_ref().and_then(|image| image.eh_frame);
        let frames = match section {
            None => None,
            Some(section) => match symbols::find("__register_frame") {
                Some(register) => Some((register, section)),
                None => {
                    let why = "the program's libraries have no symbol `__register_frame`";
                    return Err(Refusal::new(Code::MissingSymbol, why));
                }
            },
        };
        if let Some(image) = &ready.image {
            self.range
                .map(image)
                .map_err(|error| memory_refused(&error))?;
        }
        let written = self.write_thread_locals(ready);
        if let (Err(_), Some(image)) = (&written, &ready.image) {
            self.range.unmap(image);
        }
        written.map(|()| frames)
    }

    fn write_thread_locals(&self, ready: &Ready) -> Result<(), Refusal> {
        if ready.thread_locals.is_empty() {
            return Ok(());
        }
        let no_room = |why: &str| Err(Refusal::new(Code::ThreadLocalRoom, why));
        let Some(template) = &self.template else {
            return no_room("the executable has no room for thread-locals");
        };
        match template.write(&ready.thread_locals) {
            Ok(()) => Ok(()),
            Err(Failure::Memory(error)) => Err(memory_refused(&error)),
            Err(Failure::UnknownThreads) => no_room(
                "there are threads that are not known, and new thread-locals would be missing there",
            ),
        }
    }

    /// Frames of functions in these ranges (start, length) on the stacks of the program's threads.
    pub fn frames(&self, ranges: &[(u64, u64)]) -> Vec<Frame> {
        frames::in_ranges(ranges, &self.patched)
    }

    /// Tells gdb of a slice's file.
    pub fn announce(&self, slice: u32) -> std::io::Result<()> {
        gdb::announce(&images::debugger_file_name(self.images.as_bytes(), slice))
    }

    /// The answer to a patch that is live.
    pub fn answer(&self, applied: &Applied) -> FromAgent {
        FromAgent::Applied {
            generation: self.checker.generation(),
            apply_us: applied.apply_us,
            pause_us: 0,
            flipped_at_ns: applied.flipped_at_ns,
        }
    }
}

impl Applied {
    /// Runs the patch's initialisers. Code of the program.
    pub fn initialise(&self) {
        for function in &self.initialisers {
            symbols::call_initialiser(*function);
        }
    }
}

fn memory_refused(error: &std::io::Error) -> Refusal {
    Refusal::new(Code::Memory, format!("the system refuses memory: {error}"))
}
