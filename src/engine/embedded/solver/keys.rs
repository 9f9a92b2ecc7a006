//! What a step is known by in the cache.

use indexmap::IndexMap;

use crate::{
    engine::embedded::graph::{
        Copy, CopyFrom, Exec, FileAction, FileOp, MountKind, Op, Tree, VertexId,
    },
    oci::{Digest, sha256},
};

/// Raised whenever a step over the same input may give another result than before.
const VERSION: &str = "plimsoll step 1";

/// The vertices that a step needs, its base first, in order of appearance; each once.
pub(super) fn inputs(op: &Op) -> Vec<VertexId> {
    let mut found = Vec::new();
    let mut op = op.clone();
    each(&mut op, &mut |id| {
        if !found.contains(id) {
            found.push(*id);
        }
    });
    found
}

/// Visits every reference to a vertex.
fn each(op: &mut Op, visit: &mut dyn FnMut(&mut VertexId)) {
    let tree = |tree: &mut Tree, visit: &mut dyn FnMut(&mut VertexId)| {
        if let Tree::Vertex(id) = tree {
            visit(id);
        }
    };
    match op {
        Op::Image(_) | Op::Http(_) | Op::Git(_) => {}
        Op::Exec(exec) => {
            exec.base.iter_mut().for_each(&mut *visit);
            for mount in &mut exec.mounts {
                match &mut mount.kind {
                    MountKind::Bind { from, .. }
                    | MountKind::Cache {
                        from: Some(from), ..
                    } => tree(from, visit),
                    _ => {}
                }
            }
        }
        Op::File(file) => {
            file.base.iter_mut().for_each(&mut *visit);
            for action in &mut file.actions {
                if let FileAction::Copy(copy) = action
                    && let CopyFrom::Tree(from) = &mut copy.from
                {
                    tree(from, visit);
                }
            }
        }
    }
}

/// The step as it stands, without where in the graph it is and what must not count.
pub(super) fn canonical(op: &Op) -> String {
    let mut op = op.clone();
    let order = inputs(&op);
    each(&mut op, &mut |id| {
        let position = order.iter().position(|known| known == id);
        *id = VertexId(position.unwrap_or_default());
    });
    if let Op::Exec(exec) = &mut op {
        exec.uncached_env = IndexMap::new();
    }
    if is_link(&op)
        && let Op::File(file) = &mut op
    {
        file.base = None;
    }
    serde_json::to_string(&op).unwrap_or_default()
}

/// A layer that does not depend on what is below it.
pub(super) fn is_link(op: &Op) -> bool {
    let Op::File(FileOp { actions, .. }) = op else {
        return false;
    };
    !actions.is_empty()
        && actions
            .iter()
            .all(|action| matches!(action, FileAction::Copy(copy) if copy.link))
}

/// The copies of a step, in order.
pub(super) fn copies(op: &Op) -> Vec<Copy> {
    match op {
        Op::File(file) => file
            .actions
            .iter()
            .filter_map(|action| match action {
                FileAction::Copy(copy) => Some((**copy).clone()),
                FileAction::Mkdir { .. } => None,
            })
            .collect(),
        Op::Exec(exec) => mounted_context(exec),
        _ => Vec::new(),
    }
}

/// What a step sees of the context through its mounts, as copies that hold the same files.
fn mounted_context(exec: &Exec) -> Vec<Copy> {
    exec.mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Bind {
                from: from @ Tree::Context,
                source,
                ..
            }
            | MountKind::Cache {
                from: Some(from @ Tree::Context),
                source,
                ..
            } => Some(whole(*from, source)),
            _ => None,
        })
        .collect()
}

/// The copy of one path of a tree to the same path.
pub(super) fn whole(from: Tree, source: &str) -> Copy {
    let path = source.trim_matches('/');
    let path = if path.is_empty() { "." } else { path };
    Copy {
        from: CopyFrom::Tree(from),
        sources: vec![escaped(path)],
        destination: if path == "." {
            "/".to_owned()
        } else {
            format!("/{path}")
        },
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
        unpack: crate::engine::embedded::graph::Unpack::Never,
        whole: false,
    }
}

/// A path that no pattern matches but itself.
fn escaped(path: &str) -> String {
    path.chars().fold(String::new(), |mut text, c| {
        if "*?[\\".contains(c) {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

/// Digest of parts that cannot run into each other.
pub(super) fn digest(kind: &str, salt: &str, parts: &[String]) -> Digest {
    let all = (VERSION, kind, salt, parts);
    sha256(serde_json::to_string(&all).unwrap_or_default().as_bytes())
}
