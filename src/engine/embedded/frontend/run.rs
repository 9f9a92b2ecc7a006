//! `RUN`.

use indexmap::IndexMap;

use crate::engine::embedded::graph::{
    Copy, CopyFrom, Exec, FileAction, FileOp, Mount, MountKind, Network, Op, Sharing, Tree, Unpack,
};

use super::{
    command::{CommandLine, Document, Read, Run, RunNetwork},
    lex::{Env, Lexer},
    mount::{self, Options, Type},
    names::{shown, summary},
    parse,
    problem::Problem,
    walk::{At, State, Walk},
    words,
};

/// Where a script of a here-document lies.
const SCRIPTS: &str = "/dev/pipes/";

/// A command before the shell is put before it.
struct Line {
    args: Vec<String>,
    shell: bool,
    /// what the step is named by, besides its line
    summary: Option<String>,
    script: Option<Mount>,
}

impl Walk<'_> {
    pub(super) fn run(&mut self, run: &Run, at: &At<'_>, state: &mut State) -> Read<()> {
        if run.insecure {
            return Err(Problem::unsupported("RUN --security=insecure"));
        }
        if let Some(device) = &run.device {
            return Err(Problem::unsupported(format!("RUN --device={device}")));
        }
        let network = self.network(run.network)?;
        let options = self.options(run, state)?;
        let line = self.line(run, at);
        let args = match line.args.as_slice() {
            [text] if line.shell => state.image.with_shell(text.clone()),
            _ => line.args,
        };
        let mut mounts: Vec<Mount> = line.script.into_iter().collect();
        for option in &options {
            match self.mount(option, at, state)? {
                Some(mount) => mounts.push(mount),
                // What it is read from could not be had, which was told already.
                None => return Ok(()),
            }
        }
        let mut env = state.env.map().clone();
        agents(&mut mounts, &mut env);
        let name = self.run_name(&options, line.summary.as_deref(), at, state);
        let noted = format!("RUN {} # buildkit", noted(&args, state));
        self.budget.spend(state.env.size() + noted.len())?;
        let exec = Exec {
            base: state.tree,
            args,
            env,
            uncached_env: self.proxies(),
            cwd: words::clean(state.directory()),
            user: state.image.config.user.clone(),
            mounts,
            network,
            add_hosts: self.request.add_hosts.clone(),
            hostname: self.hostname(),
        };
        let vertex = self.vertex(Op::Exec(Box::new(exec)), name, at.location);
        state.tree = Some(vertex);
        state.commit(noted, true);
        Ok(())
    }

    fn network(&self, own: RunNetwork) -> Read<Network> {
        Ok(match (own, self.request.network) {
            (RunNetwork::Host, _) | (RunNetwork::Default, Some("host")) => Network::Host,
            (RunNetwork::None, _) | (RunNetwork::Default, Some("none")) => Network::None,
            (RunNetwork::Default, None | Some("" | "default")) => Network::Default,
            (RunNetwork::Default, Some(other)) => {
                return Err(Problem::unsupported(format!("the network `{other}`")));
            }
        })
    }

    fn options(&self, run: &Run, state: &State) -> Read<Vec<Options>> {
        let lexer = self.lexer();
        let expand = |text: &str| lexer.word(text, &state.env);
        let parse = |text: &String| mount::parse(text, Some(&expand));
        run.mounts.iter().map(parse).collect()
    }

    /// The command with its here-documents.
    fn line(&mut self, run: &Run, at: &At<'_>) -> Line {
        let plain = |args: Vec<String>, shell: bool| Line {
            args,
            shell,
            summary: None,
            script: None,
        };
        let text = match &run.line {
            CommandLine::Exec(list) => return plain(list.clone(), false),
            CommandLine::Shell(text) => text,
        };
        let Some(first) = run.heredocs.first() else {
            return plain(vec![text.clone()], true);
        };
        if parse::opening(text).is_none() {
            // The shell itself takes them.
            let mut whole = text.clone();
            for document in &run.heredocs {
                whole.push('\n');
                whole.push_str(&document.raw);
                whole.push_str(&document.name);
            }
            return plain(vec![whole], true);
        }
        let summary = Some(summary(&first.raw));
        if !first.content.starts_with("#!") {
            return Line {
                args: vec![first.content.clone()],
                shell: true,
                summary,
                script: None,
            };
        }
        // `BuildKit` runs the script through the shell too.
        Line {
            args: vec![words::below(SCRIPTS, &first.name)],
            shell: true,
            summary,
            script: Some(self.script(first, at)),
        }
    }

    fn script(&mut self, document: &Document, at: &At<'_>) -> Mount {
        let files = IndexMap::from([(document.name.clone(), document.content.clone())]);
        let op = Op::File(FileOp {
            base: None,
            actions: vec![FileAction::Copy(Box::new(Copy {
                from: CopyFrom::Inline(files),
                sources: Vec::new(),
                destination: "/".to_owned(),
                chown: None,
                chmod: Some("0755".to_owned()),
                link: false,
                parents: false,
                exclude: Vec::new(),
                unpack: Unpack::Never,
                whole: false,
            }))],
        });
        let name = "[internal] preparing inline document".to_owned();
        let vertex = self.source_vertex(op, name, at.location);
        Mount {
            target: SCRIPTS.to_owned(),
            kind: MountKind::Bind {
                from: Tree::Vertex(vertex),
                source: "/".to_owned(),
                writable: false,
            },
        }
    }

    /// One mount; `None` when what it is read from could not be had.
    fn mount(&mut self, options: &Options, at: &At<'_>, state: &State) -> Read<Option<Mount>> {
        let from = match &options.from {
            Some(from) => match self.tree(from, false, at)? {
                Some(tree) => Some(tree),
                None => return Ok(None),
            },
            None => None,
        };
        let target = match options.kind {
            Type::Secret | Type::Ssh => words::clean(&options.target),
            _ => words::clean(&words::below(state.directory(), &options.target)),
        };
        let source = words::clean(&options.source);
        let kind = match options.kind {
            Type::Bind => MountKind::Bind {
                from: from.unwrap_or(Tree::Context),
                source,
                writable: !options.read_only,
            },
            Type::Tmpfs if options.read_only => {
                return Err(Problem::unsupported(
                    "a mount of type tmpfs that is read-only",
                ));
            }
            Type::Tmpfs => MountKind::Tmpfs {
                size: Some(options.size).filter(|size| *size > 0),
            },
            Type::Cache if from.is_none() && source != "/" => {
                return Err(Problem::fault(
                    format!(
                        "a mount of type cache starts from {source}, and there is nothing there"
                    ),
                    "name a stage by from=STAGE, or take the source away",
                ));
            }
            Type::Cache => cache(options, from, source, &target),
            Type::Secret => return secret(options, target).map(Some),
            Type::Ssh => {
                return Ok(Some(ssh(options, target)));
            }
        };
        if target == "/" {
            return Err(Problem::fault(
                "a mount has no target, or the root as its target",
                "write target=PATH",
            ));
        }
        Ok(Some(Mount { target, kind }))
    }

    fn run_name(
        &self,
        options: &[Options],
        summary: Option<&str>,
        at: &At<'_>,
        state: &mut State,
    ) -> String {
        let lexer = Lexer {
            raw_quotes: true,
            skip_unset: true,
            ..self.lexer()
        };
        let text = match summary {
            Some(summary) => format!("{} ({summary})", at.code),
            None => at.code.to_owned(),
        };
        let hidden = options.iter().filter_map(|option| option.env.as_ref());
        let hidden: Vec<&String> = hidden.collect();
        let shown = if hidden.is_empty() {
            shown(&lexer, &text, &state.env)
        } else {
            let mut env: Env = state.env.clone();
            for name in hidden {
                env.set(name, "****");
            }
            shown(&lexer, &text, &env)
        };
        state.names.next(&shown)
    }

    fn hostname(&self) -> Option<String> {
        let given = self.request.args.get("BUILDKIT_SANDBOX_HOSTNAME");
        given.filter(|name| !name.is_empty()).cloned()
    }

    /// Proxy settings given as arguments: in sight of each step, and no part of its cache key.
    fn proxies(&self) -> IndexMap<String, String> {
        let mut proxies = IndexMap::new();
        let mut given: Vec<(&String, &String)> = self.request.args.iter().collect();
        given.sort();
        for (name, value) in given {
            let lower = name.to_lowercase();
            let known = [
                "http_proxy",
                "https_proxy",
                "ftp_proxy",
                "no_proxy",
                "all_proxy",
            ];
            if known.contains(&lower.as_str()) && !value.is_empty() {
                proxies.insert(lower.to_uppercase(), value.clone());
                proxies.insert(lower, value.clone());
            }
        }
        proxies
    }
}

