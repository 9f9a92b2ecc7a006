//! The walk over a context, in the protocol's order: depth first, names sorted by bytes.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, FileType},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    vec,
};

use bollard_buildkit_proto::fsutil::types::Stat;

use super::{
    ContextError, Filter, Source,
    filter::{Inherited, Judgement},
    stat::{FirstNames, stat},
};

/// Calls `visit` for each entry that is wanted, and before it for the directories above it that
/// were not sent yet.
pub(in super::super) fn walk(
    root: &Path,
    filter: &Filter,
    mut visit: impl FnMut(Stat, Option<Source>) -> Result<(), ContextError>,
) -> Result<(), ContextError> {
    let mut first_names = FirstNames::new();
    let top = Frame {
        path: PathBuf::new(),
        text: String::new(),
        entries: list(root, Path::new(""), false)?,
        inherited: Inherited::default(),
        sent: true,
    };
    let mut stack = vec![top];
    while let Some(frame) = stack.last_mut() {
        let Some((name, kind)) = frame.entries.next() else {
            stack.pop();
            continue;
        };
        let path = frame.path.join(&name);
        let text = frame.text_of(&name);
        let judgement = filter.judge(&text, kind.is_dir(), &frame.inherited)?;
        let (inherited, sent) = match judgement {
            Judgement::Skip => continue,
            Judgement::Enter(inherited) => (inherited, false),
            Judgement::Send(inherited) => (inherited, true),
        };
        if sent {
            for above in stack.iter_mut().filter(|above| !above.sent) {
                above.sent = true;
                let (stat, source) = stat(root, &above.path, &mut first_names)?;
                visit(stat, source)?;
            }
            let (stat, source) = stat(root, &path, &mut first_names)?;
            visit(stat, source)?;
        }
        if kind.is_dir() {
            stack.push(Frame {
                entries: list(root, &path, !sent)?,
                path,
                text,
                inherited,
                sent,
            });
        }
    }
    Ok(())
}

/// A directory that is being walked.
struct Frame {
    path: PathBuf,
    text: String,
    entries: vec::IntoIter<(OsString, FileType)>,
    inherited: Inherited,
    sent: bool,
}

impl Frame {
    /// The path as patterns see it: a byte that is not UTF-8 is one U+FFFD, as in Go.
    fn text_of(&self, name: &OsStr) -> String {
        let mut text = self.text.clone();
        if !text.is_empty() {
            text.push('/');
        }
        for chunk in name.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        text
    }
}

/// A directory's entries, sorted. One that is not wanted may be closed to us.
fn list(
    root: &Path,
    path: &Path,
    may_be_closed: bool,
) -> Result<vec::IntoIter<(OsString, FileType)>, ContextError> {
    let entries: io::Result<Vec<_>> = fs::read_dir(root.join(path)).and_then(|entries| {
        entries
            .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))))
            .collect()
    });
    match entries {
        Ok(mut entries) => {
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            Ok(entries.into_iter())
        }
        Err(fault) if may_be_closed && fault.kind() == io::ErrorKind::PermissionDenied => {
            Ok(Vec::new().into_iter())
        }
        Err(fault) if path.as_os_str().is_empty() => Err(ContextError::Root {
            path: root.to_owned(),
            fault,
        }),
        Err(fault) => Err(ContextError::io("listing", path, fault)),
    }
}
