//! What an entry's header must be, beyond what `tar-core` asks: where readers of tar would differ, it
//! is refused.

use tar_core::{EntryType, parse::ParsedEntry};

use super::{error::TarError, tar::TarKind};

pub(super) fn kind<'a>(
    entry: &'a ParsedEntry<'_>,
    size: u64,
    sparse: bool,
) -> Result<TarKind<'a>, TarError> {
    let target = || entry.link_target.as_deref().unwrap_or_default();
    let device = || {
        TarKind::Device(
            entry.dev_major.unwrap_or_default(),
            entry.dev_minor.unwrap_or_default(),
        )
    };
    let kind = match entry.entry_type {
        // Before POSIX there was no type for directories (Go's archive/tar does the same).
        EntryType::Regular
            if entry.header.as_old().linkflag == [0] && entry.path.ends_with(b"/") =>
        {
            TarKind::Directory
        }
        EntryType::Regular | EntryType::Continuous => TarKind::File(size),
        EntryType::GnuSparse if sparse => TarKind::File(size),
        EntryType::Directory => TarKind::Directory,
        EntryType::Symlink => TarKind::Symlink(target()),
        EntryType::Link => TarKind::HardLink(target()),
        EntryType::Char | EntryType::Block => device(),
        EntryType::Fifo => TarKind::Fifo,
        other => {
            return Err(TarError::Kind {
                path: entry.path.escape_ascii().to_string(),
                kind: [other.as_byte()].escape_ascii().to_string(),
            });
        }
    };
    if sparse && !matches!(kind, TarKind::File(_)) {
        return Err(TarError::Sparse {
            path: entry.path.escape_ascii().to_string(),
            reason: "a sparse map for what is no file",
        });
    }
    Ok(kind)
}

pub(super) fn check_name(path: &[u8]) -> Result<(), TarError> {
    if path.contains(&0) {
        return Err(TarError::Nul(path.escape_ascii().to_string()));
    }
    if path.split(|&byte| byte == b'/').any(|part| part == b"..") {
        return Err(TarError::Climbing(path.escape_ascii().to_string()));
    }
    Ok(())
}

/// Size fields that readers take differently: base-256 numbers of more than 64 bits, and digits
/// after a NUL.
pub(super) fn check_numbers(entry: &ParsedEntry<'_>) -> Result<(), TarError> {
    let size = &entry.header.as_old().size;
    let ambiguous = match size {
        [0x80, high @ .., _, _, _, _, _, _, _, _] => high.iter().any(|&byte| byte != 0),
        [0, rest @ ..] => rest.iter().any(|&byte| byte != 0),
        [first, ..] => first & 0x80 != 0,
    };
    if ambiguous {
        return Err(TarError::Header(format!(
            "the size field of `{}` is no number of 64 bits",
            entry.path.escape_ascii()
        )));
    }
    Ok(())
}

/// `tar-core` stops silently at a malformed record and, as told above, skips values it cannot read.
pub(super) fn check_pax(entry: &ParsedEntry<'_>, sparse: bool) -> Result<(), TarError> {
    let Some(pax) = entry.pax else {
        return Ok(());
    };
    let malformed = |what: &str| {
        TarError::Header(format!(
            "`{}`: PAX records: {what}",
            entry.path.escape_ascii()
        ))
    };
    let (mut rest, mut sized, mut versioned) = (pax, false, false);
    while !rest.is_empty() {
        let (key, value, after) = record(rest).ok_or_else(|| malformed("a malformed record"))?;
        rest = after;
        match key {
            b"size"
            | b"uid"
            | b"gid"
            | b"GNU.sparse.size"
            | b"GNU.sparse.realsize"
            | b"GNU.sparse.offset"
            | b"GNU.sparse.numbytes"
            | b"GNU.sparse.major"
            | b"GNU.sparse.minor" => {
                number(value).ok_or_else(|| malformed("a number that is none"))?;
            }
            b"linkpath" if value.contains(&0) => return Err(malformed("a NUL in a link target")),
            _ => {}
        }
        sized |= key == b"size";
        versioned |= key == b"GNU.sparse.major";
    }
    if versioned && !sparse {
        return Err(malformed("a sparse format that is not supported"));
    }
    if versioned && sized {
        // tar-core would take the size for that of the data alone.
        return Err(malformed("a sparse file with a size record"));
    }
    Ok(())
}

/// `LENGTH KEY=VALUE\n` (POSIX pax, "Extended Header") and what follows it.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(number(data.get(..space)?)?).ok()?;
    let rest = data.get(length..)?;
    let body = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, rest))
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_are_read_strictly() {
        assert_eq!(record(b"9 a=b c\n"), None);
        assert_eq!(
            record(b"8 a=b c\nrest"),
            Some((&b"a"[..], &b"b c"[..], &b"rest"[..]))
        );
        assert_eq!(
            record(b"7 a=\n\n\n"),
            Some((&b"a"[..], &b"\n\n"[..], &b""[..]))
        );
        for bad in [
            &b""[..],
            b" a=b\n",
            b"+8 a=b c\n",
            b"2 \n",
            b"99 a=b\n",
            b"5 ab\n",
        ] {
            assert_eq!(record(bad), None, "{}", bad.escape_ascii());
        }
    }
}