fn cache(options: &Options, from: Option<Tree>, source: String, target: &str) -> MountKind {
    let owned = options.mode.is_some() || options.uid.is_some() || options.gid.is_some();
    // `BuildKit` starts a directory with an owner from nothing, whatever `from` says, and gives
    // none to a directory that starts from a path.
    let fresh = owned && source == "/";
    let (mode, uid, gid) = if fresh {
        (options.mode, options.uid, options.gid)
    } else {
        (None, None, None)
    };
    let id = if options.id.is_empty() {
        cleaned(&options.target, target)
    } else {
        options.id.clone()
    };
    MountKind::Cache {
        id,
        sharing: options.sharing.unwrap_or(Sharing::Shared),
        from: from.filter(|_| !fresh),
        source,
        read_only: options.read_only,
        mode: mode.unwrap_or(0o755),
        uid: uid.unwrap_or(0),
        gid: gid.unwrap_or(0),
    }
}

/// A cache without an id is named by its target as it is written, cleaned.
fn cleaned(written: &str, target: &str) -> String {
    if written.starts_with('/') {
        return target.to_owned();
    }
    words::clean(written).trim_start_matches('/').to_owned()
}

fn secret(options: &Options, target: String) -> Read<Mount> {
    if options.env.as_deref() == Some("") {
        return Err(Problem::fault(
            "`env` of a mount names no variable",
            "write env=NAME",
        ));
    }
    let written = [&options.source, &options.id]
        .into_iter()
        .find(|id| !id.is_empty());
    let id = written.map_or_else(|| words::base(&options.target), String::as_str);
    let file = options.env.is_none() || !options.target.is_empty();
    let target = if options.target.is_empty() {
        format!("/run/secrets/{}", words::base(id))
    } else {
        target
    };
    Ok(Mount {
        target,
        kind: MountKind::Secret {
            id: id.to_owned(),
            file,
            env: options.env.clone(),
            required: options.required,
            mode: options.mode.unwrap_or(0o400),
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        },
    })
}

