//! `RUN`: the step with its mounts made real, and what it left behind as a layer.

use std::{
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use super::{
    failure::{dockerfile, exit_failure, file_failure, run_failure, store_failure},
    keys::whole,
    options,
    output::{Clip, LastLines},
    shared::Shared,
    vertex::now,
};
use crate::engine::{
    BuildError,
    embedded::{
        files,
        graph::{Exec, FileAction, Mount, MountKind, Tree, Vertex},
        step::{Exit, Step, StepMount, StepMountKind},
        store::{CacheMount, Layer, Snapshot, StoreError, copy_tree},
    },
};

/// What has to live as long as the step runs.
#[derive(Default)]
struct Held<'s> {
    snapshots: Vec<Snapshot<'s>>,
    /// with their ids and what they start with: a step that names one twice sees one directory twice
    caches: Vec<((String, String), CacheMount)>,
}

pub(super) fn run(
    shared: &Shared<'_>,
    id: usize,
    vertex: &Vertex,
    exec: &Exec,
) -> Result<Layer, BuildError> {
    let job = shared.job;
    let failed = |error| store_failure(job, Some(vertex), &error);
    let base = shared.tree(exec.base);
    shared.have(vertex, &base)?;
    let snapshot = shared.store.snapshot(&base.layers).map_err(failed)?;
    let mut held = Held::default();
    let mut step = Step {
        root: snapshot.root().to_owned(),
        args: exec.args.clone(),
        env: exec.env.clone(),
        secret_env: indexmap::IndexMap::new(),
        cwd: exec.cwd.clone(),
        user: exec.user.clone(),
        mounts: Vec::new(),
        network: exec.network,
        add_hosts: exec.add_hosts.clone(),
        hostname: exec.hostname.clone(),
    };
    for (name, value) in &exec.uncached_env {
        step.env
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    for mount in &exec.mounts {
        add(shared, vertex, mount, &mut step, &mut held)?;
    }
    let event = shared.event_id(id);
    let (mut last, mut clip) = (LastLines::default(), Clip::default());
    let mut output = |stderr: bool, data: &[u8]| {
        last.take(data);
        let shown = clip.take(stderr, data);
        if !shown.is_empty() {
            shared.tell.log(&event, stderr, &shown);
        }
    };
    let ended = shared.runner.run(&step, &mut output, &shared.cancel);
    let log = last.finish();
    drop(held);
    match ended {
        Err(error) => return Err(run_failure(job, vertex, error, log)),
        Ok(Exit::Code(0)) => {}
        Ok(_) if shared.cancel.is_cancelled() => return Err(BuildError::Interrupted),
        Ok(exit) => return Err(exit_failure(job, vertex, &exec.args, exit, log)),
    }
    snapshot.commit(options(job), now()).map_err(failed)
}

fn add<'s>(
    shared: &Shared<'s>,
    vertex: &Vertex,
    mount: &Mount,
    step: &mut Step,
    held: &mut Held<'s>,
) -> Result<(), BuildError> {
    let what = match &mount.kind {
        MountKind::Bind {
            from,
            source,
            writable,
        } => bind(shared, vertex, (*from, source), *writable, held)?,
        MountKind::Cache { read_only, .. } => StepMountKind::Bind {
            source: cache(shared, vertex, mount, held)?,
            read_only: *read_only,
        },
        MountKind::Tmpfs { size } => StepMountKind::Tmpfs { size: *size },
        MountKind::Secret { .. } => match secret(shared, vertex, mount, step)? {
            Some(what) => what,
            None => return Ok(()),
        },
        MountKind::Ssh { .. } => match ssh(shared, vertex, mount)? {
            Some(what) => what,
            None => return Ok(()),
        },
    };
    step.mounts.push(StepMount {
        target: mount.target.clone(),
        what,
    });
    Ok(())
}

fn bind<'s>(
    shared: &Shared<'s>,
    vertex: &Vertex,
    (from, source): (Tree, &str),
    writable: bool,
    held: &mut Held<'s>,
) -> Result<StepMountKind, BuildError> {
    let failed = |error| store_failure(shared.job, Some(vertex), &error);
    let root = match from {
        Tree::Vertex(id) if writable => {
            let tree = shared.output(id).map(|output| output.tree());
            let tree = tree.unwrap_or_default();
            shared.have(vertex, &tree)?;
            let snapshot = shared.store.snapshot(&tree.layers).map_err(failed)?;
            let root = snapshot.root().to_owned();
            held.snapshots.push(snapshot);
            root
        }
        _ => readable(shared, vertex, from, source)?,
    };
    Ok(StepMountKind::Bind {
        source: within(shared, vertex, &root, source)?,
        read_only: !writable,
    })
}

