//! Applying a patch: check, map, run initialisers, and then flip. Everything that can fail comes before the first
//! slot leads elsewhere; what comes after it can neither fail nor panic.

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
use crate::sys::{self, gdb, images, initialiser, symbols};

/// The agent's knowledge of its process.
#[derive(Debug)]
pub struct Agent {
    checker: Checker,
    range: Range,
    template: Option<Template>,
    /// Folder of the images' files.
    images: OsString,
    patched: Patched,
    slots: Slots,
    /// What sets the word of a slot.
    store: fn(u64, u64),
}

/// A patch that is live.
#[derive(Debug)]
pub struct Applied {
    apply_us: u64,
    flipped_at_ns: u64,
}

/// Whether slots are those of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slots {
    /// They are.
    #[default]
    Whole,
    /// Some may lead to the new code and others to the old.
    Mixed,
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
            slots: Slots::default(),
            store: memory::store_word,
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
    ///
    /// Where a panic comes out of this, [`Agent::after_panic`] tells what it has done.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Applied, Refusal> {
        let arrived = Instant::now();
        if self.slots == Slots::Mixed {
            return Err(self.after_panic());
        }
        // Decoding makes at most some copies of it, by an allocator that ends the process when it fails.
        if Vec::<u8>::new()
            .try_reserve_exact(bytes.len().saturating_mul(4))
            .is_err()
        {
            return Err(memory_refused(&std::io::Error::from_raw_os_error(
                libc::ENOMEM,
            )));
        }
        let ready = self.checker.check(bytes, &symbols::find)?;
        self.prepare(&ready)?;
        run_initialisers(&ready)?;
        let executable = self.checker.process().executable;
        self.patched.flips(&ready, executable);
        // From the first store on there is no way back, so nothing here allocates, indexes or counts.
        self.slots = Slots::Mixed;
        for (word, target) in &ready.slots {
            (self.store)(*word, *target);
        }
        self.checker.commit(&ready);
        self.slots = Slots::Whole;
        Ok(Applied {
            flipped_at_ns: sys::realtime_ns(),
            apply_us: u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// What there is to say when a panic came out of the agent.
    pub fn after_panic(&self) -> Refusal {
        match self.slots {
            Slots::Whole => Refusal::new(Code::Malformed, "an error in the agent"),
            Slots::Mixed => Refusal::new(
                Code::PartlyApplied,
                "an error in the agent: some functions are new and others old",
            ),
        }
    }

    /// One whose slots are set by something else.
    #[cfg(test)]
    pub fn with_store(mut self, store: fn(u64, u64)) -> Agent {
        self.store = store;
        self
    }

    /// Maps the image and makes it known to the unwinder, and gives new thread-locals their values: all that can
    /// fail and that the program does not notice. The image and the room for the thread-locals are taken from
    /// then on, whatever comes of the patch: its initialisers may tell anybody where they are.
    fn prepare(&mut self, ready: &Ready) -> Result<(), Refusal> {
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
        if let Err(refusal) = self.write_thread_locals(ready) {
            if let Some(image) = &ready.image {
                self.range.unmap(image);
            }
            return Err(refusal);
        }
        self.checker.take(ready);
        self.patched.maps(ready);
        if let Some((register, section)) = frames {
            symbols::register_frames(register, section);
        }
        Ok(())
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

    /// Which of these words of slots hold these values.
    pub fn hold(&self, words: &[(u64, u64)]) -> Result<Vec<bool>, Refusal> {
        for (word, _) in words {
            self.checker.is_slot_word(*word)?;
        }
        let holds = |(word, value): &(u64, u64)| memory::load_word(*word) == *value;
        Ok(words.iter().map(holds).collect())
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

/// Runs a patch's initialisers: code of the program, which is ready but not in use yet.
fn run_initialisers(ready: &Ready) -> Result<(), Refusal> {
    let initialisers = ready.image.iter().flat_map(|image| &image.initialisers);
    for (number, function) in initialisers.enumerate() {
        if initialiser::call(*function).is_err() {
            let why = format!(
                "initialiser {} of the new code failed: it threw an exception or panicked",
                number + 1
            );
            return Err(Refusal::new(Code::Initialiser, why));
        }
    }
    Ok(())
}

fn memory_refused(error: &std::io::Error) -> Refusal {
    Refusal::new(Code::Memory, format!("the system refuses memory: {error}"))
}