fn ssh(options: &Options, target: String) -> Mount {
    let id = Some(options.id.clone()).filter(|id| !id.is_empty());
    Mount {
        // Filled in by `agents` when the Dockerfile does not say.
        target: if options.target.is_empty() {
            String::new()
        } else {
            target
        },
        kind: MountKind::Ssh {
            id: id.unwrap_or_else(|| "default".to_owned()),
            required: options.required,
            mode: options.mode.unwrap_or(0o600),
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        },
    }
}

/// Sockets without a target get one, and the first is told to the command.
fn agents(mounts: &mut [Mount], env: &mut IndexMap<String, String>) {
    let sockets = mounts
        .iter_mut()
        .filter(|mount| matches!(mount.kind, MountKind::Ssh { .. }));
    for (index, mount) in sockets.enumerate() {
        if mount.target.is_empty() {
            mount.target = format!("/run/buildkit/ssh_agent.{index}");
        }
        if index == 0 && !env.contains_key("SSH_AUTH_SOCK") {
            env.insert("SSH_AUTH_SOCK".to_owned(), mount.target.clone());
        }
    }
}

/// `|2 A=1 B=2 /bin/sh -c make`: the arguments in sight, then the command.
fn noted(args: &[String], state: &State) -> String {
    let mut declared: IndexMap<&str, &str> = IndexMap::new();
    for (name, value) in &state.args {
        let value = state.env.get(name).or(value.as_deref()).unwrap_or("");
        declared.insert(name, value);
    }
    let mut parts = Vec::with_capacity(declared.len() + args.len() + 1);
    if !declared.is_empty() {
        parts.push(format!("|{}", declared.len()));
    }
    parts.extend(
        declared
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    parts.extend(args.iter().cloned());
    parts.join(" ")
}
