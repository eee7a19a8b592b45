//! What generated code holds in closures, futures and values, and how it looks whether that is still whole.

/// Locals `h0`, `h1`, … for a name `h`: seals, lists and texts, as the values modulo 3 say, so that layouts differ.
pub(crate) fn locals(held: &[u64], name: &str) -> String {
    let local = |(index, value): (usize, &u64)| match value % 3 {
        0 => format!("    let {name}{index} = Seal::of({value});\n"),
        1 => format!("    let {name}{index} = vec![{value}u64; 3];\n"),
        _ => format!("    let {name}{index} = format!(\"{value}\");\n"),
    };
    held.iter().enumerate().map(local).collect()
}

/// ` + …` for each of them, looked at as what it is. Something else counts as a million.
pub(crate) fn sum(held: &[u64], name: &str) -> String {
    let one = |(index, value): (usize, &u64)| {
        let name = format!("{name}{index}");
        let fits = match value % 3 {
            0 => format!("{name}.is({value})"),
            1 => format!("{name} == [{value}; 3]"),
            _ => format!("{name} == \"{value}\""),
        };
        format!(" + if {fits} {{ {value} }} else {{ 1_000_000 }}")
    };
    held.iter().enumerate().map(one).collect()
}
