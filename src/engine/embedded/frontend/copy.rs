//! `COPY` and `ADD`.

use std::str::FromStr;

use indexmap::IndexMap;

use crate::{
    engine::embedded::graph::{
        Copy, CopyFrom, FileAction, FileOp, GitSource, HttpSource, Op, Tree, Unpack,
    },
    oci::Digest,
};

use super::{
    command::{CopyCommand, Read},
    git::{self, GitRef, Remote},
    lex::Lexer,
    names::shown,
    problem::Problem,
    walk::{At, State, Walk},
    words,
};

impl Walk<'_> {
    pub(super) fn copy(&mut self, copy: &CopyCommand, at: &At<'_>, state: &mut State) -> Read<()> {
        let from = match &copy.from {
            Some(from) => match self.tree(from, true, at)? {
                Some(tree) => tree,
                // What it is read from could not be had, which was told already.
                None => return Ok(()),
            },
            None => Tree::Context,
        };
        let copy = self.expanded(copy, state)?;
        if !copy.chmod.is_empty() {
            words::mode(&copy.chmod)?;
        }
        checksum_fits(&copy)?;
        let name = shown(&self.lexer(), at.code, &state.env);
        let name = state.names.next(&name);
        let destination = destination(state.directory(), &copy.destination);
        let actions = self.actions(&copy, from, &destination, &name, at)?;
        let noted = noted(&copy);
        self.budget.spend(noted.len() + name.len())?;
        let op = Op::File(FileOp {
            base: state.tree,
            actions,
        });
        state.tree = Some(self.vertex(op, name, at.location));
        state.commit(noted, true);
        Ok(())
    }

    /// With its variables put in.
    fn expanded(&self, copy: &CopyCommand, state: &State) -> Read<CopyCommand> {
        let lexer = self.lexer();
        let word = |text: &str| lexer.word(text, &state.env);
        let mut copy = copy.clone();
        for text in [&mut copy.chown, &mut copy.chmod, &mut copy.checksum]
            .into_iter()
            .chain(&mut copy.sources)
            .chain([&mut copy.destination])
        {
            *text = word(text)?;
        }
        let raw = Lexer {
            skip_quotes: true,
            ..Lexer::new('\\', self.budget)
        };
        for document in copy.documents.iter_mut().filter(|document| document.expand) {
            document.content = raw.word(&document.content, &state.env)?;
        }
        Ok(copy)
    }

    fn actions(
        &mut self,
        copy: &CopyCommand,
        from: Tree,
        destination: &str,
        name: &str,
        at: &At<'_>,
    ) -> Read<Vec<FileAction>> {
        let mut groups: Vec<(CopyFrom, Vec<String>, Unpack, bool)> = Vec::new();
        for source in &copy.sources {
            let mut whole = false;
            let (tree, path, unpack) = match git::remote(source)? {
                Remote::No => (from, source.clone(), unpack(copy, copy.add)),
                Remote::Http => {
                    let op = Op::Http(Self::http(copy, source)?);
                    let vertex = self.source_vertex(op, name.to_owned(), at.location);
                    (
                        Tree::Vertex(vertex),
                        git::filename(source),
                        unpack(copy, false),
                    )
                }
                Remote::Git(found) => {
                    let op = Op::Git(repository(copy, found)?);
                    let vertex = self.source_vertex(op, name.to_owned(), at.location);
                    whole = true;
                    (Tree::Vertex(vertex), "/".to_owned(), Unpack::Never)
                }
            };
            let group = CopyFrom::Tree(tree);
            match groups.last_mut() {
                Some((last, sources, last_unpack, _))
                    if *last == group && *last_unpack == unpack && path != "/" =>
                {
                    sources.push(path);
                }
                _ => groups.push((group, vec![path], unpack, whole)),
            }
        }
        for document in &copy.documents {
            let files = IndexMap::from([(document.name.clone(), document.content.clone())]);
            groups.push((CopyFrom::Inline(files), Vec::new(), Unpack::Never, false));
        }
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let action = |(from, sources, unpack, whole): (CopyFrom, Vec<String>, Unpack, bool)| {
            let local = matches!(&from, CopyFrom::Tree(_));
            FileAction::Copy(Box::new(Copy {
                from,
                sources,
                destination: destination.to_owned(),
                chown: filled(&copy.chown),
                chmod: filled(&copy.chmod),
                // `BuildKit` puts a layer on top only when it need not know what is below.
                link: copy.link && copy.chmod.is_empty(),
                parents: copy.parents && local,
                exclude: copy.exclude.clone(),
                unpack,
                whole,
            }))
        };
        Ok(groups.into_iter().map(action).collect())
    }

    fn http(copy: &CopyCommand, source: &str) -> Read<HttpSource> {
        if !copy.add {
            return Err(only_add("an address"));
        }
        let checksum = Some(copy.checksum.clone()).filter(|text| !text.is_empty());
        if let Some(text) = &checksum {
            Digest::from_str(text).map_err(|error| {
                Problem::fault(
                    format!("--checksum is `{text}`: {error}"),
                    "write it as sha256:HEXADECIMAL",
                )
            })?;
        }
        Ok(HttpSource {
            url: source.to_owned(),
            checksum,
            filename: git::filename(source),
        })
    }
}

