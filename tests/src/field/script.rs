//! What a program of the field is: where it comes from, how it is used, and how it is edited.

use super::place::Site;

/// A program and its script.
pub struct Program {
    /// What it is called on the command line and in the table.
    pub name: &'static str,
    /// Where its source is from.
    pub origin: Origin,
    /// Flags of `cargo liveswap run`.
    pub flags: &'static [&'static str],
    /// The program's own arguments.
    pub arguments: fn(&Site) -> Vec<String>,
    /// Its environment, beside what it inherits.
    pub environment: &'static [(&'static str, &'static str)],
    /// Makes the files that the program works on.
    pub prepare: fn(&Site) -> std::io::Result<()>,
    /// Pattern of a line that it prints when it can be used.
    pub ready: &'static str,
    /// Whether it needs a terminal or a display.
    pub surroundings: Surroundings,
    /// Users who come at the start and stay.
    pub held: &'static [&'static str],
    /// A user who comes. Some are special: the name says which one it is.
    pub connect: fn(&Site, &str) -> Connected,
    /// What the first of them says to end the program; without that it is interrupted.
    pub goodbye: Option<&'static str>,
    /// What one more user, `load`, asks all the time, and patterns of all answers that it may get.
    pub load: &'static [(&'static str, &'static str)],
    /// The edits, in their order.
    pub edits: fn() -> Vec<Edit>,
}

/// A user, or why nobody can come.
pub type Connected = Result<Box<dyn User>, String>;

/// Where a source is from.
#[derive(Clone, Copy)]
pub enum Origin {
    /// A package of the registry, in this version.
    Registry {
        /// Its name.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// Packages that it depends on and that are edited, too: in folders of their names.
        with: &'static [(&'static str, &'static str)],
        /// Dependencies whose published version does not compile any more, and the one that is taken.
        newer: &'static [(&'static str, &'static str)],
    },
    /// A project of `tests/fixtures/cargo`.
    Fixture(&'static str),
}

/// What a program runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// Only its streams.
    Nothing,
    /// A terminal.
    Terminal,
    /// A display.
    Display,
}

/// Somebody who uses the program, over one connection that stays open.
pub trait User: Send {
    /// Asks for something and waits for the answer, as text.
    ///
    /// # Errors
    /// When none comes: the connection is closed, or there is silence.
    fn ask(&mut self, request: &str) -> Result<String, String>;
}

/// One edit.
#[derive(Clone)]
pub struct Edit {
    /// What it does.
    pub about: &'static str,
    /// Its replacements: file, the text that stands there once, what takes its place.
    pub replacements: Vec<(&'static str, &'static str, &'static str)>,
    /// What must become of it.
    pub promise: Promise,
    /// Parts of names: what a `pending` or `refused` has to name where old code goes on.
    pub names: Vec<&'static str>,
    /// What users see afterwards.
    pub looks: Vec<Look>,
}

/// What must become of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It goes live for everyone who comes; for those who are there, too, or it is named as pending.
    Live,
    /// It is named as pending, or it is live.
    Waits,
    /// It is refused with this code, and the program goes on as it was.
    Refused(&'static str),
    /// It does not compile, and the program goes on as it was.
    Broken,
    /// It takes the last edit back that was not taken back yet: what that changed is as it was before.
    TakesBack,
}

/// A user asks for something.
#[derive(Clone)]
pub struct Look {
    /// One of those who were held, or anything else for one who comes now.
    pub user: &'static str,
    /// What is asked.
    pub ask: &'static str,
    /// Pattern of what the code before the edit answers.
    pub old: &'static str,
    /// Pattern of what the code after the edit answers.
    pub new: &'static str,
}

/// An edit that goes live.
pub fn edit(about: &'static str) -> Edit {
    Edit {
        about,
        replacements: Vec::new(),
        promise: Promise::Live,
        names: Vec::new(),
        looks: Vec::new(),
    }
}

/// Takes the last edit back that was not taken back yet.
pub fn take_back(about: &'static str) -> Edit {
    edit(about).promise(Promise::TakesBack)
}

impl Edit {
    /// Replaces a text that stands once in the file.
    pub fn replace(mut self, file: &'static str, from: &'static str, to: &'static str) -> Self {
        self.replacements.push((file, from, to));
        self
    }

    /// Says what else than going live it must do.
    pub fn promise(mut self, promise: Promise) -> Self {
        self.promise = promise;
        self
    }

    /// Says what has to be named where old code goes on.
    pub fn names(mut self, part: &'static str) -> Self {
        self.names.push(part);
        self
    }

    /// What a user sees.
    pub fn look(
        mut self,
        user: &'static str,
        ask: &'static str,
        old: &'static str,
        new: &'static str,
    ) -> Self {
        self.looks.push(Look {
            user,
            ask,
            old,
            new,
        });
        self
    }
}
