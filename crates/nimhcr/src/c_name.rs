//! C names that the Nim compiler gives to procs and globals.
//!
//! Since 1.6 they are `IDENT__OWNER_ITEM___HASH`, `u` before ITEM in 2.x; behind the hash may come
//! `_N`, which tells equal hashes of one build apart, and for inline procs the module's name. ITEM
//! counts everything before it in the module, and N depends on the order of generation: both change
//! with edits elsewhere. What stays is IDENT, OWNER, HASH and that trailing name.

/// A name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CName<'a> {
    pub(crate) ident: &'a [u8],
    pub(crate) owner: &'a [u8],
    pub(crate) item: u64,
    /// The compiler is 2.x.
    pub(crate) version_two: bool,
    hash: &'a [u8],
    inline_in: &'a [u8],
}

impl<'a> CName<'a> {
    /// Takes a name apart; `None` if it has another form (those names are stable).
    pub(crate) fn parse(name: &'a [u8]) -> Option<CName<'a>> {
        let at = last_triple_underscore(name)?;
        let (front, tail) = (&name[..at], &name[at + 3..]);
        let (rest, item) = split_last(front, b'_')?;
        let (version_two, digits) = match item {
            [b'u', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let item = number(digits)?;
        let (ident, owner) = split_last(rest, b'_')?;
        let ident = ident.strip_suffix(b"_")?;
        let hash_end = tail
            .iter()
            .position(|byte| *byte == b'_')
            .unwrap_or(tail.len());
        let (hash, behind) = tail.split_at(hash_end);
        if hash.is_empty() || owner.is_empty() || ident.is_empty() {
            return None;
        }
        let behind = behind.strip_prefix(b"_").unwrap_or(behind);
        let digits = behind
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        Some(CName {
            ident,
            owner,
            item,
            version_two,
            hash,
            inline_in: &behind[digits..],
        })
    }

    /// What stays the same from build to build.
    pub(crate) fn identity(&self) -> Vec<u8> {
        let tail = [self.hash, self.inline_in].concat();
        [self.ident, self.owner, &tail].join(&b"\0"[..])
    }

    /// What stays the same of a variable's name. In Nim 2.x its hash takes in how many symbols of the same name, locals and
    /// parameters too, come before it in the module.
    pub(crate) fn identity_of_variable(&self) -> Vec<u8> {
        if self.version_two {
            [self.ident, self.owner].join(&b"\0"[..])
        } else {
            self.identity()
        }
    }

    /// A proc without a name of its own: only its place tells it from others of its signature.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.ident.starts_with(b"colonanonymous")
    }
}

/// What of a name stays the same from build to build.
pub(crate) fn identity(name: &[u8]) -> Vec<u8> {
    CName::parse(name).map_or_else(|| name.to_vec(), |name| name.identity())
}

/// What of a variable's name stays the same from build to build.
pub(crate) fn identity_of_variable(name: &[u8]) -> Vec<u8> {
    CName::parse(name).map_or_else(|| name.to_vec(), |name| name.identity_of_variable())
}

/// Where the last `___` begins.
fn last_triple_underscore(name: &[u8]) -> Option<usize> {
    let mut end = name.len();
    loop {
        let last = name[..end].iter().rposition(|byte| *byte == b'_')?;
        match name[..last] {
            [.., b'_', b'_'] => return Some(last - 2),
            _ => end = last,
        }
    }
}

fn split_last(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().rposition(|byte| *byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str) -> Option<(String, String, u64, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        CName::parse(name.as_bytes()).map(|name| {
            (
                text(name.ident),
                text(name.owner),
                name.item,
                text(&name.identity()),
            )
        })
    }

    #[test]
    fn names_of_nim_1_6() {
        assert_eq!(
            parts("getInt__nimhcr9548_2___9ctun3O9bbhImYSYhvq9bPUzQ"),
            Some((
                "getInt".into(),
                "nimhcr9548".into(),
                2,
                "getInt\0nimhcr9548\09ctun3O9bbhImYSYhvq9bPUzQ".into()
            ))
        );
    }

    #[test]
    fn the_counter_behind_the_hash_is_not_part_of_the_identity() {
        let first = identity(b"helper__modb_79___qTBlzviKPd3CPKknA3H6gQ_2");
        assert_eq!(
            first,
            identity(b"helper__modb_131___qTBlzviKPd3CPKknA3H6gQ")
        );
        assert_ne!(
            first,
            identity(b"other__modb_79___qTBlzviKPd3CPKknA3H6gQ_2")
        );
    }

    #[test]
    fn an_operator_and_an_inline_proc() {
        let name = "minuspercent___system_716___dgYAo7RfdUVVpvkfKDym8wsystem";
        let (ident, owner, item, _) = parts(name).unwrap();
        assert_eq!((&*ident, &*owner, item), ("minuspercent_", "system", 716));
        let one = identity(b"pluspercent___system_696___dgYAo7RfdUVVpvkfKDym8w_2system");
        assert_eq!(
            one,
            identity(b"pluspercent___system_1___dgYAo7RfdUVVpvkfKDym8wsystem")
        );
    }

    #[test]
    fn names_of_nim_2() {
        let name = CName::parse(b"getB__modb_u95___ALFGo79bhrCfxa0QDb5XDLw").unwrap();
        assert!(name.version_two);
        assert_eq!(name.item, 95);
    }

    #[test]
    fn variables_of_nim_2_are_known_without_their_hash() {
        let one = identity_of_variable(b"id__lexer_u78___nMZXm9aQkgMLxwZEiKJWDzw");
        assert_eq!(
            one,
            identity_of_variable(b"id__lexer_u137___n9aNBgAlAf1a02CpsRYgvug")
        );
        let old = identity_of_variable(b"id__lexer_78___nMZXm9aQkgMLxwZEiKJWDzw");
        assert_ne!(
            old,
            identity_of_variable(b"id__lexer_137___n9aNBgAlAf1a02CpsRYgvug")
        );
    }

    #[test]
    fn stable_names_are_their_own_identity() {
        for name in [
            "nimGCvisit",
            "Marker_tyRef__9cVmPz9anWx7Axbj9chpuSbcg",
            "NTIshape58objecttype__LB2BzzbgheESGZGikmAn5A_",
            "TM__TTljMD9bXicZXsyxjJmqxCA_0_5",
            "module_initialized_",
            "Dl_33559681_",
            "",
            "___",
        ] {
            assert_eq!(parts(name), None, "{name}");
            assert_eq!(identity(name.as_bytes()), name.as_bytes());
        }
    }
}
