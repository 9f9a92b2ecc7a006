//! Instructions that change the configuration, and `WORKDIR`.

use crate::engine::embedded::graph::{FileAction, FileOp, Op};

use super::{
    command::{Command, CommandLine, Read},
    image::{Image, Present},
    names::shown,
    ports,
    problem::Problem,
    walk::{At, State, Walk},
    words,
};

/// Arguments of the builder alone: no variable of a step.
const NOT_ENVIRONMENT: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];
/// Mode of directories that `WORKDIR` makes.
const DIRECTORY_MODE: u32 = 0o755;

impl Walk<'_> {
    pub(super) fn setting(&self, command: &Command, state: &mut State) -> Read<()> {
        let noted = match command {
            Command::Arg(args) => self.arg(args, state)?,
            Command::Env(pairs) => self.env(pairs, state)?,
            Command::Label(pairs) => self.label(pairs, state)?,
            Command::User(text) => {
                let user = self.lexer().word(text, &state.env)?;
                state.image.config.user.clone_from(&user);
                format!("USER {user}")
            }
            Command::Cmd(line) => {
                let args = command_line(line, &state.image);
                let noted = format!("CMD {}", words::go_quoted(&args));
                state.image.config.cmd = args;
                state.image.config.args_escaped = true;
                state.cmd = true;
                noted
            }
            Command::Entrypoint(line) => {
                let args = command_line(line, &state.image);
                let noted = format!("ENTRYPOINT {}", words::go_quoted(&args));
                state.image.config.entrypoint = args;
                if !state.cmd {
                    state.image.config.cmd.clear();
                }
                noted
            }
            Command::Healthcheck(health) => {
                state.image.config.healthcheck = Some(health.clone());
                format!("HEALTHCHECK {health}")
            }
            Command::Expose(ports) => self.expose(ports, state)?,
            Command::Volume(volumes) => self.volume(volumes, state)?,
            Command::Stopsignal(text) => {
                let signal = self.lexer().word(text, &state.env)?;
                words::signal(&signal)?;
                state.image.config.stop_signal.clone_from(&signal);
                format!("STOPSIGNAL {signal}")
            }
            Command::Shell(shell) => {
                state.image.config.shell.clone_from(shell);
                format!("SHELL [{}]", shell.join(" "))
            }
            Command::Maintainer(text) => {
                state.image.author.clone_from(text);
                format!("MAINTAINER {text}")
            }
            Command::Onbuild(text) => {
                state.image.config.on_build.push(text.clone());
                return Ok(());
            }
            Command::Run(_) | Command::Copy(_) | Command::Workdir(_) => return Ok(()),
        };
        self.budget.spend(noted.len())?;
        state.commit(noted, false);
        Ok(())
    }

    fn arg(&self, args: &[(String, Option<String>)], state: &mut State) -> Read<String> {
        let mut noted = "ARG".to_owned();
        for (name, default) in args {
            let given = self.request.args.get(name);
            let value = match (given, default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.lexer().word(default, &state.env)?),
                (None, None) => self.stages.globals.get(name).map(str::to_owned),
            };
            noted.push(' ');
            noted.push_str(name);
            if let Some(value) = &value {
                noted.push('=');
                noted.push_str(value);
                if !NOT_ENVIRONMENT.contains(&name.as_str()) {
                    state.env.set(name, value.clone());
                }
            }
            state.args.push((name.clone(), value));
        }
        Ok(noted)
    }

    /// Every value of one instruction sees the variables as they were before it.
    fn pairs(&self, pairs: &[(String, String)], state: &State) -> Read<Vec<(String, String)>> {
        let lexer = self.lexer();
        let mut expanded = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = lexer.word(name, &state.env)?;
            expanded.push((name, lexer.word(value, &state.env)?));
        }
        Ok(expanded)
    }

    fn env(&self, pairs: &[(String, String)], state: &mut State) -> Read<String> {
        let mut noted = "ENV".to_owned();
        for (name, value) in self.pairs(pairs, state)? {
            noted.extend([" ", &name, "=", &value]);
            state.image.set_env(&name, &value);
            state.env.set(&name, value);
        }
        Ok(noted)
    }

    fn label(&self, pairs: &[(String, String)], state: &mut State) -> Read<String> {
        let mut noted = "LABEL".to_owned();
        for (name, value) in self.pairs(pairs, state)? {
            noted.extend([" ", &name, "=", &value]);
            state.image.config.labels.insert(name, value);
        }
        Ok(noted)
    }

    fn expose(&self, words: &[String], state: &mut State) -> Read<String> {
        let mut exposed = Vec::new();
        for word in words {
            for word in self.lexer().words(word, &state.env)? {
                let ports = ports::parse(&word)?;
                self.budget.spend(ports.len() * 16)?;
                exposed.extend(ports);
            }
        }
        let noted = format!("EXPOSE [{}]", exposed.join(" "));
        let ports = exposed.into_iter().map(|port| (port, Present {}));
        state.image.config.exposed_ports.extend(ports);
        Ok(noted)
    }

    fn volume(&self, words: &[String], state: &mut State) -> Read<String> {
        let mut volumes = Vec::with_capacity(words.len());
        for word in words {
            let volume = self.lexer().word(word, &state.env)?;
            if volume.is_empty() {
                return Err(Problem::fault(
                    format!("VOLUME names no path: `{word}` is empty once variables are put in"),
                    "give the variable a value",
                ));
            }
            volumes.push(volume);
        }
        let noted = format!("VOLUME [{}]", volumes.join(" "));
        let volumes = volumes.into_iter().map(|volume| (volume, Present {}));
        state.image.config.volumes.extend(volumes);
        Ok(noted)
    }

    pub(super) fn workdir(&mut self, path: &str, at: &At<'_>, state: &mut State) -> Read<()> {
        let path = self.lexer().word(path, &state.env)?;
        let directory = if path.is_empty() {
            words::below("/", state.directory())
        } else {
            words::below(state.directory(), &path)
        };
        state.image.config.working_dir.clone_from(&directory);
        let noted = format!("WORKDIR {directory}");
        if directory == "/" {
            state.commit(noted, false);
            return Ok(());
        }
        let name = shown(&self.lexer(), at.code, &state.env);
        let name = state.names.next(&name);
        let user = state.image.config.user.clone();
        let op = Op::File(FileOp {
            base: state.tree,
            actions: vec![FileAction::Mkdir {
                path: words::clean(&directory),
                mode: DIRECTORY_MODE,
                owner: Some(user).filter(|user| !user.is_empty()),
            }],
        });
        state.tree = Some(self.vertex(op, name, at.location));
        state.commit(noted, true);
        Ok(())
    }
}

fn command_line(line: &CommandLine, image: &Image) -> Vec<String> {
    match line {
        CommandLine::Exec(list) => list.clone(),
        CommandLine::Shell(text) => image.with_shell(text.clone()),
    }
}
