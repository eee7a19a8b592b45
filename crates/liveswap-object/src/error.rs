//! What can be wrong with an object, an executable or a patch to be made of them.

/// Why something could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is not what it should be.
    #[error("malformed object: {0}")]
    Malformed(String),
    /// The file is well-formed, but has something that is not supported.
    #[error("{what} in section {section}")]
    Unsupported {
        /// What it is.
        what: String,
        /// Where.
        section: String,
    },
}