/// A tree to read. Of the context, a copy that has what `.dockerignore` lets through and belongs to
/// root, as BuildKit sends it.
fn readable(
    shared: &Shared<'_>,
    vertex: &Vertex,
    from: Tree,
    source: &str,
) -> Result<PathBuf, BuildError> {
    match from {
        Tree::Vertex(id) => shared.readable(id),
        Tree::Empty => shared
            .store
            .temporary_dir()
            .map_err(|error| store_failure(shared.job, Some(vertex), &error)),
        Tree::Context => {
            let root = shared
                .store
                .temporary_dir()
                .map_err(|error| store_failure(shared.job, Some(vertex), &error))?;
            let how = files::Options {
                cancel: shared.cancel.clone(),
                ..files::Options::default()
            };
            let copy = FileAction::Copy(Box::new(whole(from, source)));
            files::apply(&copy, &root, shared, &how)
                .map_err(|error| file_failure(shared.job, Some(vertex), &error))?;
            Ok(root)
        }
    }
}

/// The real path of something in a tree; its links are those of the tree.
fn within(
    shared: &Shared<'_>,
    vertex: &Vertex,
    root: &Path,
    source: &str,
) -> Result<PathBuf, BuildError> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    let path = source.trim_matches('/');
    if path.is_empty() {
        return Ok(root.to_owned());
    }
    let found = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .and_then(|root| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    })
    .and_then(|fd| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::readlink(link, Vec::new())
    });
    match found {
        Ok(path) => {
            use std::os::unix::ffi::OsStringExt as _;
            Ok(std::ffi::OsString::from_vec(path.into_bytes()).into())
        }
        Err(error) => Err(dockerfile(
            shared.job,
            Some(vertex),
            format!("\"/{path}\": {}", std::io::Error::from(error)),
        )),
    }
}

fn cache<'s>(
    shared: &Shared<'s>,
    vertex: &Vertex,
    mount: &Mount,
    held: &mut Held<'s>,
) -> Result<PathBuf, BuildError> {
    let MountKind::Cache {
        id,
        sharing,
        from,
        source,
        mode,
        uid,
        gid,
        ..
    } = &mount.kind
    else {
        return shared.empty();
    };
    let seed = match from {
        Some(from) => format!("{source} {}", shared.content_of_tree(*from, source)?),
        None => String::new(),
    };
    let key = (id.clone(), seed);
    if let Some((_, held)) = held.caches.iter().find(|(known, _)| *known == key) {
        return Ok(held.path().to_owned());
    }
    let start = match from {
        Some(from) => {
            let root = readable(shared, vertex, *from, source)?;
            Some(within(shared, vertex, &root, source)?)
        }
        None => None,
    };
    let fill = |path: &Path| -> Result<(), StoreError> {
        if let Some(start) = &start {
            copy_tree(start, path)
        } else {
            let failed = StoreError::io(path);
            rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(*mode))
                .map_err(std::io::Error::from)
                .and_then(|()| std::os::unix::fs::chown(path, Some(*uid), Some(*gid)))
                .map_err(failed)
        }
    };
    let stop = || shared.cancel.is_cancelled();
    let taken = shared
        .store
        .cache_mount(id, &key.1, *sharing, &fill, &stop)
        .map_err(|error| store_failure(shared.job, Some(vertex), &error))?;
    let taken = taken.ok_or(BuildError::Interrupted)?;
    let path = taken.path().to_owned();
    held.caches.push((key, taken));
    Ok(path)
}

fn secret(
    shared: &Shared<'_>,
    vertex: &Vertex,
    mount: &Mount,
    step: &mut Step,
) -> Result<Option<StepMountKind>, BuildError> {
    let MountKind::Secret {
        id,
        file,
        env,
        required,
        mode,
        uid,
        gid,
    } = &mount.kind
    else {
        return Ok(None);
    };
    let Some(value) = shared.job.plan.secrets.get(id) else {
        if *required {
            let message = format!("secret {id}: not found");
            return Err(dockerfile(shared.job, Some(vertex), message));
        }
        if let Some(name) = env {
            let nothing = crate::secret::Secret::new(Vec::new());
            step.secret_env.insert(name.clone(), nothing);
        }
        return Ok(None);
    };
    if let Some(name) = env {
        step.secret_env.insert(name.clone(), value.clone());
    }
    Ok(file.then(|| StepMountKind::Secret {
        content: value.clone(),
        mode: *mode,
        uid: *uid,
        gid: *gid,
    }))
}

fn ssh(
    shared: &Shared<'_>,
    vertex: &Vertex,
    mount: &Mount,
) -> Result<Option<StepMountKind>, BuildError> {
    use std::os::unix::fs::FileTypeExt as _;
    let MountKind::Ssh {
        id,
        required,
        mode,
        uid,
        gid,
    } = &mount.kind
    else {
        return Ok(None);
    };
    let Some(path) = shared.job.plan.ssh.get(id) else {
        if *required {
            let message = format!("unset ssh forward key {id}");
            return Err(dockerfile(shared.job, Some(vertex), message));
        }
        return Ok(None);
    };
    let is_socket = path
        .metadata()
        .is_ok_and(|meta| meta.file_type().is_socket());
    if !is_socket {
        return Err(BuildError::Unsupported {
            engine: shared.job.engine.clone(),
            what: format!("`ssh` {id}, which is no socket of an agent"),
            hint: Some("add the key to an agent with ssh-add and give its socket".to_owned()),
        });
    }
    Ok(Some(StepMountKind::Socket {
        source: path.clone(),
        mode: *mode,
        uid: *uid,
        gid: *gid,
    }))
}
