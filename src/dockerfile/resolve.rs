//! The stage that is built and the stages below it, down to the base image: what is in effect at
//! its end, and every instruction on the way with its variables expanded.

use std::cell::Cell;

use indexmap::IndexMap;

use super::{
    expand::{Expanded, Variable, expand},
    instruction::{Arguments, Instruction, Keyword},
    resolved::{Base, Resolved, Setting, Step, TargetError},
    stage::Dockerfile,
};
use crate::finding::Location;

/// Build arguments that a stage sees once it declares them, whose value the builder chooses.
const AUTOMATIC: [&str; 10] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETSTAGE",
    "BUILDKIT_MULTI_PLATFORM",
];

/// What all expansions of one file may take together, in bytes: a file can name a long value on
/// each of its lines.
const BUDGET: usize = 16 << 20;

impl Dockerfile {
    /// Follows the target (the last stage when `None`) to its base image. `args` are the build
    /// arguments given from outside.
    ///
    /// # Errors
    ///
    /// The target names no stage.
    pub fn resolve(
        &self,
        target: Option<&str>,
        args: &IndexMap<String, String>,
    ) -> Result<Resolved, TargetError> {
        let last = match target.filter(|target| !target.is_empty()) {
            None => Some(self.stages.len().saturating_sub(1)),
            Some(target) => self.stage_index(target),
        };
        let Some(last) = last else {
            return Err(self.no_target(target.unwrap_or("")));
        };
        let globals = Scope::global(self, args);
        let (chain, base) = self.chain(last, &globals);
        let from_of = |index: usize| {
            let stage = self.stages.get(index);
            stage.map(|stage| self.location(&stage.from))
        };
        let nowhere = || self.source.location(&(0..0));
        let lowest = chain.first().copied().unwrap_or(last);
        let mut walk = Walk {
            file: self,
            scope: Scope {
                args: IndexMap::new(),
                env: IndexMap::new(),
                scratch: base == Base::Scratch,
                budget: Cell::new(BUDGET),
                given: args,
                globals: &globals.args,
            },
            resolved: Resolved {
                base_location: from_of(lowest).unwrap_or_else(nowhere),
                from: from_of(last).unwrap_or_else(nowhere),
                chain: chain.clone(),
                base,
                labels: IndexMap::new(),
                user: None,
                maintainer: None,
                entrypoint: None,
                cmd: None,
                steps: Vec::new(),
            },
            workdir: String::new(),
        };
        for index in chain {
            let instructions = self.stages.get(index).map(|stage| &stage.instructions);
            for instruction in instructions.into_iter().flatten() {
                walk.step(index, instruction);
            }
        }
        Ok(walk.resolved)
    }

    fn no_target(&self, target: &str) -> TargetError {
        let name = |(index, stage): (usize, &super::Stage)| {
            stage.name.clone().unwrap_or_else(|| index.to_string())
        };
        let stages: Vec<String> = self.stages.iter().enumerate().map(name).collect();
        TargetError {
            file: self.file().to_owned(),
            target: target.to_owned(),
            stages: stages.join(", "),
        }
    }

    fn chain(&self, last: usize, globals: &Scope<'_>) -> (Vec<usize>, Base) {
        let (mut chain, mut index) = (vec![last], last);
        loop {
            let Some(stage) = self.stages.get(index) else {
                return (chain, Base::Unknown(String::new()));
            };
            let image = globals.expand(&stage.image.text, self.escape);
            let lower = self.stages.get(..index).and_then(|earlier| {
                let wanted = image.text.to_lowercase();
                earlier
                    .iter()
                    .rposition(|s| s.name.as_deref() == Some(wanted.as_str()))
            });
            if let Some(lower) = lower {
                chain.insert(0, lower);
                index = lower;
                continue;
            }
            let base = match image {
                Expanded { text, .. } if text == "scratch" => Base::Scratch,
                Expanded { text, unknown, .. } if unknown.is_empty() && !text.is_empty() => {
                    Base::Image(text)
                }
                Expanded { text, .. } => Base::Unknown(text),
            };
            return (chain, base);
        }
    }
}

/// Variables in sight.
struct Scope<'a> {
    args: IndexMap<String, Variable>,
    env: IndexMap<String, Variable>,
    scratch: bool,
    budget: Cell<usize>,
    given: &'a IndexMap<String, String>,
    globals: &'a IndexMap<String, Variable>,
}

static NO_GLOBALS: std::sync::LazyLock<IndexMap<String, Variable>> =
    std::sync::LazyLock::new(IndexMap::new);

impl<'a> Scope<'a> {
    /// Variables in sight of `FROM`.
    fn global(file: &Dockerfile, given: &'a IndexMap<String, String>) -> Self {
        let mut scope = Self {
            args: IndexMap::new(),
            env: IndexMap::new(),
            scratch: true,
            budget: Cell::new(BUDGET),
            given,
            globals: &NO_GLOBALS,
        };
        for name in AUTOMATIC {
            scope.args.insert(
                name.to_owned(),
                scope.outside(name).unwrap_or(Variable::Unknown),
            );
        }
        for instruction in &file.global_args {
            scope.declare(instruction, file.escape);
        }
        scope
    }

