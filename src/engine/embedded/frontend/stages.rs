//! The stages of a Dockerfile and what each is made of, before anything of an image is known.

use crate::{dockerfile::Dockerfile, finding::Location, oci::Reference};

use super::{
    FrontendRequest, Refusal,
    command::{Command, Read, Step},
    lex::{Budget, Env, Lexer},
    parse, platform,
    problem::Problem,
};

/// A stage.
#[derive(Debug)]
pub(super) struct Stage {
    /// in lower case
    pub(super) name: Option<String>,
    pub(super) base: Base,
    /// the value of `--platform` is not one that is built here
    pub(super) foreign: Option<Problem>,
    pub(super) from: Location,
    pub(super) steps: Vec<Step>,
}

/// What a stage starts from, or something is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Scratch,
    Stage(usize),
    /// as written, variables put in
    Image(String),
}

/// The stages of a file with the faults that are in sight without images.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) list: Vec<Stage>,
    /// variables in sight of `FROM`, and what a stage's `ARG` without a value takes
    pub(super) globals: Env,
    /// `SOURCE_DATE_EPOCH` that is given, or that an `ARG` before the first `FROM` has
    pub(super) epoch: Option<i64>,
}

impl Stages {
    pub(super) fn read(
        file: &Dockerfile,
        request: &FrontendRequest<'_>,
        budget: &Budget,
    ) -> Result<Self, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let globals = globals(file, request, budget, &mut refusals);
        let epoch = epoch(file, request, &globals, &mut refusals);
        let mut stages = Self {
            list: Vec::new(),
            globals,
            epoch,
        };
        for stage in &file.stages {
            let location = file.location(&stage.from);
            let mut steps = Vec::new();
            for instruction in &stage.instructions {
                match parse::step(file, instruction) {
                    Ok(step) => steps.push(step),
                    Err(problem) => refusals.push(problem.at(&file.location(instruction))),
                }
            }
            let lexer = Lexer::new(file.escape(), budget);
            match stages.head(stage, &lexer, request) {
                Ok((base, foreign)) => stages.list.push(Stage {
                    name: stage.name.clone(),
                    base,
                    foreign,
                    from: location,
                    steps,
                }),
                Err(problem) => {
                    refusals.push(problem.at(&location));
                    // A stage that cannot be read keeps its number.
                    stages.list.push(Stage {
                        name: stage.name.clone(),
                        base: Base::Scratch,
                        foreign: None,
                        from: location,
                        steps,
                    });
                }
            }
        }
        if refusals.is_empty() {
            Ok(stages)
        } else {
            Err(refusals)
        }
    }

    /// What `FROM` says.
    fn head(
        &self,
        stage: &crate::dockerfile::Stage,
        lexer: &Lexer<'_>,
        request: &FrontendRequest<'_>,
    ) -> Read<(Base, Option<Problem>)> {
        stage.name.as_deref().map(stage_name).transpose()?;
        let written = &stage.image.text;
        let image = lexer.word(written, &self.globals)?;
        if image.is_empty() {
            return Err(Problem::fault(
                format!("FROM names nothing: `{written}` is empty once variables are put in"),
                "give the variable a default by an ARG before the first FROM, or --build-arg",
            ));
        }
        let foreign = match stage.from.flag("platform").filter(|text| !text.is_empty()) {
            Some(text) => self.platform(text, lexer, request)?,
            None if stage.from.flag("platform").is_some() => {
                return Err(Problem::fault(
                    "--platform has no value",
                    "write --platform=os/architecture",
                ));
            }
            None => None,
        };
        let named = self
            .list
            .iter()
            .rposition(|s| s.name.as_deref() == Some(&image));
        let base = match named {
            Some(index) => Base::Stage(index),
            None if image == "scratch" => Base::Scratch,
            None => Base::Image(self.image(image)?),
        };
        Ok((base, foreign))
    }

    fn platform(
        &self,
        text: &str,
        lexer: &Lexer<'_>,
        request: &FrontendRequest<'_>,
    ) -> Read<Option<Problem>> {
        let value = lexer.word(text, &self.globals)?;
        let Some(wanted) = platform::parse(&value, request.platform) else {
            return Err(Problem::fault(
                format!("--platform is `{value}`"),
                "write os/architecture, such as linux/amd64",
            ));
        };
        let foreign = !platform::same(&wanted, request.platform);
        Ok(foreign.then(|| {
            let build = request.platform;
            Problem::unsupported(format!("--platform={value} on {build}"))
        }))
    }

    /// Checks an image reference.
    fn image(&self, text: String) -> Read<String> {
        let Err(error) = Reference::parse_familiar(&text) else {
            return Ok(text);
        };
        let lower = text.to_lowercase();
        let stage = self.list.iter().any(|s| s.name.as_deref() == Some(&lower));
        let remedy = if stage {
            format!("write the name of the stage in lower case: {lower}")
        } else {
            "write the image as registry/repository:tag".to_owned()
        };
        Err(Problem::fault(error.to_string(), remedy))
    }

    /// The stage to build, by its name: BuildKit takes no number.
    pub(super) fn target(&self, name: Option<&str>, file: &str) -> Result<usize, Refusal> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(self.list.len().saturating_sub(1));
        };
        self.named(name).ok_or_else(|| {
            let known: Vec<&str> = self
                .list
                .iter()
                .filter_map(|stage| stage.name.as_deref())
                .collect();
            let remedy = if known.is_empty() {
                "give the stage a name, FROM image AS name; no stage has one".to_owned()
            } else {
                format!("build one of the named stages: {}", known.join(", "))
            };
            Refusal {
                message: format!("{file}: there is no stage `{name}`"),
                remedy,
                location: None,
                kind: super::RefusalKind::Fault,
            }
        })
    }

    fn named(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        let mut stages = self.list.iter();
        stages.rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
    }

    /// What `from` of a step of the stage `at` names; a number counts for `COPY` alone.
    pub(super) fn source(&self, from: &str, at: usize, numbers: bool) -> Read<Base> {
        let nothing = Env::default();
        let budget = Budget::default();
        if numbers && Lexer::new('\\', &budget).word(from, &nothing)? != from {
            return Err(Problem::fault(
                "--from takes no variables",
                "give the image a stage of its own, FROM $IMAGE AS name, and name that stage",
            ));
        }
        let number = from.parse::<i64>().ok().filter(|_| numbers);
        let index = match number {
            Some(number) => {
                let index = usize::try_from(number).ok();
                let known = index.filter(|index| *index < self.list.len());
                Some(known.ok_or_else(|| {
                    Problem::fault(
                        format!("--from names stage {number}, which there is not"),
                        format!(
                            "stages count from 0 to {}",
                            self.list.len().saturating_sub(1)
                        ),
                    )
                })?)
            }
            None => self.named(from),
        };
        match index {
            Some(index) if index < at => Ok(Base::Stage(index)),
            Some(index) if index == at => Err(Problem::fault(
                format!("the stage reads from itself: `{from}`"),
                "name an earlier stage, or leave the flag away",
            )),
            Some(_) => Err(Problem::fault(
                format!("the stage `{from}` comes later"),
                "move that stage before this one",
            )),
            None if from == "scratch" => Ok(Base::Scratch),
            None => Ok(Base::Image(self.image(from.to_owned())?)),
        }
    }

    /// Whether steps are named with their stage: when there are several, or something else than
    /// the context is read from.
    pub(super) fn several(&self) -> bool {
        let reads = |step: &Step| match &step.command {
            Command::Run(run) => !run.mounts.is_empty(),
            Command::Copy(copy) => copy.from.is_some(),
            _ => false,
        };
        self.list.len() > 1 || self.list.iter().any(|stage| stage.steps.iter().any(reads))
    }
}

