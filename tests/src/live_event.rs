//! What `cargo liveswap run --events` tells.

use std::fmt;

use serde_json::Value;

/// One line of the events file.
#[derive(Clone, Debug)]
pub struct Event {
    name: String,
    value: Value,
}

impl Event {
    /// Reads a line.
    ///
    /// # Panics
    /// When it is not a JSON object with `event` and `t_ms`.
    #[track_caller]
    pub fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("a line of the events file: {error}: {line}"));
        let name = value["event"]
            .as_str()
            .unwrap_or_else(|| panic!("an event without a name: {line}"))
            .to_owned();
        assert!(value["t_ms"].is_number(), "an event without time: {line}");
        Self { name, value }
    }

    /// `swapped`, `refused` and so on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole object.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// A field that is a text.
    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.value[field]
            .as_str()
            .unwrap_or_else(|| panic!("no text `{field}` in {self}"))
    }

    /// A field that is a whole number.
    #[track_caller]
    pub fn number(&self, field: &str) -> i64 {
        self.value[field]
            .as_i64()
            .unwrap_or_else(|| panic!("no number `{field}` in {self}"))
    }

    /// One of the durations of a swap.
    #[track_caller]
    pub fn ms(&self, part: &str) -> f64 {
        self.value["ms"][part]
            .as_f64()
            .unwrap_or_else(|| panic!("no time `{part}` in {self}"))
    }

    /// The texts of a field that is a list of texts.
    #[track_caller]
    pub fn texts(&self, field: &str) -> Vec<&str> {
        self.value[field]
            .as_array()
            .unwrap_or_else(|| panic!("no list `{field}` in {self}"))
            .iter()
            .map(|text| text.as_str().unwrap_or_else(|| panic!("no text in {self}")))
            .collect()
    }

    /// The names of the modules of a swap.
    #[track_caller]
    pub fn modules(&self) -> Vec<&str> {
        self.value["modules"]
            .as_array()
            .unwrap_or_else(|| panic!("no modules in {self}"))
            .iter()
            .map(|module| {
                module["name"]
                    .as_str()
                    .unwrap_or_else(|| panic!("a module without a name in {self}"))
            })
            .collect()
    }

    /// Sum of a count (`changed`, `added`, `removed`) over the modules of a swap.
    #[track_caller]
    pub fn functions(&self, count: &str) -> u64 {
        self.value["modules"]
            .as_array()
            .unwrap_or_else(|| panic!("no modules in {self}"))
            .iter()
            .map(|module| {
                module[count]
                    .as_u64()
                    .unwrap_or_else(|| panic!("a module without `{count}` in {self}"))
            })
            .sum()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)
    }
}