    fn outside(&self, name: &str) -> Option<Variable> {
        self.given.get(name).cloned().map(Variable::Set)
    }

    fn declare(&mut self, arg: &Instruction, escape: char) {
        for pair in arg.pairs() {
            let name = self.expand(&pair.key.text, escape).text;
            let default = pair
                .value
                .as_ref()
                .map(|value| self.variable(value, escape));
            let automatic = AUTOMATIC
                .contains(&name.as_str())
                .then_some(Variable::Unknown);
            let value = self
                .outside(&name)
                .or(default)
                .or_else(|| self.globals.get(&name).cloned())
                .or(automatic)
                .unwrap_or(Variable::Unset);
            self.args.insert(name, value);
        }
    }

    fn variable(&self, value: &str, escape: char) -> Variable {
        let value = self.expand(value, escape);
        if value.unknown.is_empty() {
            Variable::Set(value.text)
        } else {
            Variable::Unknown
        }
    }

    fn expand(&self, word: &str, escape: char) -> Expanded {
        if self.budget.get() == 0 {
            return Expanded {
                unknown: vec!["variables of a file that expands without end".to_owned()],
                ..Expanded::default()
            };
        }
        let expanded = expand(word, escape, &|name| {
            let known = self.env.get(name).or_else(|| self.args.get(name));
            known.cloned().unwrap_or(if self.scratch || name == "PATH" {
                Variable::Unset
            } else {
                Variable::Unknown
            })
        });
        self.budget
            .set(self.budget.get().saturating_sub(expanded.cost));
        expanded
    }
}

struct Walk<'a> {
    file: &'a Dockerfile,
    scope: Scope<'a>,
    resolved: Resolved,
    workdir: String,
}

impl Walk<'_> {
    fn step(&mut self, stage: usize, instruction: &Instruction) {
        let location = self.file.location(instruction);
        let text = self.setting(instruction.text(), location.clone());
        match instruction.keyword {
            Keyword::Arg => self.scope.declare(instruction, self.file.escape),
            Keyword::Env => self.environment(instruction),
            Keyword::Label => self.labels(instruction),
            Keyword::User => self.resolved.user = Some(text.clone()),
            Keyword::Maintainer => self.resolved.maintainer = Some(text.clone()),
            Keyword::Entrypoint => {
                self.resolved.entrypoint = Some(location);
                self.resolved.cmd = None;
            }
            Keyword::Cmd => self.resolved.cmd = Some(location),
            Keyword::Workdir => self.workdir = joined(&self.workdir, &text.value),
            _ => {}
        }
        let (words, known) = self.words(instruction, text);
        self.resolved.steps.push(Step {
            stage,
            instruction: instruction.clone(),
            words,
            known,
            workdir: self.workdir.clone(),
        });
    }

    fn setting(&self, text: &str, location: Location) -> Setting {
        let expanded = self.scope.expand(text, self.file.escape);
        Setting {
            value: expanded.text,
            unknown: expanded.unknown,
            location,
        }
    }

    fn environment(&mut self, instruction: &Instruction) {
        // All values of one ENV see the variables as they were before it.
        let escape = self.file.escape;
        let set: Vec<(String, Variable)> = instruction
            .pairs()
            .iter()
            .map(|pair| {
                let name = self.scope.expand(&pair.key.text, escape).text;
                let value = pair.value.as_deref().unwrap_or("");
                (name, self.scope.variable(value, escape))
            })
            .collect();
        self.scope.env.extend(set);
    }

    fn labels(&mut self, instruction: &Instruction) {
        for pair in instruction.pairs() {
            let key = self.scope.expand(&pair.key.text, self.file.escape).text;
            let location = self.file.word_location(&pair.key);
            let setting = self.setting(pair.value.as_deref().unwrap_or(""), location);
            self.resolved.labels.insert(key, setting);
        }
    }

    fn words(&self, instruction: &Instruction, text: Setting) -> (Vec<String>, bool) {
        match &instruction.arguments {
            Arguments::Copy {
                sources,
                destination,
            } => {
                let expanded: Vec<Expanded> = sources
                    .iter()
                    .chain([destination])
                    .map(|word| self.scope.expand(&word.text, self.file.escape))
                    .collect();
                let known = expanded.iter().all(|word| word.unknown.is_empty());
                (expanded.into_iter().map(|word| word.text).collect(), known)
            }
            Arguments::Exec(list) => (list.clone(), true),
            // Commands are expanded by the shell, not by the builder.
            Arguments::Text(word) if instruction.keyword == Keyword::Run => {
                (vec![word.text.clone()], true)
            }
            Arguments::Text(_) => (vec![text.value], text.unknown.is_empty()),
            Arguments::From { .. }
            | Arguments::Pairs(_)
            | Arguments::Words(_)
            | Arguments::Onbuild(_) => (Vec::new(), true),
        }
    }
}

