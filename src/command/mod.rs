//! The commands, each a few lines over the modules above, and the edge where the process's
//! arguments, environment and streams come in.

mod advisories;
mod cache;
mod console;
mod days;
mod deliver;
mod init;
mod logins;
mod reports;
mod signals;
mod text;
mod verdict;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use console::{colored, console, failure, quotable};
use days::{as_of, day_asked, documented};
use verdict::verdict;

use crate::{
    advisory::grade::AsOf,
    check,
    config::{
        self, Cli, Config, Environment, Feeds, Words,
        cli::{AdvisoriesCommand, Command, ForArgs, ScanArgs},
    },
    engine::{Cancel, EngineEnvironment},
    error::{Error, ExitCode},
    gather::{Advisories, Reach},
    pipeline::{self, Done, Tools},
    plan::{self, Plan},
    progress::Console,
    registry::{RegistryOptions, auth::AuthStore},
};

/// What the process hands over.
pub struct Process<'a> {
    /// arguments, the program's name first
    pub args: Vec<OsString>,
    /// variables of the environment
    pub variables: Vec<(OsString, OsString)>,
    /// current directory
    pub directory: PathBuf,
    /// the report goes here
    pub stdout: &'a mut dyn Write,
    /// everything else goes here
    pub stderr: Arc<Mutex<dyn Write + Send>>,
    /// standard output is a terminal
    pub stdout_is_terminal: bool,
    /// standard error is a terminal
    pub stderr_is_terminal: bool,
    /// the time
    pub now: fn() -> jiff::Timestamp,
}

/// Runs one command line.
pub fn run(mut process: Process<'_>) -> ExitCode {
    let environment = Environment::new(process.variables.clone());
    let stderr = process.stderr.clone();
    let (directory, now) = (process.directory.clone(), (process.now)());
    let cli = match Cli::from_args(process.args.clone(), &ExitCode::help()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &environment, &mut process),
    };
    let cli = given_image(cli, &environment);
    let color = colored(cli.global.color, &environment, process.stderr_is_terminal);
    match dispatch(&cli, &environment, process) {
        Ok(code) => code,
        Err(error) => {
            say(&stderr, &quotable(&error.render(color), &environment));
            let code = error.exit_code();
            deliver::early(&cli, &environment, (&directory, now), code);
            code
        }
    }
}

fn dispatch(
    cli: &Cli,
    environment: &Environment,
    mut process: Process<'_>,
) -> Result<ExitCode, Error> {
    let text = match &cli.command {
        Command::Explain { rule } => text::explain(rule.as_deref())?,
        Command::Schema { of } => text::schema(*of),
        Command::Completions { shell } => Cli::completions(*shell),
        Command::Man => {
            Cli::man(&ExitCode::help()).map_err(|error| Error::Bug(error.to_string()))?
        }
        Command::Init(args) => {
            let interactive = process.stderr_is_terminal && !environment.is_ci();
            init::run(args, &process.directory, interactive)?.into_bytes()
        }
        Command::Advisories(AdvisoriesCommand::For(args)) => {
            return advisories_for(cli, args, environment, &mut process);
        }
        Command::Advisories(command) => {
            let console = console(cli, environment, Vec::new(), &process);
            let now = (process.now)();
            let directory = &process.directory;
            let feeds = match command {
                AdvisoriesCommand::Update { .. } => {
                    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
                    config::feeds(cli, environment, directory, today, &words())?
                }
                _ => Feeds::default(),
            };
            advisories::run(command, &feeds, environment, directory, now, &console)?.into_bytes()
        }
        Command::Cache(command) => {
            let now = (process.now)();
            let told = cache::run(command, environment, &process.directory, now)?;
            return Ok(tell(&process, &told));
        }
        Command::Login(args) => {
            let unverified = config::unverified(cli, environment)?;
            let told = logins::login(args, environment, &process.directory, unverified)?;
            return Ok(tell(&process, &told));
        }
        Command::Logout(args) => {
            let told = logins::logout(args, environment, &process.directory)?;
            return Ok(tell(&process, &told));
        }
        Command::Run(_)
        | Command::Check(_)
        | Command::Build(_)
        | Command::Scan(_)
        | Command::Push(_) => {
            return stages(cli, environment, &mut process);
        }
    };
    write_out(process.stdout, &text)?;
    Ok(ExitCode::Success)
}

