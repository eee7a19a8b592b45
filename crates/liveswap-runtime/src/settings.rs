//! Settings of the run-time, all from the environment.

use std::time::Duration;

/// How many replaced images of each module stay mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepImages {
    /// The newest this many; 0 closes an image right after the reload that replaced it.
    Newest(usize),
    /// Nothing is ever closed.
    All,
}

/// Settings of one run-time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOT_CODE_RELOADING_JUMP_TABLE_SIZE` in MB: address space reserved for slots.
    /// Default 500 on 64-bit systems, 50 on others (the seed's numbers).
    pub slot_table_mb: usize,
    /// `LIVESWAP_KEEP_IMAGES`: a number or `all`. Default 3.
    pub keep_images: KeepImages,
    /// `LIVESWAP_SETTLE_MS`: how long a reload waits for a module file that is still being written.
    /// Default 1000.
    pub settle: Duration,
    /// `LIVESWAP_SHUTDOWN=release`: release globals and images when the process ends normally.
    /// Default: only the private copies of the libraries are removed.
    pub release_at_exit: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            slot_table_mb: if cfg!(target_pointer_width = "64") {
                500
            } else {
                50
            },
            keep_images: KeepImages::Newest(3),
            settle: Duration::from_millis(1000),
            release_at_exit: false,
        }
    }
}

impl Settings {
    /// Reads the environment. A value that makes no sense is named in the second result and
    /// replaced by the default.
    pub fn from_env() -> (Settings, Vec<String>) {
        Settings::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> (Settings, Vec<String>) {
        let mut settings = Settings::default();
        let mut complaints = Vec::new();
        let mut read = |name: &str, wanted: &str, accept: &mut dyn FnMut(&str) -> Option<()>| {
            if let Some(text) = variable(name).filter(|text| !text.trim().is_empty())
                && accept(text.trim()).is_none()
            {
                complaints.push(format!("{name}={text} is not {wanted}; using the default"));
            }
        };
        read(
            "HOT_CODE_RELOADING_JUMP_TABLE_SIZE",
            "a number of MB from 1 to 65536",
            &mut |text| {
                settings.slot_table_mb = text.parse().ok().filter(|mb| (1..=65536).contains(mb))?;
                Some(())
            },
        );
        read("LIVESWAP_KEEP_IMAGES", "a number or `all`", &mut |text| {
            settings.keep_images = match text {
                "all" => KeepImages::All,
                number => KeepImages::Newest(number.parse().ok()?),
            };
            Some(())
        });
        read(
            "LIVESWAP_SETTLE_MS",
            "a number of milliseconds",
            &mut |text| {
                settings.settle = Duration::from_millis(text.parse().ok()?);
                Some(())
            },
        );
        read("LIVESWAP_SHUTDOWN", "`release` or `keep`", &mut |text| {
            settings.release_at_exit = match text {
                "release" => true,
                "keep" => false,
                _ => return None,
            };
            Some(())
        });
        (settings, complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
        Settings::from_variables(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_setting_is_read() {
        let (settings, complaints) = read(&[
            ("HOT_CODE_RELOADING_JUMP_TABLE_SIZE", "7"),
            ("LIVESWAP_KEEP_IMAGES", "all"),
            ("LIVESWAP_SETTLE_MS", "20"),
            ("LIVESWAP_SHUTDOWN", "release"),
        ]);
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(settings.slot_table_mb, 7);
        assert_eq!(settings.keep_images, KeepImages::All);
        assert_eq!(settings.settle, Duration::from_millis(20));
        assert!(settings.release_at_exit);
    }

    #[test]
    fn nonsense_is_named_and_replaced_by_the_default() {
        let (settings, complaints) = read(&[
            ("HOT_CODE_RELOADING_JUMP_TABLE_SIZE", "-3"),
            ("LIVESWAP_KEEP_IMAGES", "some"),
            ("LIVESWAP_SETTLE_MS", "soon"),
            ("LIVESWAP_SHUTDOWN", "maybe"),
        ]);
        assert_eq!(complaints.len(), 4);
        assert!(complaints[0].contains("HOT_CODE_RELOADING_JUMP_TABLE_SIZE=-3"));
        assert_eq!(settings.slot_table_mb, Settings::default().slot_table_mb);
        assert_eq!(settings.keep_images, KeepImages::Newest(3));
    }
}