/// `WORKDIR` after `WORKDIR`.
fn joined(workdir: &str, path: &str) -> String {
    if path.starts_with('/') || workdir.is_empty() {
        path.to_owned()
    } else {
        format!("{}/{path}", workdir.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::{super::Dockerfile, Base, Resolved};

    fn resolve(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> Resolved {
        let args: IndexMap<String, String> = args
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let file = Dockerfile::parse("Dockerfile", text).unwrap();
        file.resolve(target, &args).unwrap()
    }

    const CHAIN: &str = "ARG V=9\nARG BASE=reg/ubi${V}:1\nFROM ${BASE} AS one\nLABEL a=1 b=1\nUSER 1\n\
                         FROM golang AS tool\nLABEL never=1\nFROM one AS two\nARG V\nARG U=u$V\nENV U2=$U\n\
                         LABEL b=2 \\\n  \"c\"=\"$U2 ${V:-x} $OTHER\"\nUSER ${U}\nENTRYPOINT x\nCMD y\n";

    #[test]
    fn the_chain_ends_at_the_base_with_global_arguments_expanded() {
        let found = resolve(CHAIN, None, &[]);
        assert_eq!(found.chain, [0, 2]);
        assert_eq!(found.base, Base::Image("reg/ubi9:1".into()));
        assert_eq!((found.base_location.line, found.from.line), (3, 8));
        let user = found.user.unwrap();
        assert_eq!((user.value.as_str(), user.location.line), ("u9", 14));
        let labels: Vec<(&str, &str, u32)> = found
            .labels
            .iter()
            .map(|(k, s)| (k.as_str(), s.value.as_str(), s.location.line))
            .collect();
        assert_eq!(
            labels,
            [("a", "1", 4), ("b", "2", 12), ("c", "u9 9 ${OTHER}", 13)]
        );
        assert_eq!(found.labels["c"].unknown, ["OTHER"]);
        assert_eq!(found.cmd.unwrap().line, 16);
    }

    #[test]
    fn arguments_from_outside_win_over_defaults() {
        let found = resolve(CHAIN, None, &[("V", "8"), ("U", "me")]);
        assert_eq!(found.base, Base::Image("reg/ubi8:1".into()));
        assert_eq!(found.user.unwrap().value, "me");
    }

    #[test]
    fn a_global_argument_is_not_in_sight_of_a_stage_that_does_not_declare_it() {
        let found = resolve("ARG U=1\nFROM scratch\nUSER x$U\n", None, &[("U", "2")]);
        assert_eq!(found.base, Base::Scratch);
        assert_eq!(found.user.unwrap().value, "x");
        let image = resolve("ARG U=1\nFROM a\nUSER x$U\n", None, &[]);
        assert_eq!(image.user.unwrap().unknown, ["U"]);
    }

    #[test]
    fn targets_are_found_by_name_in_any_case_and_not_by_number() {
        for target in ["TOOL", "tool"] {
            assert_eq!(resolve(CHAIN, Some(target), &[]).chain, [1], "{target}");
        }
        let file = Dockerfile::parse("Dockerfile", CHAIN).unwrap();
        assert!(file.resolve(Some("1"), &IndexMap::new()).is_err());
        let error = file.resolve(Some("none"), &IndexMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Dockerfile: there is no stage `none`; the stages are one, tool, two"
        );
    }

    #[test]
    fn what_the_builder_chooses_is_unknown_until_it_is_given() {
        let text = "FROM a-${TARGETARCH}\nUSER 1\n";
        assert_eq!(
            resolve(text, None, &[]).base,
            Base::Unknown("a-${TARGETARCH}".into())
        );
        let given = resolve(text, None, &[("TARGETARCH", "arm64")]);
        assert_eq!(given.base, Base::Image("a-arm64".into()));
    }

    #[test]
    fn values_that_double_from_line_to_line_stay_bounded() {
        let mut text = String::from("FROM scratch\nENV A=xxxxxxxxxx\n");
        text.push_str(&"ENV A=$A$A\n".repeat(200));
        text.push_str("USER $A\n");
        assert!(!resolve(&text, None, &[]).user.unwrap().unknown.is_empty());
    }

    #[test]
    fn long_values_named_on_every_line_stay_bounded() {
        let long = "x".repeat(60_000);
        let lines: Vec<String> = (0..20_000)
            .map(|index| format!("LABEL l{index}=$A${{A#x*}}"))
            .collect();
        let text = format!("FROM scratch\nENV A={long}\n{}\n", lines.join("\n"));
        let labels = resolve(&text, None, &[]).labels;
        let total: usize = labels.values().map(|label| label.value.len()).sum();
        assert!(total < 20 << 20, "{total}");
    }
}