fn only_add(what: &str) -> Problem {
    Problem::fault(format!("COPY cannot copy from {what}"), "use ADD")
}

fn repository(copy: &CopyCommand, found: GitRef) -> Read<GitSource> {
    if !copy.add {
        return Err(only_add("a git repository"));
    }
    let contradict = |what: &str| {
        Problem::fault(
            format!("--{what} contradicts the address of the git repository"),
            "keep one of them",
        )
    };
    if let (Some(flag), Some(address)) = (copy.keep_git_dir, found.keep_git_dir)
        && flag != address
    {
        return Err(contradict("keep-git-dir"));
    }
    let flag = Some(copy.checksum.clone()).filter(|text| !text.is_empty());
    if let (Some(flag), Some(address)) = (&flag, &found.checksum)
        && flag != address
    {
        return Err(contradict("checksum"));
    }
    Ok(GitSource {
        remote: found.remote,
        reference: found.reference,
        subdir: found.subdir,
        keep_git_dir: found.keep_git_dir.or(copy.keep_git_dir).unwrap_or(false),
        checksum: found.checksum.or(flag),
        skip_submodules: found.skip_submodules,
    })
}

fn checksum_fits(copy: &CopyCommand) -> Read<()> {
    if copy.checksum.is_empty() {
        return Ok(());
    }
    let remote = match copy.sources.as_slice() {
        [one] => git::remote(one)? != Remote::No,
        _ => false,
    };
    if copy.add && remote {
        return Ok(());
    }
    Err(Problem::fault(
        "--checksum goes with one http(s) or git source alone",
        "take it away, or copy that source by an ADD of its own",
    ))
}

fn unpack(copy: &CopyCommand, default: bool) -> Unpack {
    if copy.unpack.unwrap_or(default) {
        Unpack::Archives
    } else {
        Unpack::Never
    }
}

/// Absolute, with the slash that makes it a directory.
fn destination(directory: &str, text: &str) -> String {
    let text = if matches!(text, "" | ".") { "./" } else { text };
    let mut path = words::clean(&words::below(directory, text));
    if (text.ends_with('/') || text.ends_with("/.")) && path != "/" {
        path.push('/');
    }
    path
}

fn noted(copy: &CopyCommand) -> String {
    let mut text = if copy.add { "ADD" } else { "COPY" }.to_owned();
    if copy.parents {
        text.push_str(" --parents");
    }
    for (flag, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
        if !value.is_empty() {
            text.extend([" --", flag, "=", value]);
        }
    }
    for source in &copy.sources {
        text.extend([" ", source]);
    }
    for document in &copy.documents {
        text.extend([" <<", &document.name]);
    }
    format!("{text} {} # buildkit", copy.destination)
}