fn stage_name(name: &str) -> Read<()> {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if first && name.chars().all(rest) {
        return Ok(());
    }
    Err(Problem::fault(
        format!("`{name}` is no name for a stage"),
        "start it with a letter, and use letters, digits, `-`, `_` and `.` alone",
    ))
}

/// What the Dockerfile dates the image by.
fn epoch(
    file: &Dockerfile,
    request: &FrontendRequest<'_>,
    globals: &Env,
    refusals: &mut Vec<Refusal>,
) -> Option<i64> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    let given = request.args.get(NAME).map(String::as_str);
    let text = given.or(globals.get(NAME))?;
    let number = text.parse().ok();
    if number.is_none() && !text.is_empty() {
        let named = |arg: &&crate::dockerfile::Instruction| {
            arg.pairs().iter().any(|pair| pair.key.text == NAME)
        };
        let first = file.stages.first().map(|stage| &stage.from);
        let place = file.global_args.iter().rfind(named).or(first)?;
        let problem = Problem::fault(
            format!("{NAME} is `{text}`"),
            "write seconds since 1970 as a number",
        );
        refusals.push(problem.at(&file.location(place)));
    }
    number
}

/// Variables that are there before the first `FROM`: the platform's, and `ARG`s.
fn globals(
    file: &Dockerfile,
    request: &FrontendRequest<'_>,
    budget: &Budget,
    refusals: &mut Vec<Refusal>,
) -> Env {
    let platform = request.platform;
    let text = platform.to_string();
    let variant = platform.variant.as_deref().unwrap_or("");
    let last = file.stages.last().and_then(|stage| stage.name.as_deref());
    let target = request.target.filter(|target| !target.is_empty()).or(last);
    let mut env = Env::default();
    for (name, value) in [
        ("BUILDPLATFORM", text.as_str()),
        ("BUILDOS", &platform.os),
        ("BUILDOSVERSION", ""),
        ("BUILDARCH", &platform.architecture),
        ("BUILDVARIANT", variant),
        ("TARGETPLATFORM", &text),
        ("TARGETOS", &platform.os),
        ("TARGETOSVERSION", ""),
        ("TARGETARCH", &platform.architecture),
        ("TARGETVARIANT", variant),
        ("TARGETSTAGE", target.unwrap_or("default")),
    ] {
        let given = request.args.get(name);
        env.set(name, given.map_or(value, String::as_str));
    }
    let lexer = Lexer::new(file.escape(), budget);
    for arg in &file.global_args {
        for pair in arg.pairs() {
            let name = &pair.key.text;
            let value = match (request.args.get(name), &pair.value) {
                (Some(given), _) => Ok(Some(given.clone())),
                (None, Some(default)) => lexer.word(default, &env).map(Some),
                (None, None) => Ok(None),
            };
            match value {
                Ok(Some(value)) => env.set(name, value),
                Ok(None) => {}
                Err(fault) => refusals.push(Problem::from(fault).at(&file.location(arg))),
            }
        }
    }
    env
}