/// Help and version go to standard output with code 0, faults to standard error with code 2.
fn usage(error: &clap::Error, environment: &Environment, process: &mut Process<'_>) -> ExitCode {
    let plain = error.render().to_string();
    if error.use_stderr() {
        say(&process.stderr, &quotable(plain.trim_end(), environment));
        let place = (process.directory.as_path(), (process.now)());
        deliver::unread(&process.args, environment, place);
        return ExitCode::Usage;
    }
    let text = if process.stdout_is_terminal && !environment.no_color() {
        error.render().ansi().to_string()
    } else {
        plain
    };
    match write_out(process.stdout, text.as_bytes()) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            say(&process.stderr, &error.render(false));
            error.exit_code()
        }
    }
}

/// A reader that went away (`plimsoll explain | head`) is no error.
fn write_out(out: &mut dyn Write, text: &[u8]) -> Result<(), Error> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Report {
            what: "to standard output".to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn say(stderr: &Arc<Mutex<dyn Write + Send>>, text: &str) {
    let mut stderr = stderr.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(stderr, "{text}");
}

fn tell(process: &Process<'_>, lines: &[String]) -> ExitCode {
    for line in lines {
        say(&process.stderr, line);
    }
    ExitCode::Success
}

/// `run`, `check`, `build`, `scan` and `push`: one pipeline, other stages.
fn stages(
    cli: &Cli,
    environment: &Environment,
    process: &mut Process<'_>,
) -> Result<ExitCode, Error> {
    let now = (process.now)();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let config = config::load(cli, environment, &process.directory, today, &words())?;
    let plans = plan::plan(&config);
    let images = config.images.iter();
    let secrets = images.flat_map(|image| image.secrets.values().cloned());
    let secrets = secrets.chain(config.ci.secrets());
    let console = console(cli, environment, secrets.collect(), process);
    for warning in &config.warnings {
        console.warn(warning);
    }
    if config.dry_run {
        let told = told_of(cli, environment, &config, &plans, &console);
        write_out(process.stdout, console.redact(&told).as_bytes())?;
        return Ok(ExitCode::Success);
    }
    if cli.global.verbose > 0 {
        console.note(plan::describe(&plans, &config.reports, true).trim_end());
    }
    let signals = signals::Signals::watch(config.timeout.as_ref().map(|limit| limit.value.0))?;
    let auth = logins_of(cli, environment, &config, &plans, &console)?;
    let mut reach = reach(environment, auth, signals.cancel());
    if config.unverified {
        logins::go_unchecked(&mut reach.registry, &plans, &console);
    }
    let database = advisories::database_path(environment);
    let as_of = as_of(cli, environment, &plans, now)?;
    let cache = advisories::package_cache(environment);
    let detail = reports::detail(&config.reports);
    let advisories = Advisories::read(database.as_deref(), as_of, cache, detail);
    let tools = Tools {
        advisories: &advisories,
        reach: &reach,
        console: &console,
        cancel: signals.cancel(),
        now,
        documented: documented(environment, as_of),
    };
    let color = colored(cli.global.color, environment, process.stdout_is_terminal);
    let stderr_color = colored(cli.global.color, environment, process.stderr_is_terminal);
    let mut codes = Vec::new();
    let last = signals.for_last_words(&reach.registry);
    let mut delivery = deliver::Delivery::new(&config, environment, &console, &last);
    let several = plans.len() > 1;
    for plan in &plans {
        let mut done = pipeline::run(plan, &tools);
        tell_apart(&mut done, &console, &signals, &config);
        let shown = reports::Shown {
            console: &console,
            color,
        };
        let unwritten = reports::write(&done, &config, several, &shown, process.stdout);
        for error in done.error.iter().chain(&unwritten) {
            say(&process.stderr, &failure(&console, error, stderr_color));
        }
        codes.extend(unwritten.iter().map(Error::exit_code));
        codes.push(done.code);
        if let Some(code) = signals.received() {
            delivery.cut_short(code);
            return Ok(code);
        }
        delivery.add(plan, done, several);
    }
    let code = verdict(&codes, config.exit_zero);
    delivery.finish(verdict(&codes, false), code);
    Ok(code)
}

/// What a run would do, and the calls it would make.
fn told_of(
    cli: &Cli,
    environment: &Environment,
    config: &Config,
    plans: &[Plan],
    console: &Console,
) -> String {
    let steps = plan::describe(plans, &config.reports, cli.global.verbose > 0);
    let http = RegistryOptions::default();
    steps + &deliver::plan(config, environment, console, &http, plans)
}

/// The logins at hand. A prediction asks nobody, so that nothing of theirs need be in order.
fn logins_of(
    cli: &Cli,
    environment: &Environment,
    config: &Config,
    plans: &[Plan],
    console: &Console,
) -> Result<AuthStore, Error> {
    if let Command::Check(_) = cli.command {
        return Ok(AuthStore::new());
    }
    let store = logins::with_inputs(logins::auth_store(environment)?, environment, plans);
    Ok(deliver::with_identity(store, config, environment, console))
}

/// Takes secrets out of the report, and says of a stage that a signal or the limit ended that it was
/// that.
fn tell_apart(done: &mut Done, console: &Console, signals: &signals::Signals, config: &Config) {
    if let Some(report) = &mut done.report {
        *report = report.redacted(&|text| console.hide(text));
    }
    let Some(error) = &mut done.error else { return };
    if let Some(code) = signals.received() {
        let terminated = code == ExitCode::Terminated;
        *error = Error::Interrupted { terminated };
    } else if let (true, Some(limit)) = (signals.is_late(), &config.timeout) {
        let limit = limit.value.to_string();
        *error = Error::Late { limit };
        done.code = ExitCode::Terminated;
    }
}

/// `advisories for`: one image beside the advisories, nothing else.
fn advisories_for(
    cli: &Cli,
    args: &ForArgs,
    environment: &Environment,
    process: &mut Process<'_>,
) -> Result<ExitCode, Error> {
    let now = (process.now)();
    let signals = signals::Signals::watch(None)?;
    let reach = reach(
        environment,
        logins::auth_store(environment)?,
        signals.cancel(),
    );
    let day = day_asked(args.as_of, environment)?;
    let console = console(cli, environment, Vec::new(), process);
    let wanted = advisories::For {
        args,
        format: &cli.global.format,
        directory: &process.directory,
        as_of: day.map_or(AsOf::Instant(now), AsOf::Day),
        color: colored(cli.global.color, environment, process.stdout_is_terminal),
        now,
        console: &console,
    };
    let text = advisories::for_image(&wanted, environment, &reach)?;
    write_out(process.stdout, &text)?;
    Ok(ExitCode::Success)
}

/// `run` with an image among its inputs is `scan` of that image: an action has one command line.
fn given_image(cli: Cli, environment: &Environment) -> Cli {
    let (Command::Run(run), Some(image)) = (&cli.command, environment.image_to_scan()) else {
        return cli;
    };
    let scan = ScanArgs {
        image,
        platform: run.build.platform.clone(),
        what: run.what.clone(),
        tag: run.name.tag.clone(),
        scan: run.scan.clone(),
        ci: run.ci.by_itself(),
        ..ScanArgs::default()
    };
    Cli {
        command: Command::Scan(Box::new(scan)),
        ..cli
    }
}

/// Words of the configuration that other modules define.
fn words() -> Words {
    Words {
        rule: |name| check::find(name).iter().map(|rule| rule.id).collect(),
        rules: text::RULE_IDS.as_slice(),
        formats: text::FORMATS.as_slice(),
    }
}

/// Registries and engines as the environment describes them.
fn reach(environment: &Environment, auth: AuthStore, cancel: &Cancel) -> Reach {
    let docker = environment.docker();
    let config = docker
        .config
        .clone()
        .or_else(|| docker.home.as_ref().map(|h| h.join(".docker")));
    let engine = EngineEnvironment {
        docker_host: docker.host,
        docker_context: docker.context,
        docker_config: config.clone(),
        docker_cert_path: docker.cert_path,
        docker_tls_verify: docker.tls_verify,
        buildkit_host: docker.buildkit_host,
        buildkit_tls: None,
        buildx_builder: environment.text("BUILDX_BUILDER").map(str::to_owned),
        buildx_config: environment.path("BUILDX_CONFIG"),
        auth: Arc::new(auth.clone()),
    };
    Reach {
        registry: RegistryOptions {
            auth,
            certificate_dirs: logins::certificate_dirs(environment),
            cancel: cancel.clone(),
            ..RegistryOptions::default()
        },
        engine,
    }
}
