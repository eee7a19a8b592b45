//! Text of the system in JSON: arguments, paths and variables need not be UTF-8.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string if it is UTF-8, an array of bytes if not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub OsString);

impl Text {
    /// As a path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Text {
        Text(value.into())
    }
}

impl From<OsString> for Text {
    fn from(value: OsString) -> Text {
        Text(value)
    }
}

impl From<&OsStr> for Text {
    fn from(value: &OsStr) -> Text {
        Text(value.to_owned())
    }
}

impl From<PathBuf> for Text {
    fn from(value: PathBuf) -> Text {
        Text(value.into_os_string())
    }
}

impl From<&Path> for Text {
    fn from(value: &Path) -> Text {
        Text(value.as_os_str().to_owned())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_seq(self.0.as_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of bytes")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Text, E> {
                Ok(Text(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Text(OsString::from_vec(bytes)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_whether_it_is_utf8_or_not() {
        for bytes in [&b"plain \"text\""[..], b"\xff\xfe/x", b""] {
            let text = Text(OsString::from_vec(bytes.to_vec()));
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text);
        }
    }
}
