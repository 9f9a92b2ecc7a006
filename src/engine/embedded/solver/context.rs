//! What a build sees of its context.

use std::{collections::BTreeSet, path::Path};

use super::{Job, failure::file_failure, tell::Tell};
use crate::engine::{
    BuildError,
    dockerignore::join,
    embedded::{
        files::Ignore,
        graph::{CopyFrom, FileAction, Graph, MountKind, Op, Tree},
    },
};

/// What the graph asks for and `.dockerignore` lets through. The cache directory is never seen: a copy
/// of it into itself has no end.
pub(super) fn view(job: &Job, graph: &Graph, tell: &Tell) -> Result<Option<Ignore>, BuildError> {
    let plan = &job.plan;
    let fail = |error| file_failure(job, None, &error);
    let ignore = Ignore::of(&plan.dockerfile, &plan.context).map_err(fail)?;
    let ignore = match asked(graph) {
        paths if paths.is_empty() => ignore,
        paths => {
            let paths: Vec<String> = paths.into_iter().collect();
            Ignore::asked(ignore, &plan.context, &paths).map_err(fail)?
        }
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (cache, context) = (real(&job.cache_dir), real(&plan.context));
    let Ok(inside) = cache.strip_prefix(&context) else {
        return Ok(ignore);
    };
    if inside.as_os_str().is_empty() {
        return Err(BuildError::Engine {
            engine: job.engine.clone(),
            reason: format!("the cache directory {} is the context", cache.display()),
            hint: Some("name another one with --cache-dir".to_owned()),
        });
    }
    tell.note(format!(
        "the cache directory {} is no part of the context that it is in",
        inside.display()
    ));
    Ok(Some(Ignore::leaving_out(ignore, inside.to_owned())))
}

/// Sources in the context, sorted as `BuildKit` asks for them.
fn asked(graph: &Graph) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut add = |path: &str| {
        paths.insert(join("/", path));
    };
    for vertex in &graph.vertices {
        match &vertex.op {
            Op::File(file) => {
                for action in &file.actions {
                    if let FileAction::Copy(copy) = action
                        && matches!(copy.from, CopyFrom::Tree(Tree::Context))
                    {
                        copy.sources.iter().for_each(|source| add(source));
                    }
                }
            }
            Op::Exec(exec) => {
                for mount in &exec.mounts {
                    match &mount.kind {
                        MountKind::Bind {
                            from: Tree::Context,
                            source,
                            ..
                        }
                        | MountKind::Cache {
                            from: Some(Tree::Context),
                            source,
                            ..
                        } => add(source),
                        // `BuildKit` asks for the whole context then.
                        MountKind::Tmpfs { .. } => add("/"),
                        _ => {}
                    }
                }
            }
            Op::Image(_) | Op::Http(_) | Op::Git(_) => {}
        }
    }
    paths
}
