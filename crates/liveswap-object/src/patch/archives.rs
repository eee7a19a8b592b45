//! Where code comes from that the executable never needed: the archives of its link line.

use std::sync::Arc;

/// A member of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// The archive, by any name that is the same each time.
    pub archive: Arc<str>,
    /// The member's name.
    pub name: Arc<str>,
    /// Its bytes: an object.
    pub bytes: Arc<[u8]>,
}

/// The archives of the link line.
pub trait Archives {
    /// The first member in the order of the link line that defines this symbol.
    fn member_defining(&self, symbol: &str) -> Option<Member>;
}

/// No archives at all.
#[derive(Clone, Copy, Debug)]
pub struct NoArchives;

impl Archives for NoArchives {
    fn member_defining(&self, _symbol: &str) -> Option<Member> {
        None
    }
}
